"""Propose rules for a project: read its models, URL names and signals, and look at a sample of its data."""
