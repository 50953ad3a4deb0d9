"""Each mail is sent at most once, and its row keeps whatever goes wrong."""

import re
import smtplib
import socket
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from unittest.mock import patch

import django
import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend as SMTPBackend
from django.db import transaction
from django.db.transaction import TransactionManagementError
from django.test import override_settings
from freezegun import freeze_time

from app_metrics import metric
from app_metrics.models import Delivery, Metric, MetricSet, Notice
from app_metrics.models.reports import STATUS_NAMES
from app_metrics.notifications import outbox
from app_metrics.notifications.outbox import LONGEST_SENDING, Outbox, Skip, message_id, send_notifications
from app_metrics.reports.recipients import read_token, recipients_of
from app_metrics.reports.sending import send_reports
from tests.support.mailserver import (
    CLOSE,
    DATA,
    DOT,
    MAIL,
    RCPT,
    SILENCE,
    TEXT,
    MailServer,
    free_port,
    patience_with,
    use,
)

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
# Counting began then.
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
ANN, BOB, CID = "ann@example.com", "bob@example.com", "cid@example.com"
THREE = (ANN, BOB, CID)
BEFORE = date(2026, 11, 23)

one_database = pytest.mark.django_db


@pytest.fixture
def server(settings):
    with MailServer() as server:
        use(settings, server.port)
        yield server


@pytest.fixture
def clock():
    with freeze_time(NOON) as clock:
        yield clock


@pytest.fixture
def make_set():
    def make(*addresses, name="Growth"):
        made = MetricSet.objects.create(name=name, email_addresses="\n".join(addresses), send_daily=True)
        made.metrics.add(Metric.objects.get_or_create(slug="downloads", defaults={"name": "Downloads"})[0])
        metric("downloads", at=LONG_AGO)
        return made

    return make


def delivery(address=BOB, **filters):
    return Delivery.objects.get(address=address, **filters)


def notice(address=BOB, **values):
    return Notice.objects.create(
        **{"recipient": address, "address": address, "subject": "Hello", "text": "World", "planned_at": NOON} | values
    )


def hello(row):
    return mail.EmailMessage("Hello", "World", to=[row.address])


def post(*rows, write=hello):
    with Outbox() as box:
        box.post(rows, write)
    return box.outcome


@contextmanager
def backend(cls):
    """Let Django send mail with a backend class of this module."""
    with override_settings(EMAIL_BACKEND=f"{__name__}.{cls.__name__}"):
        yield


# Claiming


def test_a_row_is_sent_once_and_says_so(database, clock):
    row = notice()
    outcome = post(row)
    row.refresh_from_db()
    assert (row.status, row.attempts, row.error) == ("sent", 1, "")
    assert (row.claimed_at, row.sent_at) == (NOON, NOON)
    assert (outcome.sent, outcome.skipped, outcome.problems) == (1, 0, [])
    assert [m.to for m in mail.outbox] == [[BOB]]


@pytest.mark.parametrize("status", [name for name, _ in STATUS_NAMES])
def test_only_waiting_or_failed_rows_are_sent(database, clock, status):
    row = notice()
    Notice.objects.update(status=status)
    outcome = post(row)
    wanted = status in ("waiting", "failed")
    assert len(mail.outbox) == outcome.sent == wanted
    assert Notice.objects.get().status == ("sent" if wanted else status)


@pytest.mark.parametrize("status", ["sending", "sent", "undecided", "skipped"])
@pytest.mark.parametrize("raised", [Skip("Not wanted."), OSError("no template")])
def test_a_sender_that_cannot_write_the_mail_leaves_rows_of_another_sender(database, clock, status, raised):
    row = notice()
    Notice.objects.update(status=status)
    with patch(f"{__name__}.hello", side_effect=raised) as write:
        outcome = post(row, write=write)
    assert Notice.objects.get().status == status
    assert (outcome.skipped, outcome.problems) == (0, [])


