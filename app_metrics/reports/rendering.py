"""Render a report as a mail: a subject, a text with every metric, and HTML of limited size."""

import re
from typing import Any, NamedTuple

from django.template.loader import render_to_string
from django.utils import timezone, translation

from ..conf import settings, time_zone
from ..core.plain_text import one_line
from .content import Report

# Mail programs cut longer messages off; Gmail does at 102 KB.
MAX_HTML_BYTES = 100_000

# The first try at the HTML shows this many metrics in detail, and this many more as one row each.
MOST_DETAILED, MOST_COMPACT = 30, 150
MOST_MILESTONES = MOST_RATIOS = 10
TRIES = 5


class Mail(NamedTuple):
    subject: str
    text: str
    html: str


def render(report: Report, *, stop_url: str | None = None, dashboard_url: str | None = None, contact: str = "") -> Mail:
    """Return a report as a mail in the site's language.

    `stop_url` is the link to unsubscribe; without it, the mail asks the recipient to write to `contact`. Projects can
    override the templates `app_metrics/report_subject.txt`, `report.txt` and `report.html`.
    """
    with translation.override(settings.LANGUAGE_CODE), timezone.override(time_zone()):
        context: dict[str, Any] = {
            "report": report,
            "stop_url": stop_url,
            "dashboard_url": dashboard_url,
            "contact": contact,
        }
        context["subject"] = one_line(render_to_string("app_metrics/report_subject.txt", context))
        text = render_to_string("app_metrics/report.txt", context)
        return Mail(context["subject"], _tidied(text), _bounded_html(context))


def _tidied(text: str) -> str:
    """Strip trailing blanks from all lines, and collapse empty lines in a row into one."""
    text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"


def _bounded_html(context: dict[str, Any]) -> str:
    """Render the HTML with less and less detail until it fits."""
    detailed, compact = MOST_DETAILED, MOST_COMPACT
    for _ in range(TRIES):
        html = _html(context, detailed, compact)
        size = len(html.encode())
        if size <= MAX_HTML_BYTES:
            return html
        share = MAX_HTML_BYTES / size
        detailed = int(min(detailed, len(context["report"].lines)) * share)
        compact = int(compact * share)
    return _html(context, 0, 0)


def _html(context: dict[str, Any], detailed: int, compact: int) -> str:
    lines, milestones, ratios = (getattr(context["report"], name) for name in ("lines", "milestones", "ratios"))
    shown = {
        "detailed": lines[:detailed],
        "compact": lines[detailed : detailed + compact],
        "further": max(0, len(lines) - detailed - compact),
        "milestones": milestones[:MOST_MILESTONES],
        "ratios": ratios[:MOST_RATIOS],
        "further_ratios": max(0, len(ratios) - MOST_RATIOS),
        "further_milestones": max(0, len(milestones) - MOST_MILESTONES),
    }
    return _inlined(render_to_string("app_metrics/report.html", {**context, **shown}))


def _inlined(html: str) -> str:
    """Inline the styles if css-inline is installed: some mail programs ignore style blocks."""
    try:
        import css_inline
    except ImportError:
        return html
    return css_inline.inline(html, load_remote_stylesheets=False)
