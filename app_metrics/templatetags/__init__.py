"""Show numbers in templates: the project's own, the dashboard's and those of reports."""
