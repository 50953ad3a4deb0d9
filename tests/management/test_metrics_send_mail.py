"""`manage.py metrics_send_mail`: its output under cron and at a terminal."""

import smtplib
from datetime import UTC, date, datetime, timedelta
from io import StringIO

import pytest
from django.apps import apps
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone
from freezegun import freeze_time

from app_metrics import metric
from app_metrics.aggregation.run import aggregate
from app_metrics.management.commands import metrics_send_mail
from app_metrics.models import Delivery, MetricSet, Notice, Unsubscription
from app_metrics.models.creation import create_metric, create_metric_set

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
NOTHING = "0 reports and 0 notifications would be sent. Nothing was changed.\n"
GROWTH = {"Growth": {"metrics": ["orders"], "recipients": ["team@example.com"], "send": ["daily", "weekly"]}}
SEND = "django.core.mail.backends.locmem.EmailBackend.send_messages"


@pytest.fixture(autouse=True)
def clock():
    """Stop the clock at noon on Monday, 1 June."""
    with freeze_time(NOON) as moved:
        yield moved


@pytest.fixture
def metric_set(database):
    orders = create_metric("Orders", "orders")
    metric("orders", 5, at=NOON - timedelta(days=1))
    metric("orders", 0, at=datetime(2020, 1, 1, tzinfo=UTC))  # counting began then
    aggregate()
    return create_metric_set("Mine", [orders], ["a@example.com", "b@example.com"], send_weekly=True)


def run(*arguments, **options):
    """Return what the command writes to stdout and stderr."""
    out, errors = StringIO(), StringIO()
    call_command("metrics_send_mail", *arguments, stdout=out, stderr=errors, **options)
    return out.getvalue(), errors.getvalue()


def fail(*arguments):
    """Return what the command writes to stdout and stderr, and its error message."""
    out, errors = StringIO(), StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("metrics_send_mail", *arguments, stdout=out, stderr=errors)
    assert caught.value.returncode == 1
    return out.getvalue(), errors.getvalue(), str(caught.value)


def everything():
    """Return every row of the package."""
    return {
        model: list(model.objects.order_by("pk").values()) for model in apps.get_app_config("app_metrics").get_models()
    }


def notice(address, **values):
    values = {"subject": "Orders reached 5", "text": "…", "planned_at": timezone.now(), **values}
    return Notice.objects.create(recipient=address, address=address, **values)


def refuse(address):
    """Return a `send_messages` that refuses an address, as a server that does not know it does."""
    send = mail.backends.locmem.EmailBackend.send_messages

    def send_messages(backend, messages):
        if address in messages[0].to:
            raise smtplib.SMTPRecipientsRefused({address: (550, b"no such user")})
        return send(backend, messages)

    return send_messages


# Sending


def test_due_mails_are_sent_and_summed_up_in_one_line(metric_set):
    notice("boss@example.com")
    summary = "Sent 4 reports and 1 notification, 0 skipped, 0 with problems.\n"
    assert run() == (summary, "")
    assert sorted(each.to[0] for each in mail.outbox) == [
        *["a@example.com"] * 2,
        *["b@example.com"] * 2,
        "boss@example.com",
    ]
    assert run() == ("Sent 0 reports and 0 notifications, 0 skipped, 0 with problems.\n", "")
    assert len(mail.outbox) == 5


def test_verbosity_0_prints_nothing_about_sent_mails(metric_set):
    assert run(verbosity=0) == ("", "")
    assert len(mail.outbox) == 4


def test_it_says_how_many_were_skipped(metric_set, settings):
    settings.APP_METRICS_SEND_ZERO_ACTIVITY = False
    create_metric_set("Idle", [create_metric("Idle")], ["c@example.com"])
    assert run()[0] == "Sent 4 reports and 0 notifications, 1 skipped, 0 with problems.\n"


def test_failed_mails_are_listed_and_fail_the_command(metric_set, monkeypatch):
    notice("a@example.com")
    monkeypatch.setattr(SEND, refuse("a@example.com"))
    for arguments in ((), ("--verbosity", "0")):
        out, errors, error = fail(*arguments)
        assert out == ("Sent 2 reports and 0 notifications, 0 skipped, 3 with problems.\n" if not arguments else "")
        assert [line.partition(": ")[0] for line in errors.splitlines()] == [
            "Mine, day 2026-05-31, a@example.com",
            "Mine, week 2026-05-25, a@example.com",
            "Orders reached 5, a@example.com",
        ]
        assert "no such user" in errors
        assert error == "Mails that failed or are undecided: 3. The next run retries the failed ones."
    monkeypatch.undo()
    assert run()[0] == "Sent 2 reports and 1 notification, 0 skipped, 0 with problems.\n"


def test_a_database_that_fails_is_an_error_and_no_traceback(metric_set, monkeypatch):
    def broken(**options):
        raise OperationalError("the disk is full")

    monkeypatch.setattr(metrics_send_mail, "send_reports", broken)
    assert fail()[2] == "Sending stopped; run the command again to continue: the disk is full"


