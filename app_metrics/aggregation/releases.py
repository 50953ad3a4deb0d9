"""Annotate a release (`APP_METRICS_RELEASE`) once, although many processes begin to run it at the same time.

An aggregation does this, so no visitor waits for it. A release that was annotated before is not annotated again: while
machines change from one release to the next, aggregations of both run by turns.
"""

import logging
from functools import partial
from typing import Any

from django.utils import timezone, translation
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from ..conf import settings, usable
from ..core.plain_text import brief
from ..models import Annotation
from ..models.annotations import release_key
from ..models.primary import primary
from ..setting_values import MAX_RELEASE_LENGTH, is_dotted_path, is_release
from ..storage.transactions import between_others, retried

logger = logging.getLogger("app_metrics")


def annotate_release() -> None:
    """Annotate the release that runs, unless it is annotated already; without the setting, read nothing."""
    release = _release()
    if release and not primary(Annotation.objects).filter(key=release_key(release)).exists():
        retried(partial(_annotate, release))


def _release() -> Any:
    """Return the release; None if there is none, or if the project's callable fails, which is logged."""
    value: Any = usable("RELEASE")
    if is_dotted_path(value):
        value = import_string(value)
    if not callable(value):
        return value
    try:
        value = value()
    except Exception:
        logger.exception("APP_METRICS_RELEASE raised an error, so that no release is annotated")
        return None
    if value is None or is_release(value):
        return value
    logger.error(
        "APP_METRICS_RELEASE returned %s; return a text of 1 to %d characters, or None",
        brief(value),
        MAX_RELEASE_LENGTH,
    )
    return None


def _annotate(release: str) -> None:
    with translation.override(settings.LANGUAGE_CODE):
        text = _("Release %(release)s") % {"release": release}
    mark = Annotation(key=release_key(release), text=text, at=timezone.now())
    with between_others(savepoint=False):
        Annotation.objects.bulk_create([mark], ignore_conflicts=True)
