"""How long the dashboard takes with 200 metrics and three label sets on PostgreSQL, over two years, or five at scale.

`make bench` calls this: `python -m benchmarks.dashboard` starts a private PostgreSQL, or takes the one that
APP_METRICS_TEST_POSTGRESQL names, and times each page beside Django's own list of 200 groups. With `--keep` it only
fills the database, prints how to connect to it, and keeps it until Ctrl-C or SIGTERM.
"""

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from freezegun import freeze_time

from tests import services

from . import history
from .measuring import Subject, clock, measure, save
from .tables import Table

REPEATS = 9
LIMIT_MS = 300
OVERVIEW_QUERIES, METRIC_QUERIES = 8, 10
GROUPS = 200
SHOWN = 100  # rows of one page, here and there
USER = "viewer"


class Page(NamedTuple):
    """A page to be timed, and the words of which it must hold at least so many to be the right one."""

    url: str
    words: list[str]
    least: int
    queries: int = 0


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
    """Migrate, and fill the database unless it was filled before."""
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
        results = {name: judged(page, partial(visit, client, page), reference) for name, page in pages().items()}
    table = tabulated(rows, results)
    print(table.text())
    save("dashboard", tables=[table], rows=rows, repeats=REPEATS, results=results)


def pages() -> dict[str, Page]:
    from django.urls import reverse

    from app_metrics.models import Metric

    names = list(Metric.objects.values_list("name", flat=True))
    overview = Page(reverse("admin:app_metrics_dashboard_changelist"), names[:SHOWN], SHOWN, OVERVIEW_QUERIES)
    counter, timer = (Metric.objects.filter(kind=kind)[0] for kind in ("counter", "timer"))
    metric = Page(reverse("admin:app_metrics_dashboard_metric", args=[counter.slug]), [counter.name], 1, METRIC_QUERIES)
    return {
        "overview": overview,
        "overview, most today first": overview._replace(url=f"{overview.url}?sort=-today", words=names),
        "overview, its other half": overview._replace(url=f"{overview.url}?page=2", words=names[SHOWN:]),
        "metric": metric,
        "metric, 91 days": metric._replace(url=f"{metric.url}?range=91d"),
        "metric, hours of 2 days": metric._replace(url=f"{metric.url}?range=2d&period=hour"),
        "metric, split by plan": metric._replace(url=f"{metric.url}?split=plan"),
        "metric, a timer": metric._replace(
            url=reverse("admin:app_metrics_dashboard_metric", args=[timer.slug]), words=[timer.name]
        ),
    }


def groups() -> Page:
    from django.urls import reverse

    return Page(reverse("admin:auth_group_changelist"), [f"Group {number:03}" for number in range(SHOWN)], SHOWN)


def visit(client: Any, page: Page) -> None:
    """Request a page; raise AssertionError unless it answers and is the right one."""
    response = client.get(page.url)
    if response.status_code != 200:
        raise AssertionError(f"{page.url} answers {response.status_code}.")
    text = response.content.decode()
    found = sum(word in text for word in page.words)
    if found < page.least:
        raise AssertionError(f"{page.url} shows {found} of {page.least} rows.")


def judged(page: Page, subject: Subject, reference: Subject) -> dict[str, Any]:
    """Measure a page; add its limits and whether it keeps to them."""
    result = measure(subject, reference, REPEATS)
    within = result["statements"] <= page.queries and result["seconds"] * 1000 < LIMIT_MS
    return {**result, "url": page.url, "most_statements": page.queries, "within": within}


def tabulated(rows: dict[str, int], results: dict[str, dict[str, Any]]) -> Table:
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
        judgement = "met" if each["within"] else "not met"
        lines.append([name, *queries, f"{each['seconds'] * 1000:.1f}", bounds, *ratio, judgement])
    columns = ["page", "queries, at most", "of them ours", "ms", "spread", "ratio", "spread", "limits"]
    return Table(title, columns, lines)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
