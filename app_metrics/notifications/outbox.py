"""Send mails that are planned as rows: each at most once, and what became of it kept in its row.

A row is claimed before its mail is handed over, and marked afterwards. What stops in between, a killed sender or a
connection that breaks while the mail server is about to accept, is undecided: nobody can know whether the mail went
out. It is said, and not sent again by itself.
"""

import smtplib
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parseaddr
from functools import cached_property
from typing import Any

from django.core import mail
from django.core.mail import EmailMessage
from django.db import connections, transaction
from django.db.models import F, Model
from django.db.transaction import TransactionManagementError
from django.utils import timezone
from django.utils.translation import gettext_noop

from ..conf import settings
from ..core.plain_text import one_line
from ..models import Notice, OutgoingMail
from ..models.reports import FAILED, SENDING, SENT, SKIPPED, UNDECIDED, WAITING
from ..storage.transactions import retried

# How long a sender may take for one mail. A claim that is older was left by one that was stopped.
LONGEST_SENDING = timedelta(minutes=15)
# How long the mail about a milestone or an alert is worth another try.
NOTICES_FOR = timedelta(days=3)

STOPPED = gettext_noop("The sender stopped while it handed the mail over; it may have been sent.")

# Seconds after which a mail server that does not answer is given up, where EMAIL_TIMEOUT says nothing.
TIMEOUT = 60

# SMTP's answer to a client that shall come back later, on another connection.
SERVICE_CLOSING = 421
# Its answers to a client whose message it did not take.
REFUSED = range(400, 600)


class Skip(Exception):
    """A planned mail is not wanted any more; the message says why."""


@dataclass(slots=True)
class Outcome:
    """What became of a number of mails; `problems` has a line for each that was not sent or is undecided."""

    sent: int = 0
    skipped: int = 0
    problems: list[str] = field(default_factory=list)


class Outbox:
    """One connection to the mail server, and what became of the mails that went over it."""

    def __init__(self) -> None:
        self.outcome = Outcome()
        self._is_open = self._is_reused = False

    @cached_property
    def _connection(self) -> Any:
        # Made when there is something to send: a project without mail may have no e-mail backend.
        return mail_connection()

    def __enter__(self) -> "Outbox":
        _refuse_transaction()
        return self

    def __exit__(self, *details: object) -> None:
        if self._is_open:
            self._close()

    def post(self, rows: Iterable[OutgoingMail], write: Callable[[Any], EmailMessage]) -> None:
        """Send the mails of rows that wait or failed. `write` makes a row's message, or raises Skip."""
        for row in rows:
            try:
                message = write(row)
            except Skip as skip:
                self.outcome.skipped += _mark(row, (WAITING, FAILED), SKIPPED, str(skip))
            except Exception as error:
                if _mark(row, (WAITING, FAILED), FAILED, describe(error)):
                    self._complain(row, describe(error))
            else:
                # Before the claim: a sender that is killed while it connects has sent nothing.
                if self._open(row) and _claim(row, message.to[0]):
                    self._send(row, message)

    def expire(self, rows: Any) -> None:
        """Declare undecided what a sender claimed and left."""
        for row in rows.filter(status=SENDING, claimed_at__lt=timezone.now() - LONGEST_SENDING):
            if _mark(row, (SENDING,), UNDECIDED, STOPPED):
                self._complain(row, STOPPED)

    def _open(self, row: OutgoingMail) -> bool:
        """Connect to the mail server; where that fails, a row's mail has failed."""
        try:
            self._connect()
        except Exception as error:
            self._close()
            tried = {"claimed_at": timezone.now(), "attempts": F("attempts") + 1}
            if _mark(row, (WAITING, FAILED), FAILED, describe(error), **tried):
                self._complain(row, describe(error))
        return self._is_open

    def _connect(self) -> None:
        self._is_reused = self._is_open
        if not self._is_open:
            self._connection.open()
            self._is_open = True

    def _send(self, row: OutgoingMail, message: EmailMessage) -> None:
        try:
            self._hand_over(message)
        except Exception as error:
            self._close()
            status = UNDECIDED if _is_undecided(error) else FAILED
            _mark(row, (SENDING, UNDECIDED), status, describe(error))
            self._complain(row, describe(error))
        except BaseException:
            _mark(row, (SENDING,), UNDECIDED, STOPPED)
            raise
        else:
            _mark(row, (SENDING, UNDECIDED), SENT, "", sent_at=timezone.now())
            self.outcome.sent += 1

    def _hand_over(self, message: EmailMessage) -> None:
        try:
            self._transmit(message)
        except smtplib.SMTPException as error:
            # Servers end connections that were idle or had their fill. Nothing was accepted then.
            if not self._is_reused or not _is_over(error):
                raise
            self._close()
            self._connect()
            self._transmit(message)

    def _transmit(self, message: EmailMessage) -> None:
        if self._connection.send_messages([message]) == 0:
            raise RuntimeError("The e-mail backend sent nothing and gave no reason.")

    def _close(self) -> None:
        self._is_open = False
        # One that cannot even be closed is of no use, and its error was told.
        with suppress(Exception):
            self._connection.close()

    def _complain(self, row: OutgoingMail, error: str) -> None:
        self.outcome.problems.append(one_line(f"{row}: {error}"))