def test_a_mail_that_is_not_wanted_any_more_is_skipped_with_the_reason(database, clock):
    row = notice()
    with patch(f"{__name__}.hello", side_effect=Skip("Not wanted.")) as write:
        outcome = post(row, write=write)
    row.refresh_from_db()
    assert (row.status, row.error, row.attempts) == ("skipped", "Not wanted.", 0)
    assert (outcome.skipped, outcome.sent, outcome.problems) == (1, 0, [])


def test_a_row_is_claimed_before_its_mail_is_handed_over(database, clock):
    def look(messages):
        claimed.append(Notice.objects.get().status)
        return 1

    claimed = []
    notice()
    with patch("django.core.mail.backends.locmem.EmailBackend.send_messages", side_effect=look):
        send_notifications()
    assert claimed == ["sending"]


# Killed senders


def test_an_abandoned_claim_becomes_undecided_and_is_reported_once(database, clock):
    notice(status="sending", claimed_at=NOON)
    clock.move_to(NOON + LONGEST_SENDING)
    assert send_notifications().problems == []
    assert Notice.objects.get().status == "sending"
    clock.move_to(NOON + LONGEST_SENDING + timedelta(seconds=1))
    assert send_notifications().problems == [
        f"Hello, {BOB}: The process stopped while it was sending the mail; the mail may have been sent."
    ]
    row = Notice.objects.get()
    assert (row.status, row.error) == ("undecided", outbox.STOPPED)
    assert send_notifications().problems == []
    assert mail.outbox == []


def test_an_abandoned_report_is_sent_again_only_with_force(database, make_set, clock):
    make_set(ANN, BOB)
    send_reports()
    mail.outbox.clear()
    Delivery.objects.filter(address=BOB).update(status="sending", sent_at=None)
    clock.move_to(NOON + timedelta(hours=1))
    outcome = send_reports()
    assert outcome.problems == [f"Growth, day 2026-11-23, {BOB}: {outbox.STOPPED}"]
    outcome = send_reports()
    assert (outcome.sent, outcome.problems, mail.outbox) == (0, [], [])
    send_reports(force=True)
    assert sorted(m.to[0] for m in mail.outbox) == [ANN, BOB]
    assert delivery().status == "sent"


def test_old_rows_of_any_other_status_do_not_expire(database, clock):
    for status, _ in STATUS_NAMES:
        if status != "sending":
            notice(status=status, claimed_at=NOON - timedelta(days=30), planned_at=NOON - timedelta(days=30))
    before = set(Notice.objects.values_list("pk", "status"))
    assert send_notifications().problems == []
    assert set(Notice.objects.values_list("pk", "status")) == before


@pytest.mark.parametrize(("raised", "status"), [(None, "sent"), (OSError("refused"), "failed")])
def test_a_slow_sender_still_stores_the_result_of_its_mail(database, clock, raised, status):
    def slow(messages):
        clock.move_to(NOON + timedelta(hours=1))
        with Outbox() as other:
            other.expire(Notice.objects.all())
        assert Notice.objects.get().status == "undecided"
        if raised:
            raise raised
        return 1

    with patch("django.core.mail.backends.locmem.EmailBackend.send_messages", side_effect=slow):
        post(notice())
    assert Notice.objects.get().status == status


def test_a_sender_that_is_interrupted_leaves_one_mail_undecided_and_the_rest_for_the_next(database, clock):
    rows = [notice(address) for address in THREE]
    original = outbox.Outbox._transmit

    def interrupted(self, message):
        if message.to == [BOB]:
            raise KeyboardInterrupt
        original(self, message)

    with patch.object(outbox.Outbox, "_transmit", interrupted), pytest.raises(KeyboardInterrupt):
        post(*rows)
    assert list(Notice.objects.order_by("pk").values_list("status", flat=True)) == ["sent", "undecided", "waiting"]
    send_notifications()
    assert [m.to for m in mail.outbox] == [[ANN], [CID]]


def test_notifications_are_tried_for_three_days(database, clock):
    notice(ANN, planned_at=NOON - timedelta(days=3))
    notice(BOB, planned_at=NOON - timedelta(days=3) + timedelta(seconds=1), status="failed")
    assert send_notifications().sent == 1
    assert [m.to for m in mail.outbox] == [[BOB]]


