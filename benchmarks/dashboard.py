"""Time the dashboard with years of totals on PostgreSQL, beside Django's own list of as many groups."""

from datetime import timedelta
from functools import partial
from itertools import product
from typing import NamedTuple
from uuid import UUID

from django.contrib.auth.models import Group, Permission, User
from django.db import connections
from django.db.models import Sum
from django.test import Client
from django.urls import reverse
from freezegun import freeze_time

from app_metrics.core.batch import new_batch_id
from app_metrics.core.labels import encode_labels
from app_metrics.models import Item, Metric, Total
from tests.support.summaries import summary_of

from . import history, runner
from .history import NOW, TODAY
from .runner import Case, Limit, Subject, Table, clock, expect

MILLISECONDS = 300  # at most, for a page
SHOWN = 100  # rows per page, in both lists
YESTERDAY = TODAY - timedelta(days=1)
PLANS = {"a": 6, "b": 3, "c": 1}
KINDS = [*["counter"] * 8, "gauge", "timer"]
HOURLY_DAYS = 60  # as APP_METRICS_RETENTION = {"hour": 60} leaves it
ITEMS = 5  # of each series


class Page(NamedTuple):
    """A page, the most queries it may make, and its expected words and first row."""

    url: str
    words: list[str]
    queries: int = 0
    first: str = ""


def tables(scale):
    metrics, years = scale.of((20, 1), (200, 2), (200, 5))
    if runner.available("postgresql"):
        with runner.database("postgresql") as alias, freeze_time(NOW):
            fill(alias, metrics, years)
            yield dashboard(alias, f"{metrics} metrics × {years} years", metrics, scale.of(1, 9, 9))


def fill(alias, metrics, years):
    """Store totals up to NOW, and pending items of the last hour."""
    first = TODAY.replace(year=TODAY.year - years) + timedelta(days=1)
    series = [(encode_labels({"plan": plan}), factor) for plan, factor in PLANS.items()]
    history.fill(alias, metrics, first, series=series, kinds=KINDS, hourly_days=HOURLY_DAYS)
    begin, now = new_batch_id().int, int(NOW.timestamp()) * 1_000_000
    Item.objects.bulk_create(
        Item(
            id=UUID(int=begin + number), slug=metric.slug, kind=metric.kind, day=TODAY, hour=NOW.hour, labels=labels,
            **summary_of(1, at=now - 1_000_000 * number)._asdict(),
        )
        for number, (metric, (labels, _), _) in enumerate(product(Metric.objects.all(), series, range(ITEMS)))
    )  # fmt: skip
    with connections[alias].cursor() as cursor:
        # In a real table, autovacuum did this long ago; it should not start during a measurement.
        cursor.execute("VACUUM ANALYZE")


def dashboard(alias, sizes, groups, repeats):
    client, groups_page, measured = visitor(), list_of_groups(groups), []
    visits = {"Django's list of groups": Subject(partial(clock, visit, client, groups_page))}
    for name, page in (overviews() | details()).items():
        queries = runner.statements(partial(visit, client, page), alias)
        facts = {"queries": len(queries), "ours": sum("app_metrics_" in each for each in queries)}
        case = Case(name, Subject(partial(clock, visit, client, page)), visits, limited(name, page), facts=facts)
        measured += runner.measure([case], repeats)
    title = (
        f"Dashboard of {sizes} × {len(PLANS)} label sets ({Total.objects.count():,} totals, "
        f"{Item.objects.count():,} items, PostgreSQL), beside Django's own list of {groups} groups, median of {repeats}"
    )
    columns = [runner.name("page"), runner.fact("queries"), runner.fact("of them ours", "ours"), runner.number("ms")]
    return Table(title, [*columns, runner.spread("ms"), *runner.ratio(), runner.AT_MOST], measured)


def limited(name, page):
    """Limit the queries and the milliseconds of a page."""

    def found(measured):
        return measured.case.facts["queries"], measured.median() * 1e3

    def met(measured):
        queries, milliseconds = found(measured)
        return queries <= page.queries and milliseconds <= MILLISECONDS

    form = "{} queries, {:.1f} ms".format
    limit = f"{page.queries} queries, {MILLISECONDS} ms"
    return Limit(limit, lambda each: form(*found(each)), met, f"dashboard: {name}", "-")


def visitor():
    """Log in a user who may only view metrics and groups."""
    user, client = User.objects.create_user("viewer", is_staff=True), Client()
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_metric", "view_group"]))
    client.force_login(user)
    return client


def list_of_groups(groups):
    names = [f"Group {number:03}" for number in range(groups)]
    Group.objects.bulk_create(Group(name=name) for name in names)
    return Page(reverse("admin:auth_group_changelist"), names[:SHOWN])


def overviews():
    names = list(Metric.objects.values_list("name", flat=True))
    url = reverse("admin:app_metrics_dashboard_changelist")
    # Pending items do not change which counter is the busiest: every metric has the same number of them.
    today = Total.objects.filter(period="day", start=TODAY, metric__kind="counter").values("metric__name")
    busiest = today.annotate(recorded=Sum("count")).latest("recorded")["metric__name"]
    pages = {
        "overview": Page(url, names[:SHOWN], 13, f">{names[0]}</a>"),
        "overview, most today first": Page(f"{url}?sort=-today", [busiest], 13, f">{busiest}</a>"),
    }
    if names[SHOWN:]:
        pages["overview, its other half"] = Page(f"{url}?page=2", names[SHOWN:], 13, f">{names[SHOWN]}</a>")
    return pages


def details():
    """Return the pages of a single metric, each with what it must show for yesterday."""
    counter, timer = (Metric.objects.filter(kind=kind)[0] for kind in ("counter", "timer"))
    url, timers = (reverse("admin:app_metrics_dashboard_metric", args=[each.slug]) for each in (counter, timer))
    day = f"{YESTERDAY:%A, {YESTERDAY.day} %B %Y}"
    total, noon = f"{day}</th>{cells(counter)}", f"{day}, noon</th>{cells(counter, {'period': 'hour', 'hour': 12})}"
    by_plan = cells(counter, *({"labels": encode_labels({"plan": plan})} for plan in PLANS))
    plans = [*(f">{plan}</th>" for plan in PLANS), f"{day}</th>{by_plan}"]
    return {
        "metric": Page(url, [counter.name, total], 16),
        "metric, 91 days": Page(f"{url}?range=91d", [counter.name, total], 16),
        "metric, hours of 2 days": Page(f"{url}?range=2d&period=hour", [counter.name, noon], 16),
        "metric, split by plan": Page(f"{url}?split=plan", [counter.name, *plans], 16),
        "metric, a timer": Page(timers, [timer.name, cells(timer)], 16),
    }


def cells(metric, *filters):
    """Return a row with how often a metric was recorded yesterday: on the whole, or by these filters."""
    yesterday = metric.totals.filter(start=YESTERDAY)
    rows = [yesterday.filter(**{"period": "day", **each}) for each in filters or [{}]]
    return "".join(f"<td>{int(each.aggregate(recorded=Sum('count'))['recorded']):,}</td>" for each in rows)


def visit(client, page):
    """Request a page; raise AssertionError unless it has the expected content."""
    response = client.get(page.url)
    expect(f"status of {page.url}", response.status_code, 200)
    text = response.content.decode()
    expect(f"missing on {page.url}", [word for word in page.words if word not in text], [])
    first = text.partition("<tbody>")[2].partition("</tr>")[0]
    expect(f"{page.first!r} at the beginning of {page.url}", page.first in first, True)
