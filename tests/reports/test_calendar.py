"""Fourteen months of reports on a simulated clock: each comes once, none early, and every figure matches the events.

The reference below computes the expected reports without code of the package. `make soak` runs all months.
"""

import calendar
import random
import re
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.core import mail
from freezegun import freeze_time

from app_metrics import gauge, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.core.formatting import shown
from app_metrics.models import Delivery, MetricSet, Milestone, Schedule
from app_metrics.models.creation import create_metric
from app_metrics.recording.metrics import record
from app_metrics.reports import sending
from app_metrics.reports.sending import send_reports
from tests.support.scope import full_length

pytestmark = pytest.mark.slow

FIRST, LAST = date(2027, 12, 20), date(2029, 3, 5)
# The time zone, the first day of its week, and the range of a normal run: a leap day and a short day, or a year's end.
PLACES = {
    "Europe/Berlin": ("monday", date(2028, 2, 27), date(2028, 3, 28)),
    "America/New_York": ("sunday", date(2028, 12, 20), date(2029, 1, 10)),
}
CATCH_UP = 3
EVERY = 100  # orders per milestone
DAY, WEEK, MONTH = "day", "week", "month"
SETS = {"Daily": [DAY], "Weekly": [WEEK], "Monthly": [MONTH], "Everything": [DAY, WEEK, MONTH]}
KINDS = {"export": "timer", "orders": "counter", "queue": "gauge"}
PLANS = ("free", "pro", "team", None)
PLAIN, USER = "Team@example.com", "ann@example.com"
HOUR, MICROSECOND = timedelta(hours=1), timedelta(microseconds=1)


# The reference calendar


def begin(period, day, week_start):
    """Return the first date of the period that holds a date."""
    if period == DAY:
        return day
    if period == MONTH:
        return date(day.year, day.month, 1)
    return day - timedelta(days=day.weekday() if week_start == "monday" else (day.weekday() + 1) % 7)


def end(period, start):
    if period == MONTH:
        return date(start.year, start.month, calendar.monthrange(start.year, start.month)[1])
    return start + timedelta(days={DAY: 0, WEEK: 6}[period])


def following(period, start):
    return end(period, start) + timedelta(days=1)


def preceding(period, start, steps=1):
    for _ in range(steps):
        if period == MONTH:
            start = date(start.year - (start.month == 1), 12 if start.month == 1 else start.month - 1, 1)
        else:
            start -= timedelta(days={DAY: 1, WEEK: 7}[period])
    return start


def compared(period, start, week_start):
    """Return the starts of the periods that a period is compared with, by name."""
    starts = {"before": preceding(period, start)}
    if period == DAY:
        starts |= {"week_before": start - timedelta(days=7), "year_before": start - timedelta(days=364)}
    if period == MONTH:
        starts["year_before"] = date(start.year - 1, start.month, 1)
    if period == WEEK:
        to_monday = timedelta(days=0 if week_start == "monday" else 1)
        year, week, _ = (start + to_monday).isocalendar()
        weeks_before = [date(year - 1, 1, 4) + timedelta(days=7 * each) for each in range(53)]
        same = [day for day in weeks_before if day.isocalendar()[:2] == (year - 1, week)]
        starts["year_before"] = same[0] - timedelta(days=same[0].weekday()) - to_monday if same else None
    return starts


# The reference figures


class Events:
    """All recorded events as (moment, number, plan), by slug and local date."""

    def __init__(self, zone, week_start):
        self.zone, self.week_start = zone, week_start
        self.days = {slug: defaultdict(list) for slug in KINDS}

    def add(self, slug, moment, number, plan):
        self.days[slug][moment.astimezone(self.zone).date()].append((moment, Decimal(str(number)), plan))

    def during(self, slug, period, start):
        day, found = start, []
        while day <= end(period, start):
            found += self.days[slug].get(day, [])
            day += timedelta(days=1)
        return found

    def number(self, slug, period, start):
        events = self.during(slug, period, start)
        if KINDS[slug] == "counter":
            return sum(number for _, number, _ in events)
        if not events:
            return None
        if KINDS[slug] == "gauge":
            return max(events)[1]
        mean = Fraction(sum(number for _, number, _ in events)) / len(events)
        return (Decimal(mean.numerator) / Decimal(mean.denominator)).quantize(Decimal("1e-9"), ROUND_HALF_EVEN)

    def figures(self, slug, period, start):
        """Return the expected contents of a report line."""
        events = self.during(slug, period, start)
        numbers = [number for _, number, _ in events]
        starts = [preceding(period, start, 13 - step if period == DAY else 11 - step) for step in range(14)]
        starts = starts if period == DAY else starts[:12]
        picture = [(each, self.number(slug, period, each)) for each in starts]
        days = picture if period == DAY else [(day, self.number(slug, DAY, day)) for day in self.dates(period, start)]
        known = [(day, number) for day, number in days if number is not None]
        best = max(known, key=lambda point: (point[1], -point[0].toordinal()), default=None)
        worst = min(known, key=lambda point: (point[1], point[0].toordinal()), default=None)
        if best and best[1] == worst[1]:
            best = worst = None
        shares = defaultdict(Decimal)
        for _, number, plan in events:
            if plan:
                shares[plan] += number
        bases = compared(period, start, self.week_start).items()
        return {
            "summary": (len(numbers), sum(numbers), min(numbers), max(numbers), max(events)[1]) if events else None,
            "number": self.number(slug, period, start),
            "bases": {name: (base, self.number(slug, period, base) if base else None) for name, base in bases},
            "picture": picture,
            "best": best,
            "worst": worst,
            "shares": sorted((("plan", *pair) for pair in shares.items()), key=lambda share: (-share[2], share[1])),
        }

    def dates(self, period, start):
        day = start
        while day <= end(period, start):
            yield day
            day += timedelta(days=1)


