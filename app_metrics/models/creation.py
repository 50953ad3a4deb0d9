"""Create metrics, metric sets and annotations from code."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, router, transaction

from ..core.calendar import as_stored
from ..core.comparisons import BETTER
from ..core.plain_text import brief, one_line
from ..core.slugs import slugs_for
from ..core.summary import COUNTER, KINDS
from ..core.validation import check_time, recorded_slug, storable_text
from . import Annotation, Metric, MetricSet
from .annotations import validate_web_address
from .primary import primary


def create_metric(
    name: str,
    slug: str | None = None,
    kind: str = COUNTER,
    *,
    unit: str = "",
    description: str = "",
    better: str = "",
) -> Metric:
    """Return the metric with a slug, created if there is none yet; the same call again returns the same metric.

    An existing metric is returned unchanged. Without `slug`, one is made from the name; "-2", "-3" and so on is
    appended if a metric with another name has it. `better` says which change is good news: "up", "down" or "neither";
    without it, the rules that record the metric and its kind do. Raises TypeError for an argument that is not a str,
    and ValueError for a bad slug, kind or `better`, for a text that is too long or that databases refuse, or if no slug
    can be made from the name.
    """
    given = {"name": name, "kind": kind, "unit": unit, "description": description, "better": better}
    values = {field: _storable(Metric, field, text) for field, text in given.items()}
    if values["kind"] not in KINDS:
        raise ValueError(f"{values['kind']!r} is not a kind of metric; choose one of {', '.join(KINDS)}.")
    if values["better"] not in ("", *BETTER):
        raise ValueError(f"better={values['better']!r} is unknown; choose one of {', '.join(BETTER)}.")
    name = values["name"]
    if slug is not None:
        return _created(recorded_slug(slug), values)
    for candidate in slugs_for(name):
        metric = _created(candidate, values)
        if metric.name == name:
            return metric
    raise AssertionError("unreachable: candidates do not end")


def get_or_create_metric(name: str, slug: str) -> Metric:
    """Return the metric with a slug, created with a name if there is none. Raises ValueError for a bad slug."""
    return create_metric(name, slug)


def create_metric_set(
    name: str,
    metrics: Iterable[Metric],
    email_recipients: Iterable[Any] = (),
    *more: object,
    no_email: bool = False,
    send_daily: bool = True,
    send_weekly: bool = False,
    send_monthly: bool = False,
) -> MetricSet:
    """Create a metric set with its metrics and recipients (users or e-mail addresses), or nothing in case of an error.

    With `no_email` it is never sent, whatever the `send_…` options say. Raises TypeError for anything but a name, saved
    metrics, saved users and addresses, and ValueError if the name is taken or cannot be stored, or an address is
    invalid.
    """
    if more:  # the fourth was `no_email` in the first django-app-metrics
        raise TypeError(
            f"create_metric_set() takes three positional arguments, not {3 + len(more)}; give the others by name: "
            "no_email, send_daily, send_weekly and send_monthly."
        )
    name = _storable(MetricSet, "name", name)
    if isinstance(email_recipients, str):
        raise TypeError(f"email_recipients is a str; give a list: email_recipients=[{brief(email_recipients)}].")
    metrics, everybody = list(metrics), list(email_recipients)
    addresses = [each for each in everybody if isinstance(each, str)]
    recipients = [each for each in everybody if not isinstance(each, str)]
    for address in addresses:
        _require_address(address)
    _require_saved(metrics, Metric, "metrics")
    _require_saved(recipients, MetricSet._meta.get_field("email_recipients").related_model, "email_recipients")
    try:
        with transaction.atomic(using=router.db_for_write(MetricSet)):
            metric_set = MetricSet.objects.create(
                name=name,
                email_addresses="\n".join(addresses),
                send_daily=send_daily and not no_email,
                send_weekly=send_weekly and not no_email,
                send_monthly=send_monthly and not no_email,
            )
            metric_set.metrics.set(metrics)
            if recipients:  # users may live in another database
                metric_set.email_recipients.set(recipients)
    except IntegrityError as error:
        if primary(MetricSet.objects).filter(name=name).exists():
            raise ValueError(
                f"A metric set named {name!r} already exists; change it, or choose another name."
            ) from error
        raise
    return metric_set


def create_annotation(text: str, at: datetime | None = None, url: str = "") -> Annotation:
    """Create an annotation of all metrics at a time (default: now); a naive one is in the metrics time zone.

    Raises ValueError for a text that is empty or too long, a time in an impossible year, and a bad address.
    """
    text = _storable(Annotation, "text", one_line(text))
    if not text:
        raise ValueError('The text is empty; say what happened, such as "Release 4.2".')
    if url:
        _require_web_address(_storable(Annotation, "url", url))
    moment = datetime.fromtimestamp(check_time(at), UTC)
    annotation: Annotation = Annotation.objects.create(text=text, at=as_stored(moment), url=url)
    return annotation


def _storable(model: Any, field: str, text: str) -> str:
    return storable_text(field, text, model._meta.get_field(field).max_length)


def _created(slug: str, values: dict[str, str]) -> Metric:
    metric: Metric = Metric.objects.get_or_create(slug=slug, defaults=values)[0]
    return metric


def _require_address(address: str) -> None:
    try:
        validate_email(address)
    except ValidationError as error:
        raise ValueError(f"{brief(address)} is not an e-mail address.") from error


def _require_web_address(url: str) -> None:
    try:
        validate_web_address(url)
    except ValidationError as error:
        raise ValueError(f"{url!r:.100} is not an address of a page; begin it with http:// or https://.") from error


def _require_saved(objects: list[Any], model: Any, argument: str) -> None:
    for each in objects:
        if not isinstance(each, model) or each.pk is None:
            raise TypeError(f"`{argument}` holds {brief(each)}, which is not a saved {model._meta.label}.")