# Failures of the mail server

REFUSALS = [
    (MAIL, "451 4.3.0 Try later", "451"),
    (MAIL, "530 5.7.0 Log in first", "530"),
    (MAIL, "421 4.3.2 Closing", "421"),
    (MAIL, CLOSE, "SMTPServerDisconnected"),
    pytest.param(MAIL, SILENCE, "timed out", marks=pytest.mark.slow),  # DOT shows that a silent server is given up
    (RCPT, "550 5.1.1 No such user", "550"),
    (RCPT, "451 4.7.1 Greylisted", "451"),
    (RCPT, "421 4.3.2 Closing", "421"),
    (RCPT, CLOSE, "SMTPServerDisconnected"),
    pytest.param(RCPT, SILENCE, "timed out", marks=pytest.mark.slow),
    (DATA, "451 4.3.0 Try later", "451"),
    (DATA, "554 5.5.1 No valid recipients", "554"),
    (DATA, "421 4.3.2 Closing", "421"),
    (DOT, "451 4.3.0 Try later", "451"),
    (DOT, "554 5.7.1 Looks like spam", "554"),
    (DOT, "421 4.3.2 Closing", "421"),
]


@one_database
@pytest.mark.parametrize(("stage", "action", "error"), REFUSALS)
def test_a_mail_that_the_server_refused_is_sent_by_the_next_run(
    server, settings, make_set, clock, stage, action, error
):
    # Until the final dot the server has nothing to deliver, and its answer to the dot says whether it takes the message
    # (RFC 5321, sections 3.3 and 4.2.5). A refusal, or a connection that breaks before DATA, delivers nothing, so it is
    # safe to try again.
    settings.EMAIL_TIMEOUT = patience_with(action)
    server.fail(stage, action, None if stage == MAIL else ANN)
    make_set(ANN)
    outcome = send_reports()
    row = delivery(ANN)
    assert (row.status, row.attempts, row.sent_at) == ("failed", 1, None)
    assert error in row.error
    assert "\n" not in row.error
    assert outcome.problems == [f"Growth, day 2026-11-23, {ANN}: {row.error}"]
    assert server.messages == []

    server.faults.clear()
    clock.tick(60)
    outcome = send_reports()
    row = delivery(ANN)
    assert (row.status, row.attempts, row.error, row.sent_at) == ("sent", 2, "", NOON + timedelta(minutes=1))
    assert outcome.problems == []
    send_reports()
    assert server.recipients == [ANN]


@one_database
@pytest.mark.parametrize(
    ("stage", "action", "taken"),
    [
        (DATA, CLOSE, False),
        (TEXT, CLOSE, False),
        (DOT, CLOSE, False),
        *((DOT, action, True) for action in (CLOSE, SILENCE, "gibberish", "200 Thanks")),
    ],
)
def test_a_mail_with_an_unknown_result_is_reported_once_and_not_sent_again(
    server, settings, make_set, clock, stage, action, taken
):
    # RFC 1047: if the connection breaks between the final dot and its answer, the client cannot know whether the server
    # took the message, so it risks either a duplicate or a lost mail. RFC 5321, section 4.5.3.2.6, asks clients to wait
    # ten minutes for that answer, because giving up early causes duplicates; the risk remains. We risk the lost mail,
    # and report it. Nor can the client see how much of the text arrived before a break, so a break from the DATA
    # command on counts as undecided. So does an invalid answer, and a success code that smtplib does not know.
    settings.EMAIL_TIMEOUT = patience_with(action)
    server.fail(stage, action, ANN, taken=taken)
    make_set(ANN)
    outcome = send_reports()
    row = delivery(ANN)
    assert row.status == "undecided"
    assert row.error
    assert outcome.problems == [f"Growth, day 2026-11-23, {ANN}: {row.error}"]

    server.faults.clear()
    for hour in (1, 29):
        clock.move_to(NOON + timedelta(hours=hour))
        assert send_reports(day=NOON.date()).problems == []
    assert server.recipients == [ANN] * taken
    send_reports(day=NOON.date(), force=True)
    assert server.recipients == [ANN] * (taken + 1)
    assert delivery(ANN).status == "sent"


