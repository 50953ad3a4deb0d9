"""Sphinx configuration. The pages load nothing from another host."""

import configparser
from pathlib import Path

import django
from django.conf import settings
from django.core.management import get_commands, load_command_class
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

package = configparser.ConfigParser()
package.read(Path(__file__).parent.parent / "setup.cfg")

project = "django-app-metrics"
author = "The django-app-metrics authors"
copyright = "2026, The django-app-metrics authors"
release = package["metadata"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
autodoc_typehints_format = "short"

html_theme = "furo"
html_title = f"{project} {release}"

APPS = ["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "app_metrics"]
settings.configure(INSTALLED_APPS=APPS)
django.setup()


class Commands(SphinxDirective):
    """Describe each management command of the package by its own help and options."""

    def run(self) -> list[nodes.Node]:
        names = sorted(name for name, app in get_commands().items() if app == "app_metrics")
        return [_section(name) for name in names]


def _section(name: str) -> nodes.section:
    command = load_command_class("app_metrics", name)
    parser = command.create_parser("manage.py", name)
    of_django = {action.dest for action in load_command_class("django.core", "check").create_parser("", "")._actions}
    own = [action for action in parser._actions if action.dest not in of_django - {"tags", "databases"}]
    section = nodes.section("", nodes.title(text=name), nodes.paragraph(text=command.help), ids=[name], names=[name])
    options = nodes.definition_list()
    for action in own:
        shown = ", ".join(action.option_strings) or action.metavar or action.dest
        meaning = (action.help or "") % {"default": action.default}
        options += nodes.definition_list_item(
            "", nodes.term("", "", nodes.literal(text=shown)), nodes.definition("", nodes.paragraph(text=meaning))
        )
    section += [options] if own else []
    return section


def setup(app: Sphinx) -> None:
    app.add_directive("commands", Commands)
