"""Nobody gets a report twice from concurrent or killed senders, on real databases and over SMTP.

`make soak` gives these tests their full length.
"""

import json
import subprocess
import threading
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import partial
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F

from app_metrics import metric
from app_metrics.models import Delivery, Item, Metric, MetricSet
from app_metrics.notifications.outbox import LONGEST_SENDING
from app_metrics.reports.sending import send_reports
from tests.support import sessions
from tests.support.mailserver import MailServer, use
from tests.support.processes import start
from tests.support.scope import full_length
from tests.support.threads import at_once
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

SECONDS = 30 if full_length else 1
SENDERS = 3
RACES = 10 if full_length else 1
# A past day, because today may end while the test runs.
DAY = date.today() - timedelta(days=3)  # noqa: DTZ011
ANN, BOB, CID = "ann@example.com", "bob@example.com", "cid@example.com"

# The step at which a sender is killed, and the fate of the second of its three mails: sent by the next run, undecided
# and not sent, undecided but sent, or already sent.
NEXT_RUN, UNDECIDED, UNDECIDED_AND_SENT, SENT = "next run", "undecided", "undecided and sent", "sent"
STEPS = {
    "aggregated": NEXT_RUN,
    "schedule moved on, not committed": NEXT_RUN,
    "planned, not committed": NEXT_RUN,
    "planned": NEXT_RUN,
    "before the claim": NEXT_RUN,
    "claimed": UNDECIDED,
    "recipient named": UNDECIDED,
    "amid the text": UNDECIDED,
    "taken, not marked": UNDECIDED_AND_SENT,
    "marked": SENT,
}

PLANNED = """
    INSERT INTO app_metrics_schedule (metric_set_id, period, through, planned_at) VALUES (%s, 'day', %s, %s)
"""


@pytest.fixture
def server(settings):
    with MailServer() as server:
        use(settings, server.port)
        yield server


def make_set(name, addresses=(ANN, BOB, CID)):
    made = MetricSet.objects.create(name=name, email_addresses="\n".join(addresses), send_daily=True)
    made.metrics.add(Metric.objects.get_or_create(slug="downloads", defaults={"name": "Downloads"})[0])
    metric("downloads", at=datetime(2020, 1, 1, tzinfo=UTC))  # counting began then
    return made


def sender(alias, server, *arguments, **options):
    return start("tests.support.mail_sender", alias, server.port, DAY, *arguments, stdout=subprocess.PIPE, **options)


def mails(server):
    """Return how often each recipient got each set's report."""
    counts = Counter((taken.message["Subject"].partition(":")[0], taken.recipient) for taken in server.messages)
    assert all(taken.message["To"] == taken.recipient for taken in server.messages)
    return counts


def run(**options):
    """Run the command; return its error lines and whether it failed."""
    errors, failed = StringIO(), False
    try:
        call_command("metrics_send_mail", date=DAY, stdout=StringIO(), stderr=errors, **options)
    except CommandError:
        failed = True
    return errors.getvalue().splitlines(), failed


def let_claims_grow_old():
    Delivery.objects.filter(status="sending").update(claimed_at=F("claimed_at") - LONGEST_SENDING)


