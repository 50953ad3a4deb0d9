"""Sphinx configuration. The pages load nothing from another host."""

project = "django-app-metrics"
author = "The django-app-metrics authors"
copyright = "2026, The django-app-metrics authors"

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "django-app-metrics"