@pytest.mark.parametrize("arguments", [(), ("--dry-run",), ("--preview", "Mine")])
def test_a_mistake_in_the_settings_keeps_no_report_from_its_recipients(arguments, metric_set, settings):
    settings.APP_METRICS_URLS = {"no-such-page": "views"}
    settings.APP_METRICS_SETS = {"Bad": {"metrics": "orders"}}
    errors = StringIO()
    command = metrics_send_mail.Command(StringIO(), errors)
    command.execute(**vars(command.create_parser("manage.py", "metrics_send_mail").parse_args(arguments)))
    assert errors.getvalue() == ""


# Which sets, which day


def test_it_sends_the_named_sets_alone(metric_set):
    for name in ("Other", "Third"):
        create_metric_set(name, metric_set.metrics.all(), [f"{name}@example.com"])
    assert run("--set", "Third")[0].startswith("Sent 1 report ")
    assert run("--dry-run", "--set", "Third", "--set", "Other")[0].startswith(
        "Other, day 2026-05-31, Other@example.com\n1 "
    )
    assert run("--set", "Third", "--set", "Other")[0].startswith("Sent 1 report ")
    assert run()[0].startswith("Sent 4 reports")


@pytest.mark.parametrize("arguments", [("--set", "Mine", "--set", "mine"), ("--preview", "mine"), ("--preview", "")])
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_an_unknown_set_is_an_error_that_names_the_existing_sets(arguments, dry, metric_set):
    create_metric_set("Other", [])
    assert fail(*arguments, *dry)[2] == f"There is no metric set {arguments[-1]!r}; choose one of 'Mine', 'Other'."
    assert mail.outbox == []


def test_an_unknown_set_is_refused_if_there_are_no_sets(database):
    assert fail("--set", "Mine")[2] == "There is no metric set 'Mine'; there are no metric sets yet."


@pytest.mark.parametrize("other", [(), ("--dry-run",), ("--preview", "Mine")])
def test_a_day_to_come_is_an_error(other, metric_set):
    error = fail("--date", "2026-06-02", *other)[2]
    assert error == "2026-06-02 is in the future; give today or an earlier date."
    assert (mail.outbox, Delivery.objects.count()) == ([], 0)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "01.06.2026", "2026-06-01T12:00", "5"])
def test_an_invalid_day_is_an_error(text, metric_set):
    assert fail(f"--date={text}")[2].endswith(f"argument --date: {text!r} is not a date; give one such as 2026-11-23.")


@pytest.mark.parametrize("other", [(), ("--dry-run",), ("--preview", "Mine")])
def test_a_day_outside_the_allowed_years_is_an_error(other, metric_set):
    for year in (1, 1969, 2101):
        error = fail("--date", f"{year:04}-01-01", *other)[2]
        assert error.endswith(f"-01-01 is in the year {year}; APP_METRICS_YEARS allows 1970 to 2100.")
    run("--date", "1970-01-01", *other)


def test_a_day_stands_for_today(metric_set):
    out = run("--dry-run", "--date", "2026-05-21")[0]
    assert out.splitlines()[0] == "Mine, day 2026-05-20, a@example.com"
    run("--date", "2026-05-21")
    assert set(Delivery.objects.values_list("period", "start")) == {
        ("day", date(2026, 5, 20)),
        ("week", date(2026, 5, 11)),
    }


def test_force_sends_the_latest_reports_once_more(metric_set):
    run()
    assert run("--dry-run")[0] == NOTHING
    last = run("--dry-run", "--force")[0].splitlines()[-1]
    assert last == "4 reports and 0 notifications would be sent. Nothing was changed."
    assert run()[0].startswith("Sent 0 reports")
    assert run("--force")[0].startswith("Sent 4 reports")
    assert len(mail.outbox) == 8


# Dry runs


@pytest.mark.parametrize("arguments", [(), ("--force",), ("--set", "Growth"), ("--date", "2026-05-30")], ids=str)
def test_a_dry_run_lists_the_mails_of_the_next_run_and_changes_nothing(arguments, metric_set, settings, clock):
    settings.APP_METRICS_SETS = GROWTH  # not copied to rows yet
    settings.APP_METRICS_SEND_ZERO_ACTIVITY = False
    create_metric_set("Empty", [], ["c@example.com"])
    create_metric_set("Idle", [create_metric("Idle")], ["d@example.com"])
    Unsubscription.objects.create(metric_set=metric_set, recipient="b@example.com", address="b@example.com")
    Delivery.objects.create(
        metric_set=metric_set, period="day", start="2026-05-29", recipient="gone@example.com",
        address="gone@example.com", planned_at=NOON, status="failed",
    )  # fmt: skip
    notice("boss@example.com")
    notice("late@example.com", planned_at=NOON - timedelta(days=4))
    notice("done@example.com", status="sent")
    before = everything()
    lines = run("--dry-run", *arguments)[0].splitlines()
    assert everything() == before
    assert mail.outbox == []
    run(*arguments)
    sent = [str(each) for model in (Delivery, Notice) for each in model.objects.filter(sent_at=NOON).order_by("pk")]
    skipped = [f"{each}: skipped. {each.error}" for each in Delivery.objects.filter(status="skipped")]
    assert sorted(lines[:-1]) == sorted(sent + skipped)
    reports = len(sent) - 1
    assert lines[-1] == f"{reports} reports and 1 notification would be sent. Nothing was changed."
    assert sum(each.subject.startswith(("Mine", "Growth")) for each in mail.outbox) == reports


