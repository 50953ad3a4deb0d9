"""The absolute addresses of the site's pages, for links in mails."""

from django.urls import NoReverseMatch, reverse

from ..conf import settings, usable


def absolute_url(name: str, *arguments: str) -> str | None:
    """Return the address of the page with a URL name; None without APP_METRICS_BASE_URL or such a page."""
    base = usable("BASE_URL")
    if not base or not getattr(settings, "ROOT_URLCONF", None):
        return None
    try:
        return str(base).rstrip("/") + reverse(name, args=arguments)
    except NoReverseMatch:
        return None
