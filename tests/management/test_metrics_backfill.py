"""`metrics_backfill` and `metrics_verify`: run, killed, and run again."""

import os
import random
import re
import subprocess
import time
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import OperationalError
from freezegun import freeze_time

from app_metrics.aggregation.run import aggregate
from app_metrics.core.periods import PERIODS
from app_metrics.models import Backfill, Metric, Total
from app_metrics.transfer import backfill, source_tables
from tests.support.processes import start
from tests.support.scope import full_length
from tests.testapp.models import Order

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 23, 12, tzinfo=BERLIN)
HOURS = timedelta(hours=1)
USERS = 500_000
MOST_MEMORY = 160  # MiB, of which Django takes about half
SIGNUPS = {"auth.User": {"created": {"slug": "new_user_signup", "backfill": "date_joined"}}}

GIVEN = ("new_user_signup", "--model=auth.User", "--field=date_joined")


@pytest.fixture
def orders(transactional_database, settings):
    settings.APP_METRICS_MODELS = {"testapp.Order": {"created": {"slug": "orders", "backfill": "placed_at"}}}
    return transactional_database


def before(*moments, **values):
    Order.objects.bulk_create([Order(placed_at=at, **values) for at in moments])


def live(*moments):
    for at in moments:
        with freeze_time(at):
            Order.objects.create(placed_at=at)


def run(command, *arguments, at=NOON):
    """Return the lines of stdout, and the error message or None."""
    out, err = StringIO(), StringIO()
    with freeze_time(at):
        try:
            call_command(command, *arguments, stdout=out, stderr=err)
        except CommandError as error:
            return out.getvalue().splitlines(), str(error)
    return out.getvalue().splitlines(), None


def fill(*arguments, at=NOON):
    return run("metrics_backfill", *arguments, at=at)


def verify(*arguments, at=NOON):
    return run("metrics_verify", *arguments, at=at)


def test_the_backfill_prints_its_result_and_when_to_run_again(orders):
    before(NOON - 30 * HOURS, NOON + timedelta(minutes=1))
    live(NOON + timedelta(minutes=5))
    lines, error = fill("orders", at=NOON + timedelta(minutes=30))
    assert (lines, error) == (
        [
            "Read 3 rows, added 1 event to 'orders': it is filled up to 2026-11-23 12:00.",
            "Live counting began too recently to fill all hours; run this again after 2026-11-23 13:10.",
        ],
        None,
    )
    assert fill("orders", at=NOON + 2 * HOURS)[0][1:] == ["Later events were counted live, so the metric is complete."]
    assert fill("orders", at=NOON + 2 * HOURS)[0] == [
        "'orders' is filled up to 2026-11-23 13:00 already; nothing was changed. Use --again to compare all hours."
    ]


def test_a_unique_count_is_filled_and_verified_from_a_field(orders):
    before(NOON - 30 * HOURS, NOON - 3 * HOURS, plan="ann@example.com")
    given = ("customers", "--model=testapp.Order", "--field=placed_at", "--unique=plan")
    assert fill(*given)[0][0] == "Read 2 rows, added 2 events to 'customers': it is filled up to 2026-11-23 11:00."
    assert Metric.objects.get(slug="customers").summary("year", NOON.date()).uniques.count == 1
    assert verify(*given) == (["customers: 2 rows compared, all days agree."], None)
    Order.objects.update(plan="bob@example.com")
    lines, _ = verify(*given)
    assert lines[0] == "2026-11-22 customers: the rows and the totals have 1 event of 1 different ones, but of others."
    before(NOON - 3 * HOURS, plan="ann@example.com")
    lines, _ = verify(*given)
    assert lines[1] == (
        "2026-11-23 customers: the rows have 2 events of 2 different ones; the totals have 1 event of 1 different ones."
    )
    assert "ann" not in "".join(lines)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--unique=plan"], "--num or --unique only with them"),
        (["--model=testapp.Order", "--field=placed_at", "--unique=plan", "--num=2"], "has no numbers"),
        (["--model=testapp.Order", "--field=placed_at", "--unique=planet"], "'planet'"),
    ],
)
def test_a_mistaken_unique_option_is_refused(options, message, orders):
    lines, error = fill("customers", *options)
    assert (lines, message in error) == ([], True)
    assert not Metric.objects.exists()


def test_a_rule_without_the_backfill_key_is_refused(orders, settings):
    settings.APP_METRICS_MODELS = {"auth.User": {"created": "new_user_signup"}}
    with freeze_time(NOON):
        User.objects.create_user("ada", date_joined=NOON - 30 * HOURS)
    lines, error = fill(*GIVEN, at=NOON + 2 * HOURS)
    assert (lines, "its rule lacks the key 'backfill'" in error) == ([], True)
    assert Metric.objects.count() == 0