@one_database
def test_a_long_text_that_breaks_off_is_undecided(server, settings, clock):
    server.fail(TEXT, CLOSE)
    row = notice(text="word " * 1_000_000)
    send_notifications()
    row.refresh_from_db()
    assert row.status == "undecided"
    assert server.messages == []


@one_database
@pytest.mark.parametrize(
    ("stage", "action", "status"),
    [
        (RCPT, "550 5.1.1 No such user", "failed"),
        (RCPT, "421 4.3.2 Closing", "failed"),
        (RCPT, CLOSE, "failed"),
        pytest.param(RCPT, SILENCE, "failed", marks=pytest.mark.slow),
        (DATA, "451 4.3.0 Try later", "failed"),
        (DATA, CLOSE, "undecided"),
        (TEXT, CLOSE, "undecided"),
        (DOT, "554 5.7.1 Looks like spam", "failed"),
        (DOT, CLOSE, "undecided"),
        pytest.param(DOT, SILENCE, "undecided", marks=pytest.mark.slow),
    ],
)
def test_a_failure_for_one_recipient_is_retried_for_that_one_only(
    server, settings, make_set, clock, stage, action, status
):
    settings.EMAIL_TIMEOUT = patience_with(action)
    server.fail(stage, action, BOB)
    make_set(*THREE)
    make_set(BOB, CID, name="Other")
    outcome = send_reports()
    assert (outcome.sent, len(outcome.problems)) == (3, 2)
    assert sorted(server.recipients) == [ANN, CID, CID]
    assert set(Delivery.objects.values_list("address", "status")) == {(ANN, "sent"), (BOB, status), (CID, "sent")}

    server.faults.clear()
    outcome = send_reports()
    assert (outcome.sent, outcome.problems) == (2 if status == "failed" else 0, [])
    assert server.recipients[3:] == ([BOB, BOB] if status == "failed" else [])


@one_database
def test_while_the_server_is_down_every_recipient_is_tried_and_the_next_run_completes(settings, make_set, clock):
    use(settings, free_port())
    make_set(*THREE)
    outcome = send_reports()
    assert (outcome.sent, len(outcome.problems)) == (0, 3)
    assert all("ConnectionRefusedError" in problem for problem in outcome.problems)
    assert set(Delivery.objects.values_list("status", "attempts")) == {("failed", 1)}
    with MailServer() as server:
        use(settings, server.port)
        assert send_reports().problems == []
    assert server.recipients == list(THREE)


# The connection


@one_database
def test_one_connection_serves_all_sets_and_recipients(server, make_set, clock):
    make_set(*THREE)
    make_set(*THREE, name="Other")
    assert send_reports().sent == 6
    assert server.connections == 1


@one_database
def test_no_connection_is_opened_without_mails(server, make_set, clock):
    make_set(ANN)
    send_reports()
    send_reports()
    assert server.connections == 1


@one_database
@pytest.mark.parametrize("goodbye", [CLOSE, "421 4.7.0 Enough for one connection"])
def test_a_connection_that_was_ended_between_messages_is_opened_again(server, make_set, clock, goodbye):
    server.fail(MAIL, goodbye, after=2)
    make_set(*(f"{number}@example.com" for number in range(5)))
    outcome = send_reports()
    assert (outcome.sent, outcome.problems) == (5, [])
    assert server.recipients == [f"{number}@example.com" for number in range(5)]
    assert server.connections == 3
    assert set(Delivery.objects.values_list("status", "attempts")) == {("sent", 1)}


@one_database
def test_a_message_that_a_closing_server_refused_goes_over_another_connection(server, make_set, clock):
    server.fail(DOT, "421 4.3.2 Closing", BOB, times=1)
    make_set(*THREE)
    outcome = send_reports()
    assert (outcome.sent, outcome.problems, server.recipients) == (3, [], list(THREE))


