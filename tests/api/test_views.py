"""The JSON API: access, answers and errors."""

import json
import re
import shlex
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from itertools import product
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.db import connections
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from app_metrics import checks, collect, metric, unique
from app_metrics.aggregation.run import aggregate
from app_metrics.api import paging, parts
from app_metrics.api.access import compile_tokens
from app_metrics.core.periods import DAY, HOUR, MONTH, PERIODS, WEEK, YEAR
from app_metrics.models import Annotation, Item, Metric, Total
from app_metrics.models.creation import create_annotation, create_metric, create_metric_set
from app_metrics.recording.metrics import record
from tests.support.latin1 import latin1_columns

pytestmark = pytest.mark.urls("tests.support.api_urls")

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 23, 12, tzinfo=BERLIN)
TOKEN = "a good token"
HASH = sha256(TOKEN.encode()).hexdigest()
LIST = "/stats/api/metrics/"
SERIES, TOTALS = "/stats/api/metrics/orders/series/", "/stats/api/metrics/orders/totals/"
MISSING = [address.replace("orders", "missing") for address in (SERIES, TOTALS)]
PROMETHEUS = "/stats/prometheus/"
ENDPOINTS = [LIST, SERIES, TOTALS, PROMETHEUS]
WRITES = re.compile("INSERT|UPDATE|DELETE|REPLACE")
EVIL = "</script><img src=x onerror=alert(1)>"

GOOD = {"authorization": f"Bearer {TOKEN}"}
WRONG = {"authorization": "Bearer wrong"}


class Lenient(ModelBackend):
    """A project's own backend, which lets everybody log in and do anything."""

    def user_can_authenticate(self, user):
        return True

    def has_perm(self, user, permission, obj=None):
        return True


@pytest.fixture
def orders(database, recorded_orders):
    return database


@pytest.fixture
def site(db, recorded_orders):
    """Tests of access use one database, because access does not depend on it."""


@pytest.fixture
def recorded_orders(settings):
    """A counter with two label sets and one pending event."""
    settings.APP_METRICS_API_TOKENS = [HASH]
    create_metric("Orders", unit="EUR", description="What was paid")
    with freeze_time(NOON):
        with collect():
            metric("orders", Decimal("19.99"), labels={"plan": "pro"})
            metric("orders", 5, at=NOON - timedelta(days=1))
        aggregate()
        metric("orders", Decimal("0.01"), labels={"plan": "pro"}, at=NOON + timedelta(seconds=1))
        yield


@pytest.fixture
def get(client):
    """Return a function that reads an address with a valid token."""

    def read(address, status=200, **parameters):
        response = client.get(address, parameters, headers={"authorization": f"Bearer {TOKEN}"})
        assert response.status_code == status, response.content
        return response.json()

    return read


def user(*, permitted, **fields):
    found = User.objects.create(username="ann", **fields)
    if permitted:
        found.user_permissions.add(Permission.objects.get(codename="view_metric"))
    return found


def refuse(client, address, **headers):
    response = client.get(address, headers=headers)
    assert response.status_code == 403
    unequal = {"Expires"}  # depends on the time
    return response.content, sorted((name, value) for name, value in response.items() if name not in unequal)


# Access


def content_type(address):
    return "text/plain" if address == PROMETHEUS else "application/json"


@pytest.mark.parametrize(
    "who", ["anonymous", "without permission", "inactive", "wrong token", "wrong token, good user"]
)
def test_every_endpoint_refuses_existing_and_missing_metrics_alike(who, site, client):
    headers = WRONG if who.startswith("wrong") else {}
    if who not in ("anonymous", "wrong token"):
        client.force_login(user(permitted=who != "without permission", is_active=who != "inactive"))
    refusal = refuse(client, LIST, **headers)
    assert set(json.loads(refusal[0])) == {"error"}
    for address in (SERIES, TOTALS, *MISSING):
        assert refuse(client, address, **headers) == refusal, address
    assert refuse(client, PROMETHEUS, **headers)[0].startswith(b"You may not read the metrics")


def test_an_inactive_user_may_not_read_even_if_a_backend_permits_it(site, client, settings):
    settings.AUTHENTICATION_BACKENDS = ["tests.api.test_views.Lenient"]
    client.force_login(user(permitted=False, is_active=False))
    for address in ENDPOINTS:
        refuse(client, address)
    User.objects.update(is_active=True)
    for address in ENDPOINTS:
        assert client.get(address).status_code == 200, address


def test_a_refusal_makes_no_query_that_depends_on_the_metric(site, client):
    client.force_login(user(permitted=False))
    for address in (SERIES, TOTALS, *MISSING):
        with CaptureQueriesContext(connections["default"]) as queries:
            refuse(client, address)
        assert not [query for query in queries if "app_metrics_" in query["sql"]], address


@pytest.mark.parametrize("who", ["user", "superuser", "token", "token, user without permission"])
def test_a_user_with_the_permission_and_a_good_token_may_read(who, site, client):
    if "user" in who:
        client.force_login(user(permitted=who == "user", is_superuser=who == "superuser"))
    headers = GOOD if "token" in who else {}
    for address in ENDPOINTS:
        assert client.get(address, headers=headers).status_code == 200, address
    for address in MISSING:
        answer = client.get(address, headers=headers)
        assert (answer.status_code, answer.json()) == (404, {"error": "There is no metric 'missing'."})