def test_skipped_rows_are_reported_with_the_reason(orders, settings):
    settings.APP_METRICS_MODELS = {
        "testapp.Order": {"created": {"slug": "orders", "backfill": "placed_at", "num": "document.pages"}}
    }
    before(NOON - HOURS, None)
    assert fill("orders", at=NOON + HOURS)[0] == [
        "1 row was skipped because it has no valid date.",
        (
            "1 row was skipped because its rule raised an error; the log shows it. "
            "Fix the rule or the rows, then add the missing events with --again."
        ),
        "Read 1 row, added 0 events to 'orders': it is filled up to 2026-11-23 12:00.",
        "No later event has been counted live yet; run this again once one has.",
    ]


def test_a_date_that_a_wrong_clock_noted_in_the_future_is_named_once(orders, capsys):
    before(NOON - 2 * HOURS)
    run("metrics_backfill", "orders", at=NOON + timedelta(days=365))
    named = []
    for hours in (1, 2):
        with freeze_time(NOON + hours * HOURS):
            call_command("metrics_backfill", "orders", verbosity=0)
        named.append(capsys.readouterr().err)
    start = "orders was filled up to 2027-11-23, which is in the future and counts as unknown; check the clocks"
    assert [text.startswith(start) for text in named] == [True, False]


def test_an_empty_table_is_no_error(orders):
    assert fill("orders") == (["There are no rows to fill 'orders' from."], None)


def test_verbosity_0_prints_nothing(orders):
    before(NOON - HOURS)
    assert fill("orders", "--verbosity=0") == ([], None)


def test_progress_counts_rows(orders, monkeypatch):
    monkeypatch.setattr(source_tables, "CHUNK_ROWS", 10)
    before(*(NOON - number * 30 * HOURS for number in range(1, 101)))
    err = StringIO()
    with freeze_time(NOON):
        call_command("metrics_backfill", "orders", verbosity=2, stdout=StringIO(), stderr=err)
    assert err.getvalue().splitlines()[-1] == "100 of 100 rows read"


def test_model_field_and_num_may_be_given(transactional_database):
    before(NOON - HOURS, amount=7)
    given = ("--model=testapp.Order", "--field=placed_at")
    assert fill("sales", *given, "--num=amount", at=NOON + HOURS)[0][0].startswith("Read 1 row, added 1 event")
    assert fill("doubled", *given, "--num=2", at=NOON + HOURS)[0][0].startswith("Read 1 row, added 1 event")
    totals = [Metric.objects.get(slug=slug).total("day", NOON.date()) for slug in ("sales", "doubled")]
    assert totals == [7, 2]
    assert verify("sales", *given, "--num=amount", at=NOON + HOURS)[1] is None
    assert verify("sales", *given, at=NOON + HOURS)[1] == "1 total differs from its rows."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["other"], "No rule with the key 'backfill' counts 'other'. Add one, or give --model and --field. "),
        (["orders", "--model=testapp.Order"], "Give --model and --field together"),
        (["orders", "--num=1"], "Give --model and --field together"),
        (
            ["orders", "--model=testapp.Odrer", "--field=day"],
            "is not the name of an installed model. Did you mean 'testapp.Order'?",
        ),
        (["orders", "--model=testapp.Order", "--field=dya"], "Did you mean 'day'?"),
        (["orders", "--model=testapp.Order", "--field=plan"], "refers to 'plan', which is not a date field"),
        (["orders", "--model=testapp.Order", "--field=day", "--num=nmu"], "refers to 'nmu'"),
        (["no slug", "--model=testapp.Order", "--field=day"], "has a bad slug"),
    ],
)
@pytest.mark.parametrize("command", ["metrics_backfill", "metrics_verify"])
def test_a_mistake_on_the_command_line_is_an_error_with_a_hint(command, arguments, message, orders):
    assert message in run(command, *arguments)[1]
    assert not Backfill.objects.exists()


