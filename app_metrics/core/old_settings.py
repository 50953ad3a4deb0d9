"""The settings of the first django-app-metrics and its forks that are gone, and what to do instead."""

from ..conf import SETTINGS, settings

_IN_REDIS_URL = 'Write host, port and database into APP_METRICS_REDIS_URL = "redis://localhost:6379/0" instead.'
_IN_STATSD_URL = 'Write host and port into APP_METRICS_STATSD_URL = "udp://localhost:8125" instead.'
_NO_MIXPANEL = "Mixpanel is not supported; remove the setting."
_NO_LIBRATO = "Librato is not supported; remove the setting."

OLD_SETTINGS = {
    "LIBRATO_SOURCE": _NO_LIBRATO,
    "LIBRATO_TOKEN": _NO_LIBRATO,
    "LIBRATO_USER": _NO_LIBRATO,
    "MIXPANEL_API_URL": _NO_MIXPANEL,
    "MIXPANEL_TOKEN": _NO_MIXPANEL,
    "MIXPANEL_URL": _NO_MIXPANEL,
    "REDIS_DB": _IN_REDIS_URL,
    "REDIS_HOST": _IN_REDIS_URL,
    "REDIS_PORT": _IN_REDIS_URL,
    "STATSD_HOST": _IN_STATSD_URL,
    "STATSD_PORT": _IN_STATSD_URL,
    "STATSD_SAMPLE_RATE": "A batch sends sums, so there is nothing to sample; remove the setting.",
}

# The settings that hold what several old ones did.
REPLACED = {
    "REDIS_URL": ("REDIS_HOST", "REDIS_PORT", "REDIS_DB"),
    "STATSD_URL": ("STATSD_HOST", "STATSD_PORT"),
}


def replaced_by(name: str) -> list[str]:
    """Return the old settings of a project that a setting replaces, unless the project has changed that one."""
    if name not in REPLACED or getattr(settings, f"APP_METRICS_{name}") != SETTINGS[name].default:
        return []
    return [old for old in REPLACED[name] if hasattr(settings, f"APP_METRICS_{old}")]