def test_a_malformed_or_foreign_header_is_refused_even_beside_a_good_session(site, client):
    client.force_login(user(permitted=True))
    for header in (
        "", " ", "Bearer", "Bearer ", "Bearer\t" + TOKEN, TOKEN, f"Basic {TOKEN}", f"Bearer {HASH}", f"Bearer{TOKEN}",
        f"Bearer {TOKEN} x",
        f"Bearer {TOKEN.upper()}", "Bearer ä€", "Bearer \udcff", "\xff\xfe", "Bearer \0", "B" * 100_000,
    ):  # fmt: skip
        for address in (LIST, PROMETHEUS):
            assert client.get(address).status_code == 200
            assert client.get(address, HTTP_AUTHORIZATION=header).status_code == 403, (address, header[:100])


def test_the_name_of_the_scheme_may_be_in_either_case(site, client):
    for scheme in ("Bearer", "bearer", "BEARER", "Bearer  "):
        assert client.get(LIST, headers={"authorization": f"{scheme} {TOKEN}"}).status_code == 200, scheme


def test_any_of_several_tokens_is_accepted(site, client, settings):
    others = [sha256(text).hexdigest() for text in (b"one", b"two")]
    for position in range(3):
        settings.APP_METRICS_API_TOKENS = (*others[:position], HASH, *others[position:])
        assert client.get(LIST, headers=GOOD).status_code == 200, position
        assert client.get(LIST, headers={"authorization": "Bearer three"}).status_code == 403, position


