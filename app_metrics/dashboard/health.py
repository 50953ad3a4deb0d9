"""The state of recording, aggregation, mails and rules, as the health page shows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.models import Count, Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ..aggregation.backlog import Backlog, backlog
from ..conf import settings
from ..contrib.configured import configured_rules
from ..contrib.rules import Rule
from ..core.calendar import today
from ..core.dropped import (
    BAD_ARGUMENT,
    BAD_MESSAGE,
    BUFFER_FULL,
    DROPPED_SLUG,
    FAILED_RULE,
    NO_BACKEND,
    NOT_EXPORTED,
    REFUSED,
    RETRY_LIMIT,
)
from ..core.labels import OVERFLOW_LABELS, readable_labels
from ..core.numbers import Number
from ..core.periods import DAY, LONGEST
from ..core.setting_rules import SettingError
from ..core.summary import Summary
from ..models import (
    AggregationRun,
    Alert,
    Delivery,
    Item,
    Metric,
    Notice,
    OutgoingMail,
    QuarantinedItem,
    Schedule,
    Total,
)
from ..models.pending import PendingBatches
from ..models.queries import QuerySources, all_time, fold
from ..models.reports import FAILED, UNDECIDED
from ..notifications.future_marks import FutureMarks, future_marks
from ..storage.journal import journal_of
from ..transport import spool
from ..transport.buffer import unjournalled
from ..transport.loading import get_backend
from ..transport.spool import Pending
from .driver import Driver, driver
from .last_seen import last_recorded

# Items pending for more seconds than this mean that no aggregation runs.
OLD_BACKLOG = 86_400
# Failures of this many days need attention.
LATELY = 7
SHOWN_MAILS = 5

# For each reason events are dropped for: what it means, and what to do.
REASONS: dict[str, tuple[Promise, Promise]] = {
    BAD_ARGUMENT: (
        _("Code recorded an event with a bad slug, number or label, so it cannot be counted."),
        _("The log has the details. In development, set APP_METRICS_STRICT = True to raise an error instead."),
    ),
    BAD_MESSAGE: (
        _("A Celery message held no batch, or a batch that the database refuses."),
        _("The log shows the content of the message. Check which other programs write to the same queue."),
    ),
    BUFFER_FULL: (
        _("Writing took too long, and the process reached its limit on metrics, label sets and hours that it merges."),
        _("Check whether the database or service behind the backend is slow, and whether slugs have variable parts."),
    ),
    FAILED_RULE: (
        _("A rule in the settings raised an error while it was reading its number, labels or condition."),
        _("The log names the rule and the error. Fix the path or the function."),
    ),
    NO_BACKEND: (
        _("The configured backend could not be loaded."),
        _("Fix APP_METRICS_BACKEND; “manage.py check” explains the mistake."),
    ),
    NOT_EXPORTED: (
        _("An exporter could not express the event in the format of its destination."),
        _("The log has the details. The totals include the event if another backend counts it."),
    ),
    REFUSED: (
        _("The backend accepted other batches, but repeatedly refused this batch."),
        _("The log has the backend's error."),
    ),
    RETRY_LIMIT: (
        _("More batches failed than the retry queue of a process may hold."),
        _("Check whether the database or service behind the backend was down, or raise APP_METRICS_RETRY_LIMIT."),
    ),
}


class Dropped(NamedTuple):
    """How many events were dropped for a reason; `meaning` and `advice` are empty for an unknown reason."""

    reason: str
    meaning: str | Promise
    advice: str | Promise
    lately: Number
    ever: Number


@dataclass(frozen=True, slots=True)
class Aggregating:
    """The pending items, the latest run, the number of quarantined items, and who aggregates.

    `journal` and `destination` are the batches pending in SQLite's journal and at the backend's destination.
    """

    backlog: Backlog
    journal: PendingBatches
    destination: PendingBatches
    run: AggregationRun | None
    quarantined: int
    driver: Driver

    @property
    def stopped_for(self) -> float:
        """For how many seconds the oldest item has been pending, if that is too long; otherwise 0."""
        return self.driver.stopped_for(self.backlog.age)

    @property
    def is_late(self) -> bool:
        """Whether an item has been pending for too long, or items are and the latest run was more than a day ago."""
        if not self.backlog.items:
            return False
        if self.stopped_for:
            return True
        # A run in the future had a wrong clock.
        return self.run is not None and abs(timezone.now() - self.run.finished_at) > timedelta(seconds=OLD_BACKLOG)


@dataclass(frozen=True, slots=True)
class Mails:
    """Mails that failed or are undecided; `are_well` is False if one of them is recent."""

    failed: int
    undecided: int
    latest: Sequence[OutgoingMail]
    are_well: bool


class Silent(NamedTuple):
    """A rule, by its place in the settings, and a metric of it that was never recorded."""

    origin: str
    slug: str


@dataclass(frozen=True, slots=True)
class Health:
    """What the health page shows; `kept` is None if the backend cannot be loaded."""

    aggregating: Aggregating
    dropped: Sequence[Dropped]
    overflown: Sequence[Metric]
    second_kinds: Sequence[Metric]
    kept: int | None
    unjournalled: int
    spool: Pending | None
    deliveries: Mails
    notifications: Mails
    future: FutureMarks
    silent: Sequence[Silent]
    mistakes: Sequence[SettingError]

    @property
    def has_written_all(self) -> bool:
        has_files = self.spool and (self.spool.segments or self.spool.damaged)
        return self.kept == 0 and not has_files and not self.unjournalled

    @property
    def has_dropped_lately(self) -> bool:
        return any(each.lately for each in self.dropped)


def examine() -> Health:
    """Return the state of everything, in a constant number of queries."""
    rules, mistakes = configured_rules()
    return Health(
        _aggregating(),
        _dropped(),
        list(Metric.objects.filter(pk__in=_overflown_metrics())),
        list(Metric.objects.exclude(second_kind="")),
        _kept(),
        unjournalled(),
        spool.pending(),
        _mails(Delivery.objects.select_related("metric_set")),
        _mails(Notice.objects.all()),
        future_marks(Schedule.objects, Alert.objects),
        _never_recorded(rules),
        mistakes,
    )


def _aggregating() -> Aggregating:
    pending = backlog(Item.objects)
    journal, batches = journal_of(connections[settings.APP_METRICS_DATABASE]), pending.elsewhere.batches
    ids = journal.ids() if journal and batches else set()
    return Aggregating(
        pending,
        PendingBatches([batch for batch in batches if batch.id in ids]),
        PendingBatches([batch for batch in batches if batch.id not in ids]),
        AggregationRun.objects.first(),
        QuarantinedItem.objects.count(),
        driver(),
    )


def _dropped() -> list[Dropped]:
    """Return the reasons events were dropped for, the most frequent first."""
    sources = QuerySources.of_slug(DROPPED_SLUG)
    days = [(DAY, day, 0) for day in DAY.latest(today(), LATELY)]
    lately = {text: summary.total for (_, text, _), summary in fold(sources, {LATELY: days}).items()}
    found = [_drop(text, lately.get(text, 0), summary) for (_, text), summary in all_time(sources).items()]
    return sorted(found, key=lambda each: (-each.lately, -each.ever, each.reason))


def _drop(labels: str, lately: Number, summary: Summary) -> Dropped:
    reason = _reason(labels)
    meaning, advice = REASONS.get(reason, ("", ""))
    return Dropped(reason, meaning, advice, lately, summary.total)


def _reason(labels: str) -> str:
    """Return the reason in a label set, or the label set itself if it has none."""
    return readable_labels(labels).get("reason", labels)


def _overflown_metrics() -> Any:
    return Total.objects.filter(period=LONGEST, labels=OVERFLOW_LABELS).values("metric")


def _kept() -> int | None:
    try:
        return get_backend().kept
    except ImproperlyConfigured:
        return None


def _mails(mails: Any) -> Mails:
    found = mails.filter(status__in=(FAILED, UNDECIDED))
    recent = Q(planned_at__gte=timezone.now() - timedelta(days=LATELY))
    rows = found.order_by().values_list("status").annotate(all=Count("pk"), recent=Count("pk", filter=recent))
    counts = {status: (number, lately) for status, number, lately in rows}
    latest = list(found.order_by("-pk")[:SHOWN_MAILS])
    failed, undecided = counts.get(FAILED, (0, 0)), counts.get(UNDECIDED, (0, 0))
    return Mails(failed[0], undecided[0], latest, not failed[1] and not undecided[1])


def _never_recorded(rules: Sequence[Rule]) -> list[Silent]:
    """Return the metrics of rules that were never recorded."""
    named = {Silent(rule.origin, slug) for rule in rules for slug in rule.slugs}
    known = {slug for slug, _ in last_recorded({each.slug for each in named})}
    return sorted(each for each in named if each.slug not in known)