def test_a_sender_killed_at_any_step_sends_nothing_twice_and_loses_nothing(transactional_database, server, tmp_path):
    for step in STEPS:
        make_set(step)
    metric("downloads")
    with (tmp_path / "stderr").open("w") as errors:
        crashing = sender(transactional_database, server, "crash", stdin=subprocess.PIPE, stderr=errors)
        codes, _ = crashing.communicate("".join(json.dumps([step, step]) + "\n" for step in STEPS))
    assert (tmp_path / "stderr").read_text() == ""
    assert codes.split() == ["-9"] * len(STEPS)
    assert not Item.objects.exists()

    # Each step leaves the rows and mails that it should.
    got = mails(server)
    for step, fate in STEPS.items():
        begun = Delivery.objects.filter(metric_set__name=step).exists()
        assert begun == (step not in list(STEPS)[:3]), step
        assert got[step, ANN] == (step not in list(STEPS)[:4]), step
        assert got[step, BOB] == (fate in (UNDECIDED_AND_SENT, SENT)), step
        assert got[step, CID] == 0, step

    # The next run sends every unclaimed mail, and has no problem to report yet.
    assert run() == ([], False)
    got = mails(server)
    for step, fate in STEPS.items():
        assert (got[step, ANN], got[step, CID]) == (1, 1), step
        assert got[step, BOB] == (fate != UNDECIDED), step
        status = Delivery.objects.get(metric_set__name=step, address=BOB).status
        assert status == ("sending" if fate in (UNDECIDED, UNDECIDED_AND_SENT) else "sent"), step
    assert run() == ([], False)
    assert mails(server) == got

    # Abandoned claims are reported once, and not sent again.
    let_claims_grow_old()
    complaints, failed = run()
    undecided = [step for step, fate in STEPS.items() if fate in (UNDECIDED, UNDECIDED_AND_SENT)]
    assert failed
    assert sorted(complaints) == sorted(
        f"{step}, day {DAY - timedelta(days=1)}, {BOB}: The process stopped while it was sending the mail; "
        "the mail may have been sent."
        for step in undecided
    )
    assert Delivery.objects.filter(status="undecided").count() == len(undecided)
    assert run() == ([], False)
    assert mails(server) == got

    # Only `force` sends those mails again.
    assert run(sets=undecided, force=True) == ([], False)
    again = mails(server)
    for step, recipient in got:
        assert again[step, recipient] == got[step, recipient] + (step in undecided), step
    assert all(again[step, BOB] == 1 + (STEPS[step] == UNDECIDED_AND_SENT) for step in undecided)
    assert set(Delivery.objects.values_list("status", flat=True)) == {"sent"}


def test_senders_at_once_mail_each_recipient_once(transactional_database, server, tmp_path):
    addresses = [f"{number}@example.com" for number in range(20)]
    for number in range(RACES):
        names = [f"Set {number}.{each}" for each in range(2)]
        for name in names:
            make_set(name, addresses)
        metric("downloads")
        server.messages.clear()
        with (tmp_path / "stderr").open("w") as errors:
            racing = sender(transactional_database, server, "race", SENDERS, stderr=errors)
            report = json.loads(racing.communicate()[0])
        assert (tmp_path / "stderr").read_text() == ""
        assert report["codes"] == [0] * SENDERS
        assert [problems for _, problems in report["outcomes"]] == [[]] * SENDERS
        assert sum(sent for sent, _ in report["outcomes"]) == len(names) * len(addresses)
        assert mails(server) == {(name, address): 1 for name in names for address in addresses}
        assert set(Delivery.objects.values_list("status", "attempts")) == {("sent", 1)}


def test_senders_that_wait_for_a_killed_one_continue(transactional_database, server):
    """All senders wait for the row that the killed one did not commit; InnoDB then ends some of them as deadlocks."""
    if transactional_database == "default":
        pytest.skip("SQLite has one writer at a time, and so no deadlocks")
    made = make_set("Growth")
    metric("downloads")
    with sessions.other_session(transactional_database) as killed:
        sessions.run(killed, PLANNED, made.pk, DAY - timedelta(days=1), DAY)

        def kill():
            try:
                wait_until(lambda: sessions.waiting(killed) == SENDERS)
            finally:
                killed.rollback()

        killing = threading.Thread(target=kill)
        killing.start()
        outcomes = at_once(SENDERS, partial(send_reports, day=DAY))
        killing.join()
    assert [outcome.problems for outcome in outcomes] == [[]] * SENDERS
    assert mails(server) == {("Growth", address): 1 for address in (ANN, BOB, CID)}


def test_killed_senders_never_send_a_report_twice(transactional_database, server, tmp_path):
    sets, deadline = 0, time.monotonic() + SECONDS - 0.3  # a busy machine still gets a dozen sets
    with (tmp_path / "stderr").open("w") as errors:
        killer = sender(transactional_database, server, "kill", SECONDS, stderr=errors)
        while sets < 12 or time.monotonic() < deadline:
            make_set(f"Set {sets}")
            metric("downloads")
            sets += 1
            time.sleep(0.05)
        kills = int(killer.communicate()[0] or 0)
    assert (tmp_path / "stderr").read_text() == ""
    assert kills >= SECONDS
    assert send_reports(day=DAY).problems == []
    let_claims_grow_old()
    send_reports(day=DAY)

    rows = Delivery.objects.values_list("metric_set__name", "address", "status")
    got = mails(server)
    assert len(rows) == sets * 3
    assert {status for *_, status in rows} <= {"sent", "undecided"}
    assert got.total() > sets
    for name, address, status in rows:
        assert got[name, address] in ((1,) if status == "sent" else (0, 1)), (name, address, status)
    assert send_reports(day=DAY).sent == 0
    assert mails(server) == got