def test_every_hash_is_compared_in_constant_time(site, client, settings, monkeypatch):
    compared = []
    monkeypatch.setattr(
        "app_metrics.api.access.constant_time_compare", lambda *pair: compared.append(pair) or pair[0] == HASH
    )
    settings.APP_METRICS_API_TOKENS = hashes = [HASH, "0" * 64, "1" * 64]
    assert client.get(LIST, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert compared == [(HASH, each) for each in hashes]


NO_TOKENS = [
    None, HASH, 7, {HASH: 1}, {HASH}, [TOKEN], [None], [HASH.upper()], [HASH + "\n"], [HASH[:-1]], [HASH + "0"],
    [HASH.encode()], [[HASH]], ["é" * 64], [sha256().hexdigest()], True,
]  # fmt: skip


def test_a_bad_tokens_setting_refuses_access_without_an_error(site, client, settings):
    for value in NO_TOKENS:
        settings.APP_METRICS_API_TOKENS = value
        for token in (TOKEN, HASH, "", "None"):
            assert client.get(LIST, headers={"authorization": f"Bearer {token}"}).status_code == 403, (value, token)
    client.force_login(user(permitted=True))
    for value in NO_TOKENS:
        settings.APP_METRICS_API_TOKENS = value
        assert client.get(LIST).status_code == 200, value


def test_the_check_finds_a_bad_tokens_setting_without_quoting_it(settings):
    for value in NO_TOKENS:
        settings.APP_METRICS_API_TOKENS = value
        (message,) = checks.check_rules()
        assert message.id == "app_metrics.E021"
        assert TOKEN not in message.msg
        assert 'python -c "import hashlib, secrets;' in message.hint


def test_a_good_hash_beside_a_bad_one_still_counts():
    hashes, errors = compile_tokens([HASH, "bad"])
    assert (hashes, [str(error) for error in errors]) == (
        [HASH],
        ["APP_METRICS_API_TOKENS[1] is not 64 hex digits in lower case."],
    )


def test_the_one_liner_of_the_hint_makes_a_token_and_its_hash():
    _, (error,) = compile_tokens(["bad"])
    command = shlex.split(error.hint.partition("hash: ")[2])
    token, made = subprocess.run(
        [sys.executable, *command[1:]], capture_output=True, text=True, check=True
    ).stdout.split()
    assert sha256(token.encode()).hexdigest() == made
    assert compile_tokens([made]) == ([made], [])


def test_a_token_opens_every_endpoint_without_sessions_and_users(site, client, settings):
    settings.MIDDLEWARE = []
    for address in ENDPOINTS:
        assert client.get(address).status_code == 403, address
        assert client.get(address, headers=GOOD).status_code == 200, address


def test_a_site_that_asks_everybody_for_a_login_does_not_redirect_a_token(site, client, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    assert client.get("/admin/").status_code == 302
    for address in ENDPOINTS:
        assert client.get(address).status_code == 403, address
        assert client.get(address, headers=GOOD).status_code == 200, address


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options", "trace"])
def test_other_methods_are_refused(method, site, client):
    client.handler.enforce_csrf_checks = True
    for address in (*ENDPOINTS, *MISSING):
        response = getattr(client, method)(address, headers=GOOD)
        assert (response.status_code, response["Allow"]) == (405, "GET, HEAD"), address
        assert response["Content-Type"].partition(";")[0] == content_type(address)


def test_reading_writes_nothing(orders, client):
    client.force_login(user(permitted=True))
    before = (list(Session.objects.values()), Item.objects.count(), Total.objects.count())
    for address, method in product(ENDPOINTS, (client.get, client.head)):
        with CaptureQueriesContext(connections[orders]) as queries:
            response = method(address)
        assert response.status_code == 200
        assert queries
        assert not [query for query in queries if WRITES.match(query["sql"])], address
        assert before == (list(Session.objects.values()), Item.objects.count(), Total.objects.count())
        assert not response.cookies


def test_no_answer_is_cached_or_taken_for_another_type(site, client, settings):
    settings.MIDDLEWARE = []  # SecurityMiddleware would also set nosniff
    for address, headers in product((*ENDPOINTS, *MISSING), (GOOD, WRONG)):
        response = client.get(address, headers=headers)
        assert "no-store" in response["Cache-Control"], address
        assert response["X-Content-Type-Options"] == "nosniff", address
        assert response["Content-Type"].partition(";")[0] == content_type(address)


# The list


def test_the_list_has_metrics_with_links_to_their_endpoints(orders, get):
    assert get(LIST) == {
        "count": 1,
        "next": None,
        "previous": None,
        "results": [
            {
                "slug": "orders", "name": "Orders", "kind": "counter", "unit": "EUR", "description": "What was paid",
                "series": f"http://testserver{SERIES}", "totals": f"http://testserver{TOTALS}",
            }
        ],
    }  # fmt: skip
    assert get(get(LIST)["results"][0]["series"])["slug"] == "orders"


def test_pages_follow_each_other_through_their_links(orders, get):
    Metric.objects.bulk_create(Metric(name=f"{number}", slug=f"m-{number}") for number in range(6))
    address, slugs, counts = f"{LIST}?per_page=3&kind=counter", [], []
    while address:
        answer = get(address)
        slugs += [each["slug"] for each in answer["results"]]
        counts.append(len(answer["results"]))
        back, address = answer["previous"], answer["next"]
    assert slugs == [*(f"m-{number}" for number in range(6)), "orders"]
    assert counts == [3, 3, 1]
    assert parse_qs(urlsplit(back).query) == {"per_page": ["3"], "kind": ["counter"], "page": ["2"]}
    assert get(LIST, 404, page=2) == {"error": "There is no page 2; the last one is 1."}


@pytest.mark.parametrize(
    ("parameters", "slugs"),
    [
        ({"search": "ORD"}, ["orders"]),
        ({"search": "Tîme"}, ["check-out"]),
        ({"search": "ECK-O"}, ["check-out"]),
        ({"search": "%"}, []),
        ({"search": "_"}, []),
        ({"search": "'; DROP TABLE app_metrics_metric; --"}, []),
        ({"kind": "timer"}, ["check-out"]),
        ({"set": "Shop"}, ["check-out", "orders"]),
        ({"set": "Shop", "kind": "counter"}, ["orders"]),
        ({"set": "Empty"}, []),
        ({"search": "", "kind": "", "set": ""}, ["check-out", "orders", "visits"]),
    ],
)
def test_the_list_is_searched_and_filtered(parameters, slugs, orders, get):
    create_metric("Visits")
    timer = create_metric("Tîme to pay", "check-out", "timer")
    create_metric_set("Shop", [timer, Metric.objects.get(slug="orders")])
    create_metric_set("Empty", [])
    assert [each["slug"] for each in get(LIST, **parameters)["results"]] == slugs


@pytest.mark.every_database
def test_tables_made_under_latin1_are_searched_for_any_character(transactional_database, recorded_orders, get):
    connection = connections[transactional_database]
    with latin1_columns(connection):
        assert get(LIST, search="１")["results"] == []
        assert [each["slug"] for each in get(LIST, search="ORD")["results"]] == ["orders"]
        assert "There is no metric set" in get(LIST, 400, set="１")["error"]


# Series


def test_a_series_has_a_point_for_every_period_and_numbers_as_exact_text(orders, get):
    answer = get(SERIES, start="2026-11-21", end="2026-11-23")
    nothing = {"count": 0, "total": "0", "minimum": None, "maximum": None, "last": None, "value": "0"}
    five = {"count": 1, "total": "5", "minimum": "5", "maximum": "5", "last": "5", "value": "5"}
    twenty = {"count": 2, "total": "20", "minimum": "0.01", "maximum": "19.99", "last": "0.01", "value": "20"}
    assert answer.pop("results") == [
        {"start": "2026-11-21", **nothing}, {"start": "2026-11-22", **five}, {"start": "2026-11-23", **twenty},
    ]  # fmt: skip
    assert answer == {
        "slug": "orders", "name": "Orders", "kind": "counter", "unit": "EUR", "description": "What was paid",
        "period": "day", "labels": None, "where": None, "split": None, "start": "2026-11-21", "end": "2026-11-23",
        "groups": None, "overflow": None, "complete": True, "next": None, "previous": None, "annotations": [],
    }  # fmt: skip


def test_a_series_has_the_annotations_of_its_page(orders, get, monkeypatch):
    monkeypatch.setattr(paging, "MAX_RESULTS", 2)
    create_annotation("Release 4.2", NOON, "https://example.com/4.2")
    create_annotation("Sale", NOON - timedelta(days=2))
    Annotation.objects.create(text="of another metric", at=NOON, metric=create_metric("Visits"))
    asked = {"start": "2026-11-21", "end": "2026-11-23"}
    assert [each["text"] for each in get(SERIES, **asked)["annotations"]] == ["Sale"]
    assert get(SERIES, **asked, page="2")["annotations"] == [
        {
            "at": "2026-11-23T12:00:00+01:00",
            "start": "2026-11-23",
            "text": "Release 4.2",
            "url": "https://example.com/4.2",
        }
    ]


def test_a_series_of_one_label_set(orders, get):
    metric("orders", 7, labels={"plan": "pro", "a=b&ü": "\"'\n\\"})
    asked = {"start": "2026-11-23"}
    assert get(SERIES, **asked)["results"][0]["total"] == "27"
    assert get(SERIES, **asked, **{"label.plan": "pro"})["results"][0]["total"] == "20"
    answer = get(SERIES, **asked, **{"label.plan": "pro", "label.a=b&ü": "\"'\n\\"})
    assert (answer["labels"], answer["results"][0]["total"]) == ({"plan": "pro", "a=b&ü": "\"'\n\\"}, "7")
    assert get(SERIES, **asked, **{"label.plan": "free"})["results"][0]["total"] == "0"


@pytest.fixture
def countries(orders, settings):
    """Events of two labels, the last of which is beyond the limit of label sets."""
    for plan, country, number in [("pro", "fi", 10), ("pro", "se", 30), ("free", "fi", 100)]:
        metric("orders", number, labels={"plan": plan, "country": country})
    metric("orders", 7)
    aggregate()
    settings.APP_METRICS_MAX_LABEL_SETS = 4
    metric("orders", 1000, labels={"plan": "pro", "country": "no"})
    return Metric.objects.get(slug="orders")


def totals_of(points):
    return [each["total"] for each in points]


def test_a_series_is_filtered_by_some_labels(countries, get):
    answer = get(SERIES, start="2026-11-22", **{"where.plan": "pro"})
    assert (answer["where"], answer["split"], answer["groups"]) == ({"plan": "pro"}, None, None)
    assert totals_of(answer["results"]) == ["0", "60"]
    assert totals_of(answer["overflow"]) == ["0", "1000"]
    answer = get(SERIES, start="2026-11-23", **{"where.plan": "pro", "where.country": "fi"})
    assert totals_of(answer["results"]) == ["10"]


def test_a_series_is_split_by_a_label(countries, get):
    answer = get(SERIES, start="2026-11-22", split="country")
    groups = {each["value"]: totals_of(each["results"]) for each in answer["groups"]}
    assert groups == {"fi": ["0", "110"], "se": ["0", "30"], None: ["5", "27"]}
    assert totals_of(answer["results"]) == ["5", "1167"]
    assert totals_of(answer["overflow"]) == ["0", "1000"]
    filtered = get(SERIES, start="2026-11-23", split="country", **{"where.plan": "pro"})
    assert {each["value"]: totals_of(each["results"]) for each in filtered["groups"]} == {
        "fi": ["10"], "se": ["30"], None: ["20"]
    }  # fmt: skip
    assert totals_of(filtered["results"]) == ["60"]


def test_a_page_of_a_split_series_has_a_tenth_of_the_points(countries, get, monkeypatch):
    monkeypatch.setattr(paging, "MAX_RESULTS", 20)
    answer = get(SERIES, start="2026-11-21", split="country")
    assert [each["start"] for each in answer["results"]] == ["2026-11-21", "2026-11-22"]
    assert all(len(each["results"]) == 2 for each in answer["groups"])
    following = get(answer["next"])
    assert [totals_of(each["results"]) for each in following["groups"]] == [["110"], ["30"], ["27"]]


def test_groups_of_a_timer_have_percentiles(orders, get):
    for number in range(1, 11):
        record("export", "timer", number, labels={"format": "pdf", "user": str(number)})
    groups = get(SERIES.replace("orders", "export"), start="2026-11-23", split="format")["groups"]
    assert groups[0]["results"][0]["percentiles"]["p99"] == "10"


def test_totals_are_filtered_and_split(countries, get):
    filtered = get(TOTALS, **{"where.plan": "pro"})
    assert [(each["labels"], each["total"]) for each in filtered["results"]] == [
        ({"country": "fi", "plan": "pro"}, "10"), ({"country": "se", "plan": "pro"}, "30"), ({"plan": "pro"}, "20"),
    ]  # fmt: skip
    assert (filtered["count"], filtered["summary"]["total"], filtered["overflow"]["total"]) == (3, "60", "1000")
    split = get(TOTALS, split="country")
    assert [(each["labels"], each["total"]) for each in split["results"]] == [
        ({}, "27"), ({"country": "fi"}, "110"), ({"country": "se"}, "30"),
    ]  # fmt: skip
    assert (split["count"], split["summary"]["total"], split["overflow"]["total"]) == (3, "1167", "1000")


def test_hours_carry_their_offset(database, settings, get):
    # Not with freezegun: its datetimes lose `fold`, which tells the repeated hour apart.
    settings.APP_METRICS_API_TOKENS = [HASH]
    create_metric("Orders")
    metric("orders", 3, at=datetime(2026, 10, 25, 1, 30, tzinfo=UTC))
    points = get(SERIES, period="hour", start="2026-10-25", end="2026-10-25")["results"]
    assert len(points) == 25
    assert [point["start"] for point in points if point["count"]] == ["2026-10-25T02:00:00+01:00"]


@pytest.mark.parametrize(
    ("period", "first", "points"),
    [
        (HOUR, "2026-11-22T00:00:00+01:00", 48),
        (DAY, "2026-10-25", 30),
        (WEEK, "2026-09-07", 12),
        (MONTH, "2025-12-01", 12),
        (YEAR, "2022-01-01", 5),
    ],
)
def test_without_a_range_a_series_is_about_the_recent_past(period, first, points, orders, get):
    answer = get(SERIES, period=period)
    assert (answer["results"][0]["start"], len(answer["results"])) == (first, points)
    assert answer["end"] == "2026-11-23"
    assert sum(int(point["total"]) for point in answer["results"]) == 25


@pytest.mark.parametrize(("kind", "value"), [("gauge", "0.25"), ("timer", "0.375")])
def test_the_value_of_a_point_is_a_gauges_last_and_a_timers_mean(kind, value, orders, get):
    for seconds, number in enumerate((Decimal("0.5"), Decimal("0.25"))):
        record("level", kind, number, at=NOON + timedelta(seconds=seconds - 10))
    aggregate()
    (point,) = get("/stats/api/metrics/level/series/", start="2026-11-23", end="2026-11-23")["results"]
    assert (point["value"], point["total"], point["last"]) == (value, "0.75", "0.25")


@pytest.mark.parametrize("kind", ["timer", "distribution"])
def test_the_points_and_totals_of_a_timer_and_a_distribution_have_percentiles(kind, orders, get):
    numbers = [Decimal(number) / 10 for number in range(1, 101)]
    for place, number in enumerate(numbers):
        record("level", kind, number, {"plan": "ab"[place % 2]}, NOON - timedelta(seconds=1))
    aggregate()
    record("level", kind, 20, {"plan": "a"}, NOON - timedelta(days=1))
    metric = Metric.objects.get(slug="level")

    def expected(day, labels=None):
        found = {f"p{each}": metric.percentile("day", each, day, labels) for each in (50, 75, 90, 95, 99)}
        return {name: value and str(value) for name, value in found.items()}

    points = get("/stats/api/metrics/level/series/", start="2026-11-21", end="2026-11-23")["results"]
    assert [each["percentiles"] for each in points] == [expected(date(2026, 11, day)) for day in (21, 22, 23)]
    assert points[1]["percentiles"]["p95"] == "20"
    today = get("/stats/api/metrics/level/totals/", date="2026-11-23")
    assert today["summary"]["percentiles"] == expected(date(2026, 11, 23))
    assert [each["percentiles"] for each in today["results"]] == [
        expected(date(2026, 11, 23), {"plan": plan}) for plan in "ab"
    ]


def test_the_points_and_totals_of_a_unique_count_are_numbers_with_their_error(orders, get):
    with collect():
        for user in range(1200):
            unique("users", user, labels={"plan": "ab"[user % 2]}, at=NOON - timedelta(seconds=1))
    aggregate()
    unique("users", 7, labels={"plan": "b"}, at=NOON - timedelta(days=1))
    day = Metric.objects.get(slug="users").summary("day", date(2026, 11, 23))
    points = get("/stats/api/metrics/users/series/", start="2026-11-21", end="2026-11-23")["results"]
    expected = [("0", "0"), ("1", "0"), (str(min(1200, day.uniques.count)), "0.0162")]
    assert [(each["value"], each["standard_error"]) for each in points] == expected
    today = get("/stats/api/metrics/users/totals/", date="2026-11-23")
    assert (today["summary"]["value"], today["summary"]["standard_error"]) == expected[2]
    assert [(each["value"], each["standard_error"]) for each in today["results"]] == [("600", "0")] * 2


def test_the_error_of_a_count_that_is_unknown_is_not_zero(orders, get):
    unique("users", 7, at=NOON - timedelta(days=1))
    aggregate()
    Total.objects.filter(metric__slug="users", period="day").update(uniques=b"damaged")
    (point,) = get("/stats/api/metrics/users/series/", start="2026-11-22", end="2026-11-22")["results"]
    assert (point["count"], point["value"], point["standard_error"]) == (1, None, None)


def test_a_counter_has_no_percentiles_and_no_error(orders, get):
    assert "standard_error" not in get(SERIES)["results"][-1]
    assert "percentiles" not in get(SERIES)["results"][-1]


def test_large_numbers_are_not_rounded(orders, get):
    metric("orders", 10**18 - 1, at=datetime(2026, 1, 1, tzinfo=BERLIN))
    metric("orders", Decimal("0.000000001"), at=datetime(2026, 1, 1, tzinfo=BERLIN))
    (point,) = get(SERIES, start="2026-01-01", end="2026-01-01")["results"]
    assert point["total"] == "999999999999999999.000000001"


@pytest.mark.parametrize("period", PERIODS)
def test_a_wide_range_comes_in_pages_that_follow_each_other(period, orders, get, monkeypatch):
    monkeypatch.setattr(paging, "MAX_RESULTS", 5)
    monkeypatch.setattr(paging, "HOURLY_DATES", 1)
    address, starts, pages = f"{SERIES}?period={period}&start=2024-12-28&end=2025-01-07", [], 0
    whole = Metric.objects.get().series(period, date(2024, 12, 28), date(2025, 1, 7))
    while address:
        answer = get(address)
        starts += [point["start"] for point in answer["results"]]
        address, pages = answer["next"], pages + 1
    assert starts == [point.start.isoformat() for point in whole]
    assert pages == {HOUR: 11, DAY: 3, WEEK: 1, MONTH: 1, YEAR: 1}[period]
    assert "last one" in get(SERIES, 404, period=period, start="2024-12-28", end="2025-01-07", page=pages + 1)["error"]


def test_a_page_of_many_label_sets_has_fewer_points_and_its_links_say_how_many(orders, get, monkeypatch):
    monkeypatch.setattr(parts, "MOST_MERGED", 15)
    for number in range(5):
        metric("orders", labels={"plan": str(number)}, at=datetime(2026, 6, 1, tzinfo=BERLIN))
    aggregate()
    label_sets = Metric.objects.get(slug="orders").totals.filter(period=YEAR).values("labels").distinct().count()
    address, starts = f"{SERIES}?start=2026-06-01&end=2026-06-07", []
    while address:
        answer = get(address)
        assert len(answer["results"]) <= 15 // label_sets
        starts += [point["start"] for point in answer["results"]]
        address = answer["next"]
        monkeypatch.setattr(parts, "MOST_MERGED", 10)  # as if label sets were added meanwhile
        assert address is None or "per_page=" in address
    assert starts == [f"2026-06-{day:02}" for day in range(1, 8)]


def test_more_points_than_many_label_sets_allow_are_refused(orders, get, monkeypatch):
    monkeypatch.setattr(parts, "MOST_APART", 30)
    for number in range(10):
        record("export", "timer", 1, labels={"user": str(number)})
    aggregate()
    series = SERIES.replace("orders", "export")
    assert len(get(series, per_page="6", start="2026-06-01")["results"]) == 6
    error = get(series, 400, per_page="7", start="2026-06-01")["error"]
    assert error == "`per_page` is '7'; give a whole number from 1 to 6."
    assert len(get(series, **{"label.user": "1"}, per_page="30", start="2026-06-01")["results"]) == 30


@pytest.mark.parametrize("period", PERIODS)
def test_the_widest_range_has_no_more_than_a_thousand_points_and_reads_no_more(period, orders, get, settings):
    settings.APP_METRICS_YEARS = (1001, 9997)
    asked = {"period": period, "start": "1001-01-01", "end": "9997-12-31"}
    with CaptureQueriesContext(connections[orders]) as queries:
        answer = get(SERIES, **asked)
    assert len(answer["results"]) <= 1000
    assert answer["next"]
    (read,) = [query["sql"] for query in queries if "UNION" in query["sql"]]
    assert "9997" not in read
    beyond = get(SERIES, 404, **asked, page=999_999_999)["error"]
    last = get(SERIES, **asked, page=re.search(r"the last one is (\d+)", beyond)[1])
    assert last["next"] is None
    end = {HOUR: "9997-12-31T23:00:00+01:00", DAY: "9997-12-31", WEEK: "9997-12-29", MONTH: "9997-12-01"}
    assert last["results"][-1]["start"] == end.get(period, "9997-01-01")


@given(
    st.sampled_from([DAY, WEEK, MONTH, YEAR]),
    st.dates(date(1001, 1, 1), date(9990, 1, 1)),
    st.integers(0, 2000),
    st.sampled_from([1, 7]),
)
def test_steps_and_shift_agree_with_the_starts_of_the_calendar(period, start, days, weekday):
    starts = list(period.starts_between(start, start + timedelta(days=days), weekday))
    assert period.steps(starts[0], starts[-1]) == len(starts) - 1
    assert [period.shift(starts[0], steps) for steps in range(len(starts))] == starts
    assert period.shift(starts[-1], 1 - len(starts)) == starts[0]


# Totals


def test_totals_are_the_whole_and_each_label_set(orders, get):
    answer = get(TOTALS, period="month", date="2026-11-01")
    five = {"count": 1, "total": "5", "minimum": "5", "maximum": "5", "last": "5", "value": "5"}
    twenty = {"count": 2, "total": "20", "minimum": "0.01", "maximum": "19.99", "last": "0.01", "value": "20"}
    assert answer == {
        "slug": "orders", "name": "Orders", "kind": "counter", "unit": "EUR", "description": "What was paid",
        "period": "month", "where": None, "split": None, "start": "2026-11-01",
        "summary": {"count": 3, "total": "25", "minimum": "0.01", "maximum": "19.99", "last": "0.01", "value": "25"},
        "overflow": None, "count": 2, "complete": True, "next": None, "previous": None,
        "results": [{"labels": {"plan": "pro"}, **twenty}, {"labels": {}, **five}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("parameters", "start", "total"),
    [
        ({}, "2026-11-23", "20"),
        ({"date": "2026-11-22"}, "2026-11-22", "5"),
        ({"period": "week", "date": "2026-11-22"}, "2026-11-16", "5"),
        ({"period": "year"}, "2026-01-01", "25"),
        ({"period": "year", "date": "2025-06-01"}, "2025-01-01", "0"),
        ({"period": "hour"}, "2026-11-23T12:00:00+01:00", "20"),
        ({"period": "hour", "date": "2026-11-22T12:59"}, "2026-11-22T12:00:00+01:00", "5"),
        ({"period": "hour", "date": "2026-11-22T11:59:00Z"}, "2026-11-22T12:00:00+01:00", "5"),
        ({"period": "hour", "date": "2026-11-22T13:59:00+02:00"}, "2026-11-22T12:00:00+01:00", "5"),
    ],
)
def test_a_date_selects_the_totals_of_the_period_that_contains_it(parameters, start, total, orders, get):
    answer = get(TOTALS, **parameters)
    assert (answer["start"], answer["summary"]["total"]) == (start, total)


def test_totals_come_in_pages_of_label_sets(orders, get):
    with collect():
        for number in range(5):
            metric("orders", labels={"number": str(number)})
    address, found = f"{TOTALS}?per_page=4", []
    while address:
        answer = get(address)
        assert (answer["count"], answer["summary"]["total"]) == (6, "25")
        found += [each["labels"] for each in answer["results"]]
        address = answer["next"]
    assert found == [*({"number": str(number)} for number in range(5)), {"plan": "pro"}]
    get(TOTALS, 404, per_page=4, page=3)


# Mistakes


@pytest.mark.parametrize(
    ("address", "parameters", "message"),
    [
        (LIST, {"serach": "x"}, "There is no parameter 'serach'. Did you mean 'search'?"),
        (LIST, {"period": "day"}, "There is no parameter 'period'. Choose one of kind, page, per_page, search, set."),
        (LIST, {"label.plan": "pro"}, "There is no parameter 'label.plan'."),
        (LIST, {"kind": "countr"}, "`kind` is 'countr'. Did you mean 'counter'?"),
        (LIST, {"set": "Shp"}, "There is no metric set 'Shp'. Did you mean 'Shop'?"),
        (LIST, {"search": "a" * 201}, "`search` has 201 characters; give at most 200."),
        (LIST, {"search": "a" * 60_000}, "`search` has 60000 characters"),
        (LIST, {"set": "a" * 201}, "`set` has 201 characters; give at most 200."),
        (LIST, {"page": "0"}, "`page` is '0'; give a whole number of at least 1."),
        (LIST, {"page": "1" * 5000}, "`page` is "),
        (LIST, {"page": "²"}, "`page` is '²'"),
        (LIST, {"page": "٣"}, "`page` is '٣'"),
        (LIST, {"page": "-1"}, "`page` is '-1'"),
        (LIST, {"page": ""}, "`page` is ''"),
        (LIST, {"per_page": "1001"}, "`per_page` is '1001'; give a whole number from 1 to 1000."),
        (LIST, {"search": ["a", "b"]}, "Give 'search' once; it is given 2 times."),
        (LIST, {"search": "a\0"}, "'search' holds a NUL character; leave it out."),
        (LIST, {"set": "\0"}, "'set' holds a NUL character; leave it out."),
        (SERIES, {"perod": "day"}, "Did you mean 'period'?"),
        (SERIES, {"lable.plan": "pro"}, "Choose one of end, label.NAME, page, per_page, period, split, start, where."),
        (SERIES, {"label": "pro"}, "There is no parameter 'label'."),
        (SERIES, {"per_page": "1001"}, "`per_page` is '1001'; give a whole number from 1 to 1000."),
        (SERIES, {"period": "dya"}, "`period` is 'dya'. Did you mean 'day'?"),
        (SERIES, {"period": ""}, "`period` is ''. Choose one of day, hour, month, week, year."),
        (SERIES, {"start": "yesterday"}, "`start` is 'yesterday'; give a date such as 2026-11-23."),
        (SERIES, {"start": "2026-02-30"}, "`start` is '2026-02-30'"),
        (SERIES, {"end": "2026-11-23T00:00"}, "`end` is '2026-11-23T00:00'; give a date"),
        (SERIES, {"end": ""}, "`end` is ''"),
        (SERIES, {"start": "1969-12-31"}, "`start` is in the year 1969; APP_METRICS_YEARS allows 1970 to 2100."),
        (SERIES, {"end": "2101-01-01"}, "`end` is in the year 2101"),
        (SERIES, {"start": "1790120511230"}, "`start` is '1790120511230'; give a date such as 2026-11-23."),
        (SERIES, {"start": "2026-11-24", "end": "2026-11-23"}, "which is after `end`, 2026-11-23; swap them."),
        (SERIES, {"label.plan": "x" * 101}, "has 101 characters; the maximum is 100."),
        (SERIES, {"label.plan": "x" * 201}, "has 201 characters; the maximum is 100."),
        (SERIES, {f"label.{number}": "x" for number in range(9)}, "9 labels are too many"),
        (SERIES, {"label.a\0": "x"}, "holds a NUL character"),
        (SERIES, {"where.plna": "pro"}, "There is no label 'plna'. Did you mean 'plan'?"),
        (SERIES, {"split": "city"}, "There is no label 'city'."),
        (TOTALS, {"split": ""}, "There is no label ''."),
        (TOTALS, {"where.plan": "x" * 101}, "has 101 characters; the maximum is 100."),
        (SERIES, {"label.plan": "pro", "split": "plan"}, "leaves nothing to filter or to split"),
        (SERIES, {"label.plan": "pro", "where.plan": "pro"}, "or write `where.NAME`."),
        (SERIES, {"label.a": ["x", "y"]}, "Give 'label.a' once"),
        (TOTALS, {"start": "2026-11-23"}, "There is no parameter 'start'."),
        (TOTALS, {"date": "now"}, "`date` is 'now'; give a date such as 2026-11-23."),
        (TOTALS, {"period": "hour", "date": "2026-11-23"}, "give a time such as 2026-11-23T09:00."),
        (TOTALS, {"period": "hour", "date": "2026-11-23T09:00 01:00"}, "2026-11-23T09:00%2B01:00"),
        (TOTALS, {"period": "hour", "date": "17901205112:30"}, "give a time such as 2026-11-23T09:00."),
        (TOTALS, {"period": "hour", "date": "1790-12-05T12:30"}, "`date` is in the year 1790"),
    ],
)  # fmt: skip
def test_a_mistake_is_explained_with_a_remedy(address, parameters, message, orders, get):
    create_metric_set("Shop", [])
    answer = get(address, 400, **parameters)
    assert set(answer) == {"error"}
    assert message in answer["error"]
    assert len(answer["error"]) < 600


@pytest.mark.parametrize("character", ["a", "%", "_", "\\", "ß", "\U0001f600"])
def test_names_of_200_characters_are_found(character, orders, get):
    create_metric_set(character * 200, [create_metric(character * 200, "long")])
    assert [each["slug"] for each in get(LIST, search=character * 200)["results"]] == ["long"]
    assert [each["slug"] for each in get(LIST, set=character * 200)["results"]] == ["long"]


def test_filtering_by_a_set_fails_if_there_are_no_sets(orders, get):
    assert get(LIST, 400, set="Shop") == {"error": "There is no metric set 'Shop'. There are no metric sets yet."}


@pytest.mark.parametrize("name", ["a.b", "%00", "%FF", "a%20b", "ä", "x" * 101])
@pytest.mark.parametrize("kind", ["series", "totals"])
def test_an_impossible_slug_is_not_found_like_a_missing_metric(name, kind, orders, client):
    address = f"{LIST}{name}/{kind}/"
    answer = client.get(address, headers={"authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, set(answer.json())) == (404, {"error"})
    assert refuse(client, address) == refuse(client, SERIES)


@pytest.mark.parametrize(
    "query", ["search=%FF%FE", "search=%ED%A0%80", "%00=1", "label.%FF=1", "page=%00", "=", "&&", "%"]
)
@pytest.mark.parametrize("address", [LIST, SERIES, TOTALS])
def test_bytes_that_are_not_utf_8_cause_no_server_error(address, query, orders, client):
    response = client.get(f"{address}?{query}", headers={"authorization": f"Bearer {TOKEN}"})
    assert response.status_code in (200, 400)
    assert response["Content-Type"] == "application/json"


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize(("name", "value"), [("start", "1001-01-01"), ("end", "9997-12-31"), ("end", "1001-01-01")])
def test_the_first_and_last_recordable_dates_can_be_read(period, name, value, orders, get, settings):
    settings.APP_METRICS_YEARS = (1001, 9997)
    parameters = {"start": value, "end": value} if name == "start" else {name: value}
    assert get(SERIES, period=period, **parameters)["results"]
    assert get(TOTALS, period=period, date=f"{value}T00:00" if period == HOUR else value)["summary"]["count"] == 0


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Pacific/Apia", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_a_page_of_hours_holds_whole_dates_of_every_zone(zone, orders, get, settings):
    settings.APP_METRICS_TIME_ZONE = zone
    address, points = f"{SERIES}?period=hour&start=2011-12-01&end=2012-04-30", []
    while address:
        answer = get(address)
        assert len(answer["results"]) <= 1000
        points += answer["results"]
        address = answer["next"]
    whole = Metric.objects.get().series(HOUR, date(2011, 12, 1), date(2012, 4, 30))
    assert [point["start"] for point in points] == [point.start.isoformat() for point in whole]


# Markup, and the number of queries


@pytest.mark.parametrize("address", [LIST, SERIES, TOTALS])
def test_markup_in_names_and_labels_is_inert(address, orders, client):
    Metric.objects.update(name=EVIL, description=EVIL, unit="</script>&")
    metric("orders", labels={EVIL: f"\"'\n\\{EVIL}"})
    response = client.get(address, headers={"authorization": f"Bearer {TOKEN}"})
    text = response.content.decode()
    assert not set("<>&") & set(text)
    answer = response.json()
    assert (answer["results"][0] if address == LIST else answer)["name"] == EVIL
    if address == TOTALS:
        assert answer["results"][0]["labels"] == {EVIL: f"\"'\n\\{EVIL}"}


def test_markup_in_a_query_is_returned_escaped(orders, client):
    for query in ({EVIL: "1"}, {"kind": EVIL}, {"set": EVIL}):
        response = client.get(LIST, query, headers={"authorization": f"Bearer {TOKEN}"})
        assert response.status_code == 400
        assert b"<" not in response.content


@pytest.mark.parametrize(
    ("address", "most", "pending"),
    [
        (LIST, 3, 0),
        # The metric, how many label sets it has, its numbers and its annotations.
        (f"{SERIES}?period=hour&start=2020-01-01", 4, 0),
        (f"{SERIES}?where.plan=pro", 8, 0),  # the names of labels; the cap and the numbers, also of the overflow series
        (f"{SERIES}?where.plan=pro&split=plan", 5, 1),
        (f"{TOTALS}?where.plan=pro&split=plan", 3, 1),
        (f"{TOTALS}?period=year", 2, 1),  # one more finds out which pending label sets are beyond the cap
        (PROMETHEUS, 2, 1),
    ],
)
def test_the_number_of_queries_does_not_grow(address, most, pending, orders, client):
    def statements():
        with CaptureQueriesContext(connections[orders]) as queries:
            client.get(address, headers={"authorization": f"Bearer {TOKEN}"})
        return sum("SAVEPOINT" not in each["sql"] for each in queries)  # there are some in a transaction only

    assert statements() == most + pending
    with collect():
        for number in range(50):
            metric(f"m-{number}")
            metric("orders", labels={"n": str(number)}, at=NOON - timedelta(days=number))
    aggregate()
    assert statements() == most