@one_database
def test_a_message_that_a_closing_server_refused_has_failed_if_there_is_no_other_connection(server, clock):
    server.fail(DOT, "421 4.3.2 Closing", BOB)
    notice(ANN)
    notice(BOB)
    connect = [socket.create_connection(("127.0.0.1", server.port)), OSError("no route")]
    with patch("smtplib.socket.create_connection", side_effect=connect):
        send_notifications()
    assert dict(Notice.objects.values_list("address", "status")) == {ANN: "sent", BOB: "failed"}


@one_database
def test_a_message_that_was_refused_waits_for_the_next_run(server, make_set, clock):
    server.fail(DOT, "451 4.3.0 Try later", BOB, times=1)
    make_set(*THREE)
    outcome = send_reports()
    assert (outcome.sent, len(outcome.problems), server.recipients) == (2, 1, [ANN, CID])


@one_database
@pytest.mark.parametrize("stage", [DATA, TEXT, DOT])
def test_a_message_that_may_have_been_taken_does_not_go_over_another_connection(server, make_set, clock, stage):
    server.fail(stage, CLOSE, BOB, times=1)
    make_set(*THREE)
    outcome = send_reports()
    assert (outcome.sent, len(outcome.problems), server.recipients) == (2, 1, [ANN, CID])


@one_database
def test_a_server_that_ends_every_connection_is_not_asked_forever(server, make_set, clock):
    server.fail(MAIL, CLOSE)
    make_set(*THREE)
    outcome = send_reports()
    assert (outcome.sent, len(outcome.problems), server.connections) == (0, 3, 3)


@one_database
def test_a_failure_does_not_leave_the_next_mail_on_a_connection_in_an_unknown_state(server, make_set, clock):
    server.fail(RCPT, "550 5.1.1 No such user", BOB)
    make_set(*THREE)
    assert send_reports().sent == 2
    assert [taken.connection for taken in server.messages] == [1, 2]


@one_database
@pytest.mark.parametrize(("timeout", "used"), [(None, outbox.TIMEOUT), (5, 5)])
def test_a_silent_server_is_abandoned_after_the_timeout_or_a_default(server, settings, clock, timeout, used):
    settings.EMAIL_TIMEOUT = timeout
    notice()
    with patch("smtplib.socket.create_connection", side_effect=OSError("seen")) as connect:
        send_notifications()
    assert connect.call_args.args[1] == used
    assert timedelta(seconds=used) < LONGEST_SENDING


# Other backends


class Nothing(BaseEmailBackend):
    def send_messages(self, messages):
        return 0


class Broken(BaseEmailBackend):
    error = "the API said no"

    def send_messages(self, messages):
        raise RuntimeError(self.error)


class CannotOpen(Broken):
    def open(self):
        raise PermissionError("no key")


class CannotClose(BaseEmailBackend):
    def send_messages(self, messages):
        return len(messages)

    def close(self):
        raise OSError("gone already")


class SaysNothing(BaseEmailBackend):
    """Return None instead of a count, against the contract, as some packages do."""

    def send_messages(self, messages):
        return None


@pytest.mark.parametrize(
    ("cls", "error"),
    [
        (Nothing, "RuntimeError: The e-mail backend sent nothing and gave no reason."),
        (Broken, "RuntimeError: the API said no"),
        (CannotOpen, "PermissionError: no key"),
    ],
)
def test_a_mail_that_another_backend_did_not_send_failed_with_the_reason(database, clock, cls, error):
    notice()
    with backend(cls):
        outcome = send_notifications()
    assert outcome.problems == [f"Hello, {BOB}: {error}"]
    assert (Notice.objects.get().status, Notice.objects.get().error) == ("failed", error)
    assert send_notifications().sent == 1
    assert [m.to for m in mail.outbox] == [[BOB]]


@one_database
@pytest.mark.parametrize("cls", [CannotClose, SaysNothing])
def test_a_mail_that_another_backend_sent_is_marked_sent(clock, cls):
    notice()
    with backend(cls):
        assert send_notifications().sent == 1
    assert Notice.objects.get().status == "sent"


