"""Plan the reports that are due, with one delivery per recipient."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from functools import partial

from django.db import IntegrityError, transaction
from django.db.models import Max, Q
from django.utils import timezone

from ..conf import catch_up, settings, time_zone
from ..core.calendar import as_stored, aware, latest_closed, local_day, start_of, today
from ..core.periods import Period, midnight
from ..models import Delivery, MetricSet, Milestone, ReportedMilestone, Schedule
from ..models.primary import beside, primary
from ..models.reports import FAILED, SENT_PERIODS, SKIPPED, WAITING
from ..notifications.future_marks import last_start
from ..storage.transactions import between_others, retried
from .recipients import recipients_of

# A milestone still gets into a report if it is committed this long after its period, or if clocks differ by this much.
LATEST_MILESTONE = timedelta(days=1)


def plan(metric_set: MetricSet, as_of: date, *, force: bool = False) -> None:
    """Create a delivery to each recipient of every report that is due on `as_of` and not planned yet.

    The schedules of all periods advance, even if the set does not send them: a period that is turned on later begins
    with its next report. `force` plans the latest reports again.
    """
    for period in SENT_PERIODS:
        retried(partial(_plan_period, metric_set, period, latest_closed(period, as_of)))
        if force and period in metric_set.periods:
            _plan_again(metric_set, period, latest_closed(period, as_of))


def due_deliveries(metric_set: MetricSet, as_of: date) -> Iterator[Delivery]:
    """Yield the deliveries to send now, by period, oldest first."""
    for period in SENT_PERIODS:
        first = earliest_due(period, as_of)
        pending = primary(metric_set.deliveries).filter(period=period, start__gte=first, status__in=(WAITING, FAILED))
        yield from pending.select_related("metric_set").order_by("start", "pk")


def earliest_due(period: Period, as_of: date) -> date:
    """Return the start of the oldest period whose reports are still sent."""
    return period.shift(latest_closed(period, as_of), 1 - catch_up())


def chosen_sets(names: Iterable[str] | None) -> list[MetricSet]:
    """Return the metric sets with these names, or all if it is None. Raises ValueError for an unknown name."""
    if names is None:
        return list(primary(MetricSet.objects))
    names = list(names)
    found = {each.name: each for each in primary(MetricSet.objects).filter(name__in=names)}
    missing = [name for name in names if name not in found]
    if missing:
        known = ", ".join(repr(name) for name in primary(MetricSet.objects).values_list("name", flat=True)[:30])
        hint = f"choose one of {known}" if known else "there are no metric sets yet"
        raise ValueError(f"There is no metric set {missing[0]!r}; {hint}.")
    return list(found.values())


def checked_day(day: date | None) -> date:
    """Return the date to use as today, by default today. Raises ValueError for a future date."""
    day = today() if day is None else local_day(day)
    if day > today():
        raise ValueError(f"{day} is in the future; give today or an earlier date.")
    return day


@contextmanager
def rehearsal() -> Iterator[None]:
    """Roll back everything that the block plans or declares."""
    with transaction.atomic(using=settings.APP_METRICS_DATABASE):
        yield
        transaction.set_rollback(True, using=settings.APP_METRICS_DATABASE)


def _plan_period(metric_set: MetricSet, period: Period, due: date) -> None:
    schedule = primary(Schedule.objects).filter(metric_set=metric_set, period=period).first()
    planned = planned_through(schedule, period)
    if planned is not None and planned >= due:
        return
    now = timezone.now()
    with between_others():
        moved = _move_on(metric_set, period, schedule, {"through": due, "planned_at": now})
        if moved is None:
            return
        _forget_future(metric_set, period)
        if period in metric_set.periods:
            starts = _missed(period, planned or period.previous(due), due)
            # Each milestone is in one report of a schedule: in that of its period, or late in the oldest one planned.
            ReportedMilestone.objects.bulk_create(
                ReportedMilestone(
                    schedule=moved, milestone=each, start=_nearest(period, aware(each.reached_at), starts)
                )
                for each in unreported_milestones(metric_set, period, planned, due)
            )
            _add(metric_set, period, starts, now)


def planned_through(schedule: Schedule | None, period: Period) -> date | None:
    """Return the start of the last period that was planned; None if there is none.

    If the schedule is in the future because of a wrong clock, the deliveries show what was planned.
    """
    if schedule is None:
        return None
    if schedule.through <= last_start(period):
        return schedule.through
    planned = beside(schedule, Delivery.objects).filter(metric_set=schedule.metric_set_id, period=period)
    found: date | None = planned.filter(start__lt=latest_closed(period, today())).aggregate(Max("start"))["start__max"]
    return found


def unreported_milestones(metric_set: MetricSet, period: Period, planned: date | None, due: date) -> list[Milestone]:
    """Return the milestones reached up to the end of the period at `due` that are in no report with this period yet.

    `planned` is the start of the last planned period. The first report begins with the period at `due`. Later,
    milestones are included that were committed up to a day after the end of their period; stored rows show which are
    reported. So are those that a wrong clock put into the future, or they would wait until then.
    """
    zone = time_zone()
    since = midnight(period.next(planned), zone) - LATEST_MILESTONE if planned else midnight(due, zone)
    until = midnight(period.next(due), zone)
    reached = Q(reached_at__gte=as_stored(since), reached_at__lt=as_stored(until))
    future = Q(reached_at__gt=timezone.now() + LATEST_MILESTONE)
    reported = beside(metric_set, ReportedMilestone.objects).filter(
        schedule__metric_set=metric_set, schedule__period=period
    )
    slugs = beside(metric_set, metric_set.metrics).values("slug")
    found = beside(metric_set, Milestone.objects).filter(reached | future, slug__in=slugs)
    return list(found.exclude(pk__in=reported.values("milestone")))


def reported_milestones(metric_set: MetricSet, period: Period, start: date) -> list[Milestone]:
    """Return the milestones that the planned report on the period at `start` lists."""
    reported = beside(metric_set, ReportedMilestone.objects).filter(
        schedule__metric_set=metric_set, schedule__period=period, start=start
    )
    return list(beside(metric_set, Milestone.objects).filter(pk__in=reported.values("milestone")))


def _move_on(metric_set: MetricSet, period: str, schedule: Schedule | None, values: dict[str, date]) -> Schedule | None:
    """Store the latest planned report in the schedule; return None if another process did so meanwhile."""
    if schedule is not None:
        moved = Schedule.objects.filter(pk=schedule.pk, through=schedule.through).update(**values)
        return schedule if moved else None
    new = Schedule(metric_set=metric_set, period=period, **values)
    # Not get_or_create: it reads first, and SQLite then refuses the write if there is another writer.
    try:
        with transaction.atomic(using=settings.APP_METRICS_DATABASE):
            new.save(force_insert=True)
    except IntegrityError:
        return None
    return new


def _forget_future(metric_set: MetricSet, period: Period) -> None:
    """Delete the deliveries that a wrong clock planned and that were not sent: their periods are still to come."""
    future = metric_set.deliveries.filter(period=period, start__gt=last_start(period))
    future.filter(status__in=(WAITING, FAILED, SKIPPED)).delete()


def _nearest(period: Period, moment: datetime, starts: Sequence[date]) -> date:
    """Return the start of the period that contains a moment, or the nearest one in `starts`."""
    return max(starts[0], min(start_of(period, moment), starts[-1]))


def _missed(period: Period, through: date, due: date) -> list[date]:
    """Return the starts after `through` up to `due`, but only the latest APP_METRICS_CATCH_UP of them."""
    return [start for start in period.latest(due, catch_up()) if start > through]


def _add(metric_set: MetricSet, period: str, starts: Iterable[date], now: datetime) -> None:
    recipients = recipients_of(metric_set)
    Delivery.objects.bulk_create(
        [
            Delivery(
                metric_set=metric_set,
                period=period,
                start=start,
                recipient=recipient.identity,
                address=recipient.address,
                planned_at=now,
            )
            for start in starts
            for recipient in recipients
        ],
        ignore_conflicts=True,
    )


def _plan_again(metric_set: MetricSet, period: str, start: date) -> None:
    """Replace the deliveries of a report, so that its mails get new Message-IDs; its milestones stay the same."""
    planned = primary(metric_set.deliveries).filter(period=period, start=start)
    identities = [each.identity for each in recipients_of(metric_set)]
    with transaction.atomic(using=settings.APP_METRICS_DATABASE):
        planned.filter(recipient__in=identities).delete()
        _add(metric_set, period, [start], timezone.now())
