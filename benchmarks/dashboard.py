"""How long the dashboard takes with 200 metrics and three label sets on PostgreSQL, over two years, or five at scale.

`make bench` calls this: `python -m benchmarks.dashboard` starts a private PostgreSQL, or takes the one that
APP_METRICS_TEST_POSTGRESQL names, and times each page beside Django's own list of 200 groups. With `--keep` it only
fills the database, prints how to connect to it, and keeps it until Ctrl-C or SIGTERM.
"""

import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

from freezegun import freeze_time

from tests.support import services

from . import history
from .measuring import Result, Subject, clock, expect, measure, save, verdict
from .tables import Table

REPEATS = 9
LIMIT_MS = 300
OVERVIEW_QUERIES, METRIC_QUERIES = 8, 10
GROUPS = 200
SHOWN = 100  # rows of one page, here and there
USER = "viewer"
YESTERDAY = history.TODAY - timedelta(days=1)


class Page(NamedTuple):
    """A page to be timed, and what shows that it is the right one.

    It must hold at least so many of the words, everything in `holds`, and `first` in the first row of its table.
    """

    url: str
    words: Sequence[str]
    least: int
    queries: int = 0
    holds: Sequence[str] = ()
    first: str = ""


def main(*arguments: str) -> int:
    with postgresql() as reason:
        if reason:
            print(f"The dashboard was not measured: {reason}.")
            return 0
        prepare()
        if "--keep" in arguments:
            keep()
        else:
            run()
    return 0


@contextmanager
def postgresql() -> Iterator[str]:
    """Have a server for the length of the block; yield why there is none, or an empty text."""
    if services.variable("postgresql") in os.environ:
        yield ""
        return
    supervisor = services.Supervisor(["postgresql"])
    try:
        supervisor.publish()
        yield services.missing.get("postgresql", "")
    finally:
        supervisor.stop()


