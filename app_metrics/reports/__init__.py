"""Plans, builds, renders and mails the reports of metric sets."""
