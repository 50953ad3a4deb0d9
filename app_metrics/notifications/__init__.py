"""Announce milestones and alerts, and send mails that are planned as rows, each at most once."""