def test_a_dry_run_says_why_a_report_would_be_skipped(metric_set, settings):
    settings.APP_METRICS_SEND_ZERO_ACTIVITY = False
    create_metric_set("Empty", [], ["c@example.com"])
    create_metric_set("Idle", [create_metric("Idle")], ["d@example.com"])
    lines = run("--dry-run", "--set", "Empty", "--set", "Idle")[0].splitlines()
    assert lines == [
        "Empty, day 2026-05-31, c@example.com: skipped. The set has no metrics.",
        "Idle, day 2026-05-31, d@example.com: skipped. Nothing was recorded.",
        "0 reports and 0 notifications would be sent. Nothing was changed.",
    ]


def test_a_dry_run_without_due_mails_says_so(database):
    assert run("--dry-run") == (NOTHING, "")


# Previews


def test_a_preview_shows_the_report_of_every_period_that_a_set_sends(metric_set):
    before = everything()
    out, errors = run("--preview", "Mine")
    assert errors == ""
    assert "31 May" in out
    assert "25" in out
    assert out.count("Orders") >= 2
    assert "Mine" in out.splitlines()[0]
    assert everything() == before
    assert mail.outbox == []


def test_a_preview_of_a_set_that_sends_nothing_shows_all_there_could_be(metric_set, tmp_path):
    MetricSet.objects.update(send_daily=False, send_weekly=False)
    run("--preview", "Mine", "--output", str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {
        f"mine-{period}.{suffix}" for period in ("day", "week", "month") for suffix in ("html", "txt")
    }


def test_a_preview_of_a_set_that_was_declared_and_never_copied(metric_set, settings):
    settings.APP_METRICS_SETS = GROWTH
    out = run("--preview", "Growth")[0]
    assert out.startswith("Growth")
    assert "Orders" in out
    assert list(MetricSet.objects.values_list("name", flat=True)) == ["Mine"]


def test_a_preview_is_of_the_day_that_stands_for_today(metric_set):
    assert "20 May" in run("--preview", "Mine", "--date", "2026-05-21")[0]


def test_a_preview_is_written_into_a_folder_which_is_made(metric_set, tmp_path):
    folder = tmp_path / "new" / "folder"
    out = run("--preview", "Mine", "--output", str(folder))[0]
    names = ["mine-day.txt", "mine-day.html", "mine-week.txt", "mine-week.html"]
    assert out.splitlines() == [str(folder / name) for name in names]
    text, html = ((folder / name).read_text("utf-8") for name in names[:2])
    assert run("--preview", "Mine")[0].startswith(text)
    assert html.startswith("<!DOCTYPE html>")
    assert "Orders" in html
    run("--preview", "Mine", "--output", str(folder))  # overwrites the files
    assert len(list(folder.iterdir())) == 4


@pytest.mark.parametrize(
    ("name", "file"),
    [("../../Übersicht / v1.5 <b>", "ubersicht-v15-b-day"), ("日本", "report-day"), ("..", "report-day")],
)
def test_the_name_of_a_set_never_leads_out_of_the_folder(name, file, metric_set, tmp_path):
    MetricSet.objects.update(name=name, send_weekly=False)
    folder = tmp_path / "inner"
    run("--preview", name, "--output", str(folder))
    assert {path.name for path in folder.iterdir()} == {f"{file}.txt", f"{file}.html"}
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_cannot_be_written_is_an_error(metric_set, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        assert fail("--preview", "Mine", "--output", str(folder))[2].startswith("The preview cannot be written: ")


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_an_output_without_a_preview_is_an_error_and_sends_nothing(arguments, metric_set, tmp_path):
    assert "add --preview SET" in fail("--output", str(tmp_path), *arguments)[2]
    assert mail.outbox == []


def test_a_preview_of_zero_activity_is_shown_all_the_same(database, settings):
    settings.APP_METRICS_SEND_ZERO_ACTIVITY = False
    create_metric_set("Idle", [create_metric("Idle")], ["d@example.com"])
    assert "Idle" in run("--preview", "Idle")[0]


def test_a_preview_prints_the_html_with_its_option(metric_set, tmp_path):
    MetricSet.objects.update(send_weekly=False)
    run("--preview", "Mine", "--output", str(tmp_path))
    assert run("--preview", "Mine", "--html")[0].strip() == (tmp_path / "mine-day.html").read_text("utf-8").strip()


def test_html_without_a_preview_is_an_error_and_sends_nothing(metric_set):
    assert "add --preview SET" in fail("--html")[2]
    assert mail.outbox == []