@pytest.mark.parametrize("error", ["a\0b", "a\udcffb", "a\r\n\tb"])
def test_an_error_with_any_text_is_stored_in_one_line(database, clock, monkeypatch, error):
    monkeypatch.setattr(Broken, "error", error)
    notice(ANN)
    notice(BOB)
    with backend(Broken):
        outcome = send_notifications()
    assert len(outcome.problems) == 2
    assert all(re.fullmatch(r"Hello, \w+@example.com: RuntimeError: a.*b", line) for line in outcome.problems)
    assert set(Notice.objects.values_list("status", flat=True)) == {"failed"}
    assert "\n" not in Notice.objects.first().error


class Wrapping(BaseEmailBackend):
    """Hide the connection of another backend, as packages that log or sign mails do."""

    def send_messages(self, messages):
        return SMTPBackend().send_messages(messages)


class Reconnecting(SMTPBackend):
    """Send over a new connection instead of the one that was opened first."""

    def send_messages(self, messages):
        self.close()
        self.open()
        return super().send_messages(messages)


@one_database
@pytest.mark.filterwarnings("ignore:Directly creating EmailBackend")
@pytest.mark.parametrize("cls", [Wrapping, Reconnecting])
@pytest.mark.parametrize(
    ("stage", "action", "status"),
    [
        (DOT, CLOSE, "undecided"),
        (DOT, "200 Thanks", "undecided"),
        (DOT, "554 Spam", "failed"),
        (RCPT, "550 No", "failed"),
    ],
)
def test_a_mail_over_a_hidden_connection_is_not_sent_again_if_it_may_have_been_taken(
    server, clock, cls, stage, action, status
):
    server.fail(stage, action)
    notice()
    with backend(cls):
        send_notifications()
    assert Notice.objects.get().status == status


@one_database
def test_an_error_of_any_kind_leaves_a_mail_undecided_once_it_is_being_sent(server, clock):
    """An example is the soft time limit of a Celery task."""

    send, broken, unanswered = smtplib.SMTP.send, set(), []

    def send_or_fail(connection, content):
        if isinstance(content, bytes):  # the message; commands are str
            broken.add(connection)
            raise RuntimeError("the time is over")
        if connection in broken and connection.sock is not None:
            unanswered.append(content)  # the server reads it as part of the message
        return send(connection, content)

    notice(ANN)
    notice(BOB)
    with patch("smtplib.SMTP.send", send_or_fail):
        assert send_notifications().sent == 0
    assert set(Notice.objects.values_list("status", flat=True)) == {"undecided"}
    assert unanswered == []


@one_database
def test_the_console_backend_writes_the_mails(clock, make_set, capsys):
    make_set(ANN, BOB)
    with override_settings(EMAIL_BACKEND="django.core.mail.backends.console.EmailBackend"):
        assert send_reports().sent == 2
    assert re.findall(r"^To: (.*)$", capsys.readouterr().out, re.MULTILINE) == [ANN, BOB]


@one_database
def test_the_file_backend_writes_the_mails(clock, make_set, tmp_path):
    make_set(ANN, BOB)
    options = {"EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend", "EMAIL_FILE_PATH": str(tmp_path)}
    with override_settings(**options):
        assert send_reports().sent == 2
    text = "".join(path.read_text() for path in tmp_path.iterdir())
    assert re.findall(r"^To: (.*)$", text, re.MULTILINE) == [ANN, BOB]


@one_database
@pytest.mark.parametrize("name", ["dummy", "locmem"])
def test_the_backends_for_tests_take_the_mails(clock, make_set, name):
    make_set(ANN, BOB)
    with override_settings(EMAIL_BACKEND=f"django.core.mail.backends.{name}.EmailBackend"):
        assert send_reports().sent == 2
    assert len(mail.outbox) == (2 if name == "locmem" else 0)


