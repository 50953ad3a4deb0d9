"""Milestones, alerts, and the outbox: a mail is a row, sent at most once."""
