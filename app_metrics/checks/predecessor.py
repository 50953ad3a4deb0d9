"""Check what the first django-app-metrics or one of its forks has left behind."""

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning
from django.template import TemplateSyntaxError
from django.template.loader import get_template

from ..core.plain_text import brief

PACKAGE = Path(__file__).parents[1]
# Other distributions of a package with our name. The first django-app-metrics is no other one: pip replaces it.
FORKS = ("pivotal-app-metrics",)
# A module that the first django-app-metrics and its forks have, and that is a folder here.
OLD_MODULE = "models.py"
# The templates of its mails, and what they are now.
OLD_TEMPLATES = {"app_metrics/email.txt": "app_metrics/report.txt", "app_metrics/email.html": "app_metrics/report.html"}


@register("app_metrics")
def check_predecessor(**kwargs: Any) -> list[CheckMessage]:
    return [*_mixed_packages(), *_unused_templates()]


def _mixed_packages() -> Iterator[CheckMessage]:
    installed = [name for name in FORKS if _is_installed(name)]
    if installed:
        yield Error(
            f"{installed[0]} is installed beside django-app-metrics, and both have the package app_metrics.",
            hint=f"Run: pip uninstall {installed[0]} django-app-metrics. Then install this package again.",
            id="app_metrics.E028",
        )
    elif (PACKAGE / OLD_MODULE).exists():
        yield Error(
            f"{brief(str(PACKAGE))} holds files of an older app_metrics, such as {OLD_MODULE}.",
            hint="Run: pip uninstall django-app-metrics. Then delete that folder, and install this package again.",
            id="app_metrics.E028",
        )


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _unused_templates() -> Iterator[CheckMessage]:
    for old, new in OLD_TEMPLATES.items():
        if _is_template(old):
            yield CheckWarning(
                f"The template {old} is not used; mails have other numbers and another context now.",
                hint=f"Delete it; to change how mails look, override {new}.",
                id="app_metrics.W021",
            )


def _is_template(name: str) -> bool:
    try:
        get_template(name)
    except (TemplateSyntaxError, UnicodeError):  # it is there
        return True
    except Exception:  # there is none, or the engine is broken, which Django reports
        return False
    return True