def send_notices() -> Outcome:
    """Send what is planned about milestones and alerts, and try again what failed in the last three days.

    Raises TransactionManagementError inside a transaction, where there is something to send.
    """
    if not Notice.objects.filter(status__in=(WAITING, FAILED, SENDING)).exists():
        return Outcome()
    with Outbox() as outbox:
        outbox.expire(Notice.objects.all())
        outbox.post(due_notices(), _notice)
    return outbox.outcome


def due_notices() -> Iterable[Notice]:
    """Return what is to be sent now about milestones and alerts, the oldest first."""
    recent = Notice.objects.filter(planned_at__gt=timezone.now() - NOTICES_FOR).order_by("pk")
    return recent.filter(status__in=(WAITING, FAILED))


def mail_connection() -> Any:
    """Return the project's connection to its mail server, not open yet, with a timeout where it has none."""
    # Django 6.1 has MAILERS and deprecates get_connection().
    connection: Any = mail.mailers.default if hasattr(mail, "mailers") else mail.get_connection()
    if getattr(connection, "timeout", 0) is None:
        connection.timeout = TIMEOUT
    return connection


def message_id(row: OutgoingMail) -> str:
    """Return the same Message-ID whenever a mail is tried again, so that receivers can recognise a repetition."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    return f"<{row._meta.model_name}-{row.pk}-{row.planned_at.timestamp():.0f}.app-metrics@{domain}>"


def describe(error: Exception) -> str:
    """Return an error in one line, without what databases refuse."""
    text = f"{type(error).__name__}: {error}".replace("\0", "").encode(errors="backslashreplace").decode()
    return " ".join(text.split())


def _refuse_transaction() -> None:
    """Raise TransactionManagementError where a caller's rollback would take back what is noted about sent mails."""
    try:
        # Django's TestCase, which wraps everything, is no such caller.
        with transaction.atomic(using=settings.APP_METRICS_DATABASE, durable=True):
            pass
    except RuntimeError as error:
        raise TransactionManagementError(
            "Mails cannot be sent inside a transaction: a rollback would forget them. Call this outside atomic()."
        ) from error


def _notice(notice: Notice) -> EmailMessage:
    headers = {"Auto-Submitted": "auto-generated", "Message-ID": message_id(notice)}
    return EmailMessage(notice.subject, notice.text, to=[notice.address], headers=headers)


def _claim(row: OutgoingMail, address: str) -> bool:
    """Take a row for this sender alone."""
    values = {"claimed_at": timezone.now(), "attempts": F("attempts") + 1, "address": address}
    return bool(_mark(row, (WAITING, FAILED), SENDING, "", **values))


def _mark(row: OutgoingMail, before: Iterable[str], status: str, error: str, **values: Any) -> int:
    """Change a row's status if it is one of some; return how many rows were changed: 1 or 0."""
    model: type[Model] = type(row)
    rows: Any = model._default_manager.filter(pk=row.pk, status__in=before)
    connection = connections[settings.APP_METRICS_DATABASE]
    return retried(connection, lambda: int(rows.update(status=status, error=error, **values)))


def _is_over(error: smtplib.SMTPException) -> bool:
    """Tell whether the server ended the connection before it was given the message."""
    if isinstance(error, smtplib.SMTPResponseException):
        return error.smtp_code == SERVICE_CLOSING
    return isinstance(error, smtplib.SMTPServerDisconnected) and not _is_undecided(error)


def _is_undecided(error: Exception) -> bool:
    """Tell whether the server may have taken a message though it did not say so (RFC 1047).

    That is where the connection broke after the message was begun, or the answer to it is neither 250, the only success
    that smtplib knows, nor a refusal. For a backend that does not use smtplib an exception means that nothing was sent.
    """
    if isinstance(error, smtplib.SMTPDataError):
        return error.smtp_code not in REFUSED
    return any(frame.f_code is smtplib.SMTP.data.__code__ for frame, _ in traceback.walk_tb(error.__traceback__))