@one_database
@pytest.mark.skipif(django.VERSION < (6, 1), reason="Django has MAILERS since 6.1")
def test_the_default_mailer_of_the_settings_is_used(clock, make_set):
    make_set(ANN)
    with MailServer() as server:
        mailer = {"BACKEND": f"{SMTPBackend.__module__}.EmailBackend", "OPTIONS": {"host": "127.0.0.1"}}
        mailer["OPTIONS"]["port"] = server.port
        with override_settings(MAILERS={"default": mailer}):
            assert send_reports().sent == 1
    assert server.recipients == [ANN]


# Contents of a mail


def raw_headers(content):
    """Return the header lines as they went over the wire, unfolded."""
    head = content.partition(b"\r\n\r\n")[0].decode("ascii")
    lines = re.sub(r"\r\n(?=[ \t])", "", head).split("\r\n")
    return dict(line.split(": ", 1) for line in lines)


@one_database
def test_recipients_do_not_see_each_other(server, make_set, clock):
    made = make_set(*THREE)
    made.email_recipients.add(User.objects.create(username="dan", email="dan@example.com"))
    send_reports()
    everybody = {*THREE, "dan@example.com"}
    assert set(server.recipients) == everybody
    for taken in server.messages:
        for other in everybody - {taken.recipient}:
            assert other.encode() not in taken.content
        assert taken.message["To"] == taken.recipient
        assert "Cc" not in taken.message
        assert "Bcc" not in taken.message


@one_database
@pytest.mark.parametrize("name", ["Growth\r\nBcc: spy@example.com", "Growth\nBcc: spy@example.com", "Growth\rX: y"])
@pytest.mark.parametrize("place", ["set", "metric", "slug"])
def test_a_name_with_a_line_break_neither_injects_a_header_nor_stops_the_others(server, make_set, clock, name, place):
    make_set(ANN, name=name if place == "set" else "Growth")
    make_set(BOB, name="Other")
    if place != "set":
        Metric.objects.update(name=name)
    outcome = send_reports()
    assert (outcome.sent, outcome.problems) == (2, [])
    assert sorted(server.recipients) == [ANN, BOB]
    for taken in server.messages:
        assert not {"bcc", "x"} & {header.lower() for header in taken.message}
        assert "\n" not in taken.message["Subject"]
        assert taken.message["To"] == taken.recipient


@one_database
def test_a_problem_is_one_line_for_any_name_of_a_set(server, make_set, clock):
    server.fail(MAIL, "451 4.3.0 Try\r\nlater")
    make_set(ANN, name="Growth\r\n\tof all")
    (problem,) = send_reports().problems
    assert problem.startswith(f"Growth of all, day 2026-11-23, {ANN}: SMTPSenderRefused")
    assert problem.splitlines() == [problem]


@one_database
@pytest.mark.parametrize(
    "address", ["ann@example.com\r\nBcc: spy@example.com", "ann@example.com, spy@example.com", "@"]
)
def test_an_invalid_address_neither_injects_a_header_nor_stops_other_mails(server, make_set, clock, address):
    made = make_set(BOB)
    made.email_recipients.add(User.objects.create(username="ann", email=address))
    outcome = send_reports()
    assert server.recipients == [BOB]
    assert len(outcome.problems) == 1
    assert len(outcome.problems[0].splitlines()) == 1


def test_an_address_that_is_too_long_does_not_stop_other_mails(database, make_set, clock):
    make_set("a" * 400 + "@example.com", name="A")
    make_set(BOB, name="B")
    send_reports()
    assert [m.to for m in mail.outbox] == [[BOB]]