def said(line):
    """Return the contents of a report line in the shape of `Events.figures`."""
    return {
        "summary": tuple(line.summary[:5]) if line.summary else None,
        "number": line.number,
        "bases": {name: (each.start, each.base) for name, each in line.trend.comparisons.items()},
        "picture": [tuple(point) for point in line.picture],
        "best": tuple(line.best) if line.best else None,
        "worst": tuple(line.worst) if line.worst else None,
        "shares": [tuple(share) for share in line.shares],
    }


# The timeline


def awkward_moments(zone, first, last):
    """Yield the midnights of months, weeks and leap days, and the hours around clock changes."""
    day = first
    while day <= last:
        midnight = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
        evening = datetime(day.year, day.month, day.day, 23, 30, tzinfo=zone)
        changes = midnight.astimezone(zone).utcoffset() != evening.utcoffset()
        if changes:
            yield from (midnight + timedelta(minutes=30 * step) for step in range(10))
        if day.day == 1 or day.weekday() in (0, 6) or changes or (day.month, day.day) == (2, 29):
            yield from (midnight - MICROSECOND, midnight)
        day += timedelta(days=1)


def timeline(rng, zone, first, last, gaps):
    """Return moments and what happens at each, in order: random events and aggregations, and sending after each gap."""
    begin_at = datetime(first.year, first.month, first.day, 3, tzinfo=zone).astimezone(UTC)
    end_at = datetime(last.year, last.month, last.day, 23, tzinfo=zone).astimezone(UTC)
    happens = [(moment, slug) for moment in awkward_moments(zone, first, last) for slug in KINDS]
    hour = begin_at
    while hour < end_at:
        recorded = [slug for slug in KINDS if rng.random() < 0.08]
        happens += [(hour + timedelta(microseconds=rng.randrange(3_600_000_000)), slug) for slug in recorded]
        if rng.random() < 0.04:
            happens.append((hour + timedelta(seconds=rng.randrange(3600)), "aggregate"))
        hour += HOUR
    moment = begin_at
    while moment < end_at:
        happens.append((moment, "send"))
        moment += timedelta(seconds=rng.randint(*gaps))
        if rng.random() < 0.1:  # move it back to exactly midnight
            local = moment.astimezone(zone)
            moment = max(
                happens[-1][0] + timedelta(minutes=1),
                datetime(local.year, local.month, local.day, tzinfo=zone).astimezone(UTC),
            )
    happens.append((end_at, "send"))
    return sorted(each for each in happens if begin_at <= each[0] <= end_at)


def record_event(rng, events, slug, moment):
    plan = None
    if slug == "orders":
        number, plan = rng.randint(1, 40), rng.choice(PLANS)
        metric(slug, number, labels={"plan": plan} if plan else None)
    elif slug == "queue":
        number = rng.randint(0, 5000)
        gauge(slug, number)
    else:
        number = rng.randint(1, 5_000_000_000) / 10**6
        record(slug, "timer", number)
    events.add(slug, moment, number, plan)


class Post:
    """The reports that are due, according to the reference, and those that were mailed."""

    def __init__(self, events):
        self.events = events
        self.through = {}
        self.mailed = defaultdict(list)
        self.milestones = defaultdict(list)

    def due(self, today):
        """Return the reports due in a run as (set, period, start), and remember them as planned."""
        reports = []
        for name, periods in sorted(SETS.items()):
            for period in periods:
                latest = preceding(period, begin(period, today, self.events.week_start))
                starts = [latest]
                if (name, period) in self.through:
                    starts = []
                    start = following(period, self.through[name, period])
                    while start <= latest:
                        starts.append(start)
                        start = following(period, start)
                self.through[name, period] = latest
                reports += [(name, period, start) for start in starts[-CATCH_UP:]]
        return reports

    def collect(self, today):
        """Check the mails of a run, and clear the outbox."""
        expected = [(*report, recipient) for report in self.due(today) for recipient in (USER, PLAIN)]
        assert [(*key(each.report), each.to[0]) for each in mail.outbox] == expected
        for each in mail.outbox:
            assert end(each.report.period, each.report.start) == each.report.end < today
            self.check(each)
            self.mailed[key(each.report)[:2], each.to[0]].append(each.report.start)
            reached = self.milestones[key(each.report)[:2], each.to[0]]
            reached += sorted(int(milestone.value) for milestone in each.report.milestones)
        mail.outbox.clear()

    def check(self, message):
        report = message.report
        assert [line.metric.slug for line in report.lines] == list(KINDS)
        for line in report.lines:
            expected = self.events.figures(line.metric.slug, report.period, report.start)
            assert said(line) == expected, (key(report), line.metric.slug)
            # The first column of the text is the number in English format.
            text = re.search(rf"^{line.metric.name} +(.+?)(  |$)", message.body, re.MULTILINE)[1]
            number = expected["number"]
            if line.metric.kind == "timer":
                assert text == shown(number, "timer")
            else:
                assert text == ("–" if number is None else f"{number:,}")