def test_an_interrupted_backfill_says_how_to_continue_and_the_next_run_continues(orders, monkeypatch):
    monkeypatch.setattr(source_tables, "CHUNK_DAYS", 1)
    before(*(NOON - number * 30 * HOURS for number in range(1, 21)))
    chunks = iter(range(5))
    fill_chunk = backfill._fill_chunk

    def interrupted(*arguments):
        if next(chunks, None) is None:
            raise KeyboardInterrupt
        return fill_chunk(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(backfill, "_fill_chunk", interrupted)
        assert fill("orders")[1] == "Interrupted. Run the command again to continue."
    added = Backfill.objects.get().events
    assert 0 < added < 20
    assert fill("orders")[0][0].startswith(f"Read {20 - added} rows, added {20 - added} events")


def test_a_failing_database_is_an_error_and_no_traceback(orders, monkeypatch):
    def fail(*arguments):
        raise OperationalError("gone")

    monkeypatch.setattr(backfill, "_fill_chunk", fail)
    before(NOON - HOURS)
    assert fill("orders")[1] == "Filling stopped; run the command again to continue: gone"


def test_verifying_names_every_difference_and_fails(orders):
    before(NOON - 30 * HOURS)
    live(NOON - 3 * HOURS)
    lines, error = verify()
    assert lines == [
        "2026-11-22 orders: the rows have 1 event, total 1; the totals have 0 events, total 0.",
        "orders: 2 rows compared, 1 day differs.",
    ]
    assert error == "1 total differs from its rows."
    fill("orders")
    assert verify() == (["orders: 2 rows compared, all days agree."], None)


def test_a_hundred_differences_are_shown_and_more_on_demand(orders):
    before(*(NOON - number * timedelta(days=1) for number in range(1, 131)))
    lines, error = verify()
    assert (len(lines), lines[-2]) == (102, "… and 30 more; --verbosity 2 shows them all.")
    assert len(verify("--verbosity=2")[0]) == 131
    assert error == "130 totals differ from their rows."


def test_verifying_goes_through_all_rules_that_have_the_key(orders, settings):
    settings.APP_METRICS_MODELS = settings.APP_METRICS_MODELS | SIGNUPS
    User.objects.bulk_create([User(username="ann", date_joined=NOON - HOURS)])
    lines, error = verify(at=NOON + HOURS)
    assert [line.partition(":")[0] for line in lines] == ["2026-11-23 new_user_signup", "new_user_signup", "orders"]
    assert error == "1 total differs from its rows."


def test_verifying_says_how_many_rows_have_no_date(orders):
    live(NOON - 3 * HOURS, NOON - 2 * HOURS)
    with freeze_time(NOON - 3 * HOURS):
        Order.objects.create(placed_at=None)
    lines, error = verify()
    assert lines == [
        "2026-11-23 orders: the rows have 2 events, total 2; the totals have 3 events, total 3.",
        ("orders: 2 rows compared, 1 day differs. 1 row was skipped because it has no valid date."),
    ]
    assert error == "1 total differs from its rows."


def test_again_adds_the_events_of_a_corrected_rule(orders):
    given = ("--model=testapp.Order", "--field=placed_at")
    before(NOON - 30 * HOURS, NOON - 9 * HOURS, amount=7)
    assert "added 0 events" in fill("sales", *given, "--num=plan")[0][1]
    assert fill("sales", *given, "--num=amount")[0][0].startswith("Read 0 rows")
    again = fill("sales", *given, "--num=amount", "--again")
    assert again == (
        [
            "Read 2 rows, added 2 events to 'sales': it is filled up to 2026-11-23 11:00.",
            "No later event has been counted live yet; run this again once one has.",
        ],
        None,
    )
    assert verify("sales", *given, "--num=amount")[1] is None


def test_progress_of_beginning_again_counts_all_rows(orders):
    before(NOON - 30 * HOURS, NOON - 9 * HOURS)
    fill("orders")
    err = StringIO()
    with freeze_time(NOON):
        call_command("metrics_backfill", "orders", "--again", verbosity=2, stdout=StringIO(), stderr=err)
    assert err.getvalue().splitlines()[-1] == "2 of 2 rows read"


def test_a_num_that_would_delete_rows_is_refused(orders):
    before(NOON - HOURS)
    given = ("--model=testapp.Order", "--field=placed_at", "--num=delete")
    assert "refers to 'delete' of testapp.Order, which changes data." in fill("sales", *given)[1]
    assert Order.objects.count() == 1


def test_differences_are_printed_in_an_encoding_that_lacks_characters(orders, settings):
    """The subprocess uses the real clock."""
    now = datetime.now(BERLIN)
    before(*(now - number * timedelta(days=1) for number in range(2, 110)), plan="fr\u00e9\u20ac")
    given = ("testapp.Order", "placed_at")
    environment = os.environ | {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    command = ["metrics_verify", "sales", f"--model={given[0]}", f"--field={given[1]}"]
    process = start(
        "tests.support.manage",
        orders,
        *command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        encoding="latin-1",
    )
    out, err = process.communicate()
    assert err.splitlines()[-1] == "CommandError: 108 totals differ from their rows."
    assert out.splitlines()[-2] == "... and 8 more; --verbosity 2 shows them all."


def test_nothing_to_verify_is_an_error(transactional_database):
    assert "There is nothing to verify" in verify()[1]


def test_signups_of_the_switch_can_be_filled_and_verified(transactional_database, settings):
    settings.APP_METRICS_AUTH = True
    User.objects.bulk_create([User(username="ann", date_joined=NOON - HOURS)])
    with freeze_time(NOON + timedelta(minutes=2)):
        User.objects.create_user("bo")
    fill("signups", at=NOON + 2 * HOURS)
    assert verify("signups", at=NOON + 2 * HOURS) == (["signups: 2 rows compared, all days agree."], None)


def test_the_admin_shows_the_state_of_a_backfill(orders, client):
    before(NOON - 2 * HOURS)
    fill("orders")
    client.force_login(User.objects.create_superuser("ann"))
    page = client.get("/admin/app_metrics/backfill/").content.decode()
    assert re.search(r"orders.*Nov. 23, 2026, 11 a.m..*icon-no.*>1<", page, re.DOTALL)


def users(number, first, last):
    """Create users in batches, with random join dates between `first` and `last`."""
    chance = random.Random(number)
    span = (last - first).total_seconds()
    for begun in range(0, number, 5000):
        User.objects.bulk_create(
            User(username=f"user-{begun + each}", date_joined=first + timedelta(seconds=chance.random() * span))
            for each in range(min(5000, number - begun))
        )


def counts():
    aggregate()
    return {
        period: sum(Total.objects.filter(metric__slug="new_user_signup", period=period).values_list("count", flat=True))
        for period in PERIODS
    }


def start_filling(alias, module="tests.support.manage"):
    command = ["metrics_backfill"] if module == "tests.support.manage" else []
    return start(module, alias, *command, *GIVEN, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def added():
    return Backfill.objects.values_list("events", flat=True).first() or 0


def kill_in_the_middle(process):
    """Kill a process once it has committed a chunk."""
    before, deadline = added(), time.monotonic() + 60
    while added() == before:
        assert process.poll() is None, "it was done before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_a_later_run_continues_a_killed_one(transactional_database):
    """The subprocess uses the real clock."""
    now = datetime.now(BERLIN)
    users(5000, now - timedelta(days=3000), now - timedelta(hours=3))
    for _ in range(3):
        kill_in_the_middle(start_filling(transactional_database, "tests.support.slow_backfill"))
    assert 0 < Backfill.objects.get().events < 5000
    process = start_filling(transactional_database)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert counts() == dict.fromkeys(PERIODS, 5000)


@pytest.mark.skipif(not full_length, reason="500,000 users: run by `make soak`")
def test_a_killed_backfill_of_half_a_million_rows_continues_exactly_in_bounded_memory(transactional_database, settings):
    settings.APP_METRICS_MODELS = SIGNUPS
    now = datetime.now(BERLIN)
    users(USERS, now - timedelta(days=3650), now - timedelta(hours=3))
    for number in range(100):
        with freeze_time(now - timedelta(hours=3) + number * timedelta(minutes=1)):
            User.objects.create(username=f"live-{number}")
    kill_in_the_middle(start_filling(transactional_database))
    began = time.monotonic()
    process = start_filling(transactional_database)
    highest = 0
    while process.poll() is None:
        highest = max(highest, peak(process.pid))
        time.sleep(0.05)
    print(process.communicate()[0], f"{time.monotonic() - began:.1f} s, {highest:.0f} MiB")
    assert process.returncode == 0
    assert highest < MOST_MEMORY
    assert counts() == dict.fromkeys(PERIODS, USERS + 100)
    began = time.monotonic()
    out = StringIO()
    call_command("metrics_verify", stdout=out, stderr=StringIO())
    print(out.getvalue(), f"{time.monotonic() - began:.1f} s")
    assert out.getvalue() == f"new_user_signup: {USERS + 100} rows compared, all days agree.\n"
    process = start_filling(transactional_database)
    assert "nothing was changed" in process.communicate()[0]
    assert counts() == dict.fromkeys(PERIODS, USERS + 100)


def peak(pid):
    """Return the highest resident memory of a process in MiB; 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    size = status.partition("VmHWM:")[2].split()
    return int(size[0]) / 1024 if size else 0