@one_database
@pytest.mark.parametrize("base", ["https://example.com", "https://example.com/"])
def test_the_headers_let_mail_programs_unsubscribe(server, settings, make_set, clock, base):
    settings.APP_METRICS_BASE_URL = base
    settings.ROOT_URLCONF = "app_metrics.urls"  # as the root, instead of including it
    long = "a-name-that-is-rather-long-for-a-mailbox@a-domain-that-is-rather-long.example.com"
    with patch("app_metrics.reports.recipients.UNSUBSCRIBE", "unsubscribe"):
        made = make_set(ANN, long)
        send_reports()
    for taken, recipient in zip(server.messages, recipients_of(made), strict=True):
        headers = raw_headers(taken.content)
        # The raw header: mail programs do not decode encoded words here (RFC 2047, section 5).
        link = re.fullmatch(r"<https://example\.com/unsubscribe/([\w:-]+)/>", headers["List-Unsubscribe"].strip())
        assert read_token(link[1]) == (made, recipient.identity)
        # RFC 8058, section 3.1, requires exactly this.
        assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert all(len(line) <= 998 for taken in server.messages for line in taken.content.split(b"\r\n"))


@one_database
def test_without_the_sites_address_there_is_nothing_to_unsubscribe_by(server, make_set, clock):
    make_set(ANN)
    send_reports()
    assert not [name for name in server.messages[0].message if name.startswith("List-")]


@one_database
def test_a_mail_says_that_a_machine_sent_it_and_from_whom(server, settings, make_set, clock):
    settings.DEFAULT_FROM_EMAIL = "Metrics <metrics@example.org>"
    make_set(ANN)
    notice(BOB)
    send_reports()
    send_notifications()
    for taken in server.messages:
        headers = raw_headers(taken.content)
        assert headers["Auto-Submitted"] == "auto-generated"  # prevents out-of-office replies (RFC 3834)
        assert headers["From"] == "Metrics <metrics@example.org>"
        assert re.fullmatch(r"<\w+-\d+-\d+\.app-metrics@example\.org>", headers["Message-ID"])
    assert [taken.message.get_content_type() for taken in server.messages] == ["multipart/alternative", "text/plain"]
    parts = [part.get_content_type() for part in server.messages[0].message.iter_parts()]
    assert parts == ["text/plain", "text/html"]


@one_database
def test_every_mail_has_its_own_message_id_which_stays_when_it_is_tried_again(server, make_set, clock):
    server.fail(DOT, CLOSE, taken=True)
    make_set(*THREE)
    make_set(*THREE, name="Other")
    notices = [notice(address) for address in THREE]
    send_reports()
    send_notifications()
    server.faults.clear()
    Delivery.objects.update(status="failed")
    Notice.objects.update(status="failed")
    clock.tick(3600)
    send_reports()
    send_notifications()
    ids = [taken.message["Message-ID"] for taken in server.messages]
    assert ids[:9] == ids[9:]
    assert len(set(ids)) == 9
    assert set(ids) > {message_id(each) for each in notices}


@one_database
def test_a_forced_mail_has_a_message_id_of_its_own(server, make_set, clock):
    make_set(ANN)
    for _ in range(3):
        send_reports(force=True)  # at the very same moment
    assert len({taken.message["Message-ID"] for taken in server.messages}) == 3


@one_database
def test_a_mail_goes_to_the_address_that_its_row_names(server, make_set, clock):
    make_set("Ann@Example.com")
    send_reports()
    row = Delivery.objects.get()
    assert (row.recipient, row.address) == ("ann@example.com", "Ann@Example.com")
    assert server.recipients == ["Ann@Example.com"]


def test_mails_are_refused_inside_a_transaction_which_could_forget_them(transactional_database, clock):
    notice(ANN)
    with (
        transaction.atomic(using=transactional_database),
        pytest.raises(TransactionManagementError, match="Call this outside atomic"),
    ):
        send_notifications()
    assert mail.outbox == []
    assert send_notifications().sent == 1


def test_without_notifications_nothing_is_refused_and_no_connection_is_made(transactional_database, clock, monkeypatch):
    monkeypatch.setattr(outbox, "mail_connection", None)
    with transaction.atomic(using=transactional_database):
        assert send_notifications().sent == 0


def test_a_sender_that_is_killed_while_it_connects_leaves_the_mail_to_the_next(database, clock):
    row = notice(ANN)
    with patch.object(outbox.Outbox, "_connect", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        post(row)
    row.refresh_from_db()
    assert (row.status, row.attempts) == ("waiting", 0)
    assert send_notifications().sent == 1