def key(report):
    return report.metric_set.name, report.period, report.start


def make_sets():
    ann = User.objects.create(username="ann", email=USER)
    metrics = [create_metric(slug.title(), slug, kind) for slug, kind in KINDS.items()]
    for name, periods in SETS.items():
        made = MetricSet.objects.create(
            name=name,
            email_addresses=PLAIN,
            send_daily=DAY in periods,
            send_weekly=WEEK in periods,
            send_monthly=MONTH in periods,
        )
        made.metrics.set(metrics)
        made.email_recipients.add(ann)


def keep_report(report, recipient, headers=None, original=sending.message):
    made = original(report, recipient, headers)
    made.report = report
    return made


def live(rng, zone, week_start, first, last, gaps):
    """Run through the timeline; return the mailed reports."""
    events = Events(zone, week_start)
    post = Post(events)
    with freeze_time(datetime(first.year, first.month, first.day, tzinfo=UTC)) as clock:
        make_sets()
        gauge("queue", 0, at=datetime(2020, 1, 1, tzinfo=UTC))  # counting began then
        with patch.object(sending, "message", keep_report):
            for moment, what in timeline(rng, zone, first, last, gaps):
                clock.move_to(moment)
                if what == "send":
                    assert send_reports().problems == []
                    post.collect(moment.astimezone(zone).date())
                elif what == "aggregate":
                    aggregate()
                else:
                    record_event(rng, events, what, moment)
    return post


@pytest.fixture(params=PLACES)
def place(request, settings):
    """Return a time zone, the first day of its week, and the first and last date of the run."""
    week_start, first, last = PLACES[request.param]
    settings.APP_METRICS_TIME_ZONE = request.param
    settings.APP_METRICS_WEEK_START = week_start
    settings.APP_METRICS_CATCH_UP = CATCH_UP
    settings.APP_METRICS_MILESTONES = {"orders": {"every": EVERY}}
    return ZoneInfo(request.param), week_start, *((FIRST, LAST) if full_length else (first, last))


@pytest.mark.django_db
@pytest.mark.timeout(900)
def test_with_gaps_that_are_caught_up_every_report_arrives_once_in_order_and_right(place):
    zone, week_start, first, last = place
    # At most three days end within 60 hours, so all are caught up.
    post = live(random.Random(f"below {zone}"), zone, week_start, first, last, gaps=(60, 60 * 3600))

    for name, periods in SETS.items():
        for period in periods:
            start = preceding(period, begin(period, first, week_start))
            everything = []
            while end(period, start) < last:
                everything.append(start)
                start = following(period, start)
            for recipient in (USER, PLAIN):
                assert post.mailed[(name, period), recipient] == everything
    check_milestones(post)
    assert Delivery.objects.exclude(status="sent").count() == 0


@pytest.mark.django_db
@pytest.mark.timeout(900)
def test_with_longer_gaps_the_latest_reports_arrive_once_in_order_and_right(place):
    zone, week_start, first, last = place
    longest = 75 if full_length else 12
    post = live(random.Random(f"above {zone}"), zone, week_start, first, last, (4 * 86400, longest * 86400))

    days = post.mailed[("Daily", DAY), USER]
    assert days == sorted(set(days))
    # Gaps are longer than the limit of catching up, so some days have no report.
    assert len(days) < (last - first).days
    check_milestones(post)


def check_milestones(post):
    """Check that reports of each kind name each milestone once, in order, up to the end of the latest one."""
    reached = sorted(Milestone.objects.values_list("value", "reached_at"))
    total = sum(int(number) for day in post.events.days["orders"].values() for _, number, _ in day)
    assert [int(value) for value, _ in reached] == list(range(EVERY, total + 1, EVERY))
    for name, periods in SETS.items():
        for period in periods:
            after = following(period, Schedule.objects.get(metric_set__name=name, period=period).through)
            expected = [int(value) for value, moment in reached if moment.astimezone(post.events.zone).date() < after]
            assert expected
            for recipient in (USER, PLAIN):
                assert post.milestones[(name, period), recipient] == expected
