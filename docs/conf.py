"""Sphinx configuration. The pages load nothing from another host."""

import configparser
from pathlib import Path

package = configparser.ConfigParser()
package.read(Path(__file__).parent.parent / "setup.cfg")

project = "django-app-metrics"
author = "The django-app-metrics authors"
copyright = "2026, The django-app-metrics authors"
release = package["metadata"]["version"]

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"{project} {release}"