def prepare() -> None:
    """Migrate, and fill the database unless it was filled before; refuse one that holds something else."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    django.setup()
    from django.core.management import call_command

    from app_metrics.models import Metric, Total

    call_command("migrate", verbosity=0)
    if not Metric.objects.exists():
        seconds = clock(history.fill)
        create_people()
        print(f"Filled {Total.objects.count():,} totals in {seconds:.0f} s.", flush=True)
    elif not history.is_filled():
        # It was given, so nobody but its owner may empty it.
        sys.exit(f"The database does not hold {history.METRICS} metrics × {history.YEARS} years: name an empty one.")


def create_people() -> None:
    """Create a user who may view metrics and groups, without being a superuser, and the groups."""
    from django.contrib.auth.models import Group, Permission, User

    user = User.objects.create_user(USER, password=USER, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_metric", "view_group"]))
    Group.objects.bulk_create(Group(name=f"Group {number:03}") for number in range(GROUPS))


def keep() -> None:
    name = services.variable("postgresql")
    print(f"export DJANGO_SETTINGS_MODULE=benchmarks.settings {name}={shlex.quote(os.environ[name])}", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("Stopping.")


def run() -> None:
    from django.contrib.auth.models import User
    from django.test import Client

    from app_metrics.models import Item, Total

    rows = {"totals": Total.objects.count(), "items": Item.objects.count()}
    with freeze_time(history.NOW):
        client = Client()
        client.force_login(User.objects.get(username=USER))
        reference = partial(visit, client, groups())
        results = {name: judged(name, page, partial(visit, client, page), reference) for name, page in pages().items()}
    table = tabulated(rows, results)
    print(table.text())
    limits = [each["limit"] for each in results.values()]
    save("dashboard", tables=[table], limits=limits, rows=rows, repeats=REPEATS, results=results)


def pages() -> dict[str, Page]:
    return overviews() | details()


def overviews() -> dict[str, Page]:
    from django.urls import reverse

    from app_metrics.models import Metric

    names = list(Metric.objects.values_list("name", flat=True))
    url = reverse("admin:app_metrics_dashboard_changelist")
    overview = Page(url, names[:SHOWN], SHOWN, OVERVIEW_QUERIES, first=f">{names[0]}</a>")
    other_half = overview._replace(url=f"{url}?page=2", words=names[SHOWN:], first=f">{names[SHOWN]}</a>")
    return {
        "overview": overview,
        "overview, most today first": overview._replace(
            url=f"{url}?sort=-today", words=names, first=f">{busiest()}</a>"
        ),
        "overview, its other half": other_half,
    }


def busiest() -> str:
    """Return the name of the metric with the most today: a counter, and of each as many items wait."""
    from django.db.models import Sum

    from app_metrics.models import Total

    today = Total.objects.filter(period="day", start=history.TODAY, metric__kind="counter").values("metric__name")
    return str(today.annotate(recorded=Sum("count")).latest("recorded")["metric__name"])


def details() -> dict[str, Page]:
    """Return the pages of a single metric, each with what it must say of yesterday."""
    from django.urls import reverse

    from app_metrics.models import Metric

    counter, timer = (Metric.objects.filter(kind=kind)[0] for kind in ("counter", "timer"))
    urls = {each: reverse("admin:app_metrics_dashboard_metric", args=[each.slug]) for each in (counter, timer)}
    url, day = urls[counter], f"{YESTERDAY:%A, {YESTERDAY.day} %B %Y}"
    metric = Page(url, [counter.name], 1, METRIC_QUERIES, [f"{day}</th>{cells(recorded(counter))}"])
    noon = f"{day}, noon</th>{cells(recorded(counter, period='hour', hour=12))}"
    plans = [*(f">{plan}</th>" for plan in history.PLANS), f"{day}</th>{cells(*by_plan(counter))}"]
    return {
        "metric": metric,
        "metric, 91 days": metric._replace(url=f"{url}?range=91d"),
        "metric, hours of 2 days": metric._replace(url=f"{url}?range=2d&period=hour", holds=[noon]),
        "metric, split by plan": metric._replace(url=f"{url}?split=plan", holds=plans),
        "metric, a timer": metric._replace(url=urls[timer], words=[timer.name], holds=[cells(recorded(timer))]),
    }


def recorded(metric: Any, period: str = "day", **which: Any) -> int:
    """Return how often a metric was recorded yesterday: the number of a counter."""
    from django.db.models import Sum

    rows = metric.totals.filter(period=period, start=YESTERDAY, **which)
    return int(rows.aggregate(recorded=Sum("count"))["recorded"])


def by_plan(metric: Any) -> list[int]:
    from app_metrics.core.labels import encode_labels

    return [recorded(metric, labels=encode_labels({"plan": plan})) for plan in history.PLANS]


def cells(*numbers: int) -> str:
    return "".join(f"<td>{number:,}</td>" for number in numbers)


def groups() -> Page:
    from django.urls import reverse

    return Page(reverse("admin:auth_group_changelist"), [f"Group {number:03}" for number in range(SHOWN)], SHOWN)


def visit(client: Any, page: Page) -> None:
    """Request a page; raise AssertionError unless it answers and is the right one."""
    response = client.get(page.url)
    expect(f"status of {page.url}", response.status_code, 200)
    text = response.content.decode()
    found = sum(word in text for word in page.words)
    if found < page.least:
        raise AssertionError(f"{page.url} shows {found} of {page.least} rows.")
    expect(f"missing on {page.url}", [word for word in page.holds if word not in text], [])
    if page.first not in text.partition("<tbody>")[2].partition("</tr>")[0]:
        raise AssertionError(f"{page.url} does not begin with {page.first!r}.")


def judged(name: str, page: Page, subject: Subject, reference: Subject) -> Result:
    """Measure a page; add its limits and whether it keeps to them."""
    result = measure(subject, reference, REPEATS)
    limit = {
        "what": f"dashboard: {name}",
        "against": "-",
        "found": f"{result['statements']} queries, {result['seconds'] * 1000:.1f} ms",
        "limit": f"{page.queries} queries, {LIMIT_MS} ms",
        "met": result["statements"] <= page.queries and result["seconds"] * 1000 <= LIMIT_MS,
    }
    return {**result, "url": page.url, "most_statements": page.queries, "limit": limit}


def tabulated(rows: dict[str, int], results: dict[str, Result]) -> Table:
    sizes = f"{history.METRICS} metrics × {history.YEARS} years × {len(history.PLANS)} label sets"
    title = (
        f"Dashboard of {sizes} ({rows['totals']:,} totals, {rows['items']:,} items, PostgreSQL), beside Django's own "
        f"list of {GROUPS} groups, median of {REPEATS}; at most {LIMIT_MS} ms"
    )
    lines = []
    for name, each in results.items():
        bounds = f"{each['seconds_from'] * 1000:.1f}–{each['seconds_to'] * 1000:.1f}"
        queries = [f"{each['statements']} of {each['most_statements']}", str(each["own_statements"])]
        ratio = [f"{each['ratio']:.2f}×", f"{each['ratio_from']:.2f}–{each['ratio_to']:.2f}"]
        lines.append([name, *queries, f"{each['seconds'] * 1000:.1f}", bounds, *ratio, verdict(each["limit"])])
    columns = ["page", "queries, at most", "of them ours", "ms", "spread", "ratio", "spread", "limits"]
    return Table(title, columns, lines)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
