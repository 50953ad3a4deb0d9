"""Send mails that are planned as rows: each at most once, with the result stored in the row.

A row is claimed before its mail is sent, and marked afterwards. If the sender is killed in between, or the connection
breaks while the mail server may be accepting the mail, the row is undecided: nobody can know whether the mail was sent.
Such a mail is reported, and not sent again automatically.
"""

import smtplib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parseaddr
from functools import cached_property
from typing import Any

from django.core import mail
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import F, Model, Q
from django.db.transaction import TransactionManagementError
from django.utils import timezone
from django.utils.translation import gettext_noop

from ..conf import settings
from ..core.calendar import aware
from ..core.plain_text import one_line
from ..models import Notice, OutgoingMail
from ..models.primary import primary
from ..models.reports import FAILED, SENDING, SENT, SKIPPED, UNDECIDED, UNSENT, WAITING
from ..storage.transactions import update

# How long a sender may take for one mail. An older claim belongs to a sender that stopped.
LONGEST_SENDING = timedelta(minutes=15)
# How long a failed notification is retried.
NOTIFICATIONS_FOR = timedelta(days=3)
STOPPED = gettext_noop("The process stopped while it was sending the mail; the mail may have been sent.")
# Seconds to wait for a mail server if EMAIL_TIMEOUT is not set.
TIMEOUT = 60
# SMTP's reply code of a server that is closing the connection.
SERVICE_CLOSING = 421
# SMTP's reply codes that refuse a message, temporarily or permanently.
REFUSED = range(400, 600)
# The exact types that smtplib raises at any stage if a connection breaks or a reply is malformed.
BROKEN_CONNECTION = (smtplib.SMTPServerDisconnected, smtplib.SMTPResponseException)


class Skip(Exception):
    """A planned mail is no longer wanted; the message says why."""


class DataCommand:
    """Watches for SMTP's DATA command: if the connection breaks after it, the server may have accepted the mail."""

    has_begun = is_unfinished = is_hidden = False

    @contextmanager
    def watched(self, backend: Any) -> Iterator[None]:
        """Note during the block whether `backend` begins to send a message, or hides its SMTP connection.

        Django's SMTP backend, and any class derived from it, has an open smtplib connection as `connection`.
        """
        connection: Any = getattr(backend, "connection", None)
        self.has_begun, self.is_unfinished, self.is_hidden = False, False, not isinstance(connection, smtplib.SMTP)
        if self.is_hidden:
            yield
            return
        data = connection.data

        def begin(message: Any) -> Any:
            self.has_begun = self.is_unfinished = True
            reply = data(message)
            self.is_unfinished = False
            return reply

        connection.data = begin
        try:
            yield
        finally:
            del connection.data
            self.is_hidden = backend.connection is not connection


@dataclass(slots=True)
class Outcome:
    """The results of several mails; `problems` has a line for each one that failed or is undecided.

    `undrained` has a line for each failure to move pending batches to the item log, whose numbers the mails lack.
    """

    sent: int = 0
    skipped: int = 0
    problems: list[str] = field(default_factory=list)
    undrained: list[str] = field(default_factory=list)


class Outbox:
    """One connection to the mail server, and the results of the mails sent over it."""

    def __init__(self, on_progress: Callable[[int], None] | None = None) -> None:
        self.outcome = Outcome()
        self._on_progress = on_progress
        self._is_open = self._is_reused = False
        self._data = DataCommand()

    @cached_property
    def _connection(self) -> Any:
        # Created with the first mail: a project without mail may have no e-mail backend.
        return mail_connection()

    def __enter__(self) -> "Outbox":
        _refuse_transaction()
        return self

    def __exit__(self, *details: object) -> None:
        if self._is_open:
            self._close()

    def post(self, rows: Iterable[OutgoingMail], write: Callable[[Any], EmailMessage]) -> None:
        """Send the mails of pending and failed rows. `write` returns a row's message, or raises Skip.

        `on_progress` gets 1 after each row; what it raises ends this between two mails.
        """
        for row in rows:
            try:
                message = write(row)
            except Skip as skip:
                self.outcome.skipped += _mark(row, (WAITING, FAILED), SKIPPED, str(skip))
            except Exception as error:
                if _mark(row, (WAITING, FAILED), FAILED, describe(error)):
                    self._complain(row, describe(error))
            else:
                # Connect before the claim: a sender that is killed while it connects has sent nothing.
                if self._open(row) and _claim(row, message.to[0]):
                    self._send(row, message)
            if self._on_progress:
                self._on_progress(1)

    def expire(self, rows: Any) -> None:
        """Mark rows as undecided if a sender claimed them and did not finish."""
        now = timezone.now()
        # A claim in the future was made with a wrong clock.
        is_over = Q(claimed_at__lt=now - LONGEST_SENDING) | Q(claimed_at__gt=now + LONGEST_SENDING)
        for row in rows.filter(is_over, status=SENDING):
            if _mark(row, (SENDING,), UNDECIDED, STOPPED):
                self._complain(row, STOPPED)

    def _open(self, row: OutgoingMail) -> bool:
        """Connect to the mail server and return whether that succeeded; if not, mark the row as failed."""
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
            self._data = DataCommand()
            self._connection.open()
            self._is_open = True

    def _send(self, row: OutgoingMail, message: EmailMessage) -> None:
        try:
            self._hand_over(message)
        except Exception as error:
            self._close()
            status = UNDECIDED if self._is_undecided(error) else FAILED
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
            # Servers close connections that were idle or have carried enough mails, before they accept another one.
            if not self._is_reused or not self._is_over(error):
                raise
            self._close()
            self._connect()
            self._transmit(message)

    def _transmit(self, message: EmailMessage) -> None:
        with self._data.watched(self._connection):
            if self._connection.send_messages([message]) == 0:
                raise RuntimeError("The e-mail backend sent nothing and gave no reason.")

    def _is_undecided(self, error: Exception) -> bool:
        """Return whether the server may have accepted the message although it did not confirm that (RFC 1047).

        This is possible after the DATA command, unless the reply refuses the message. If the backend hides its SMTP
        connection, it is possible whenever the connection breaks. A backend without smtplib that raises has sent
        nothing.
        """
        if isinstance(error, smtplib.SMTPDataError):
            return error.smtp_code not in REFUSED
        return self._data.has_begun or (self._data.is_hidden and type(error) in BROKEN_CONNECTION)

    def _is_over(self, error: smtplib.SMTPException) -> bool:
        """Return whether the server closed the connection without accepting the message."""
        if isinstance(error, smtplib.SMTPResponseException):
            return error.smtp_code == SERVICE_CLOSING
        return isinstance(error, smtplib.SMTPServerDisconnected) and not self._is_undecided(error)

    def _close(self) -> None:
        self._is_open = False
        with suppress(Exception):  # the error that made it unusable is reported already
            if self._data.is_unfinished:
                # The server reads QUIT as part of the message, so a polite end would wait for an answer until timeout.
                self._connection.connection.close()
            self._connection.close()

    def _complain(self, row: OutgoingMail, error: str) -> None:
        self.outcome.problems.append(one_line(f"{row}: {error}"))


def send_notifications(on_progress: Callable[[int], None] | None = None) -> Outcome:
    """Send the planned notifications of milestones and alerts, and retry those that failed in the last three days.

    `on_progress` gets 1 after each mail. Raises TransactionManagementError inside a transaction, if there is anything
    to send.
    """
    if not primary(Notice.objects).filter(status__in=UNSENT).exists():
        return Outcome()
    with Outbox(on_progress) as outbox:
        outbox.expire(primary(Notice.objects))
        outbox.post(due_notifications(), _notification)
    return outbox.outcome


send_notices = send_notifications  # the name in 1.0.0


def due_notifications() -> Iterable[Notice]:
    """Return the notifications that are to be sent now, oldest first."""
    recent = primary(Notice.objects).filter(planned_at__gt=timezone.now() - NOTIFICATIONS_FOR).order_by("pk")
    due: Iterable[Notice] = recent.filter(status__in=(WAITING, FAILED))
    return due


def mail_connection() -> Any:
    """Return the project's connection to its mail server, not open yet, with a default timeout if it has none."""
    # Django 6.1 has MAILERS and deprecates get_connection().
    connection: Any = mail.mailers.default if hasattr(mail, "mailers") else mail.get_connection()
    if getattr(connection, "timeout", 0) is None:
        connection.timeout = TIMEOUT
    return connection


def message_id(row: OutgoingMail) -> str:
    """Return the Message-ID of a row: the same for every attempt, so that receivers can recognise a duplicate."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    return f"<{row._meta.model_name}-{row.pk}-{aware(row.planned_at).timestamp():.0f}.app-metrics@{domain}>"


def describe(error: Exception) -> str:
    """Return an error in one line, without characters that databases refuse."""
    text = f"{type(error).__name__}: {error}".replace("\0", "").encode(errors="backslashreplace").decode()
    return " ".join(text.split())


def _refuse_transaction() -> None:
    """Raise TransactionManagementError inside a transaction, whose rollback would undo the marks of sent mails."""
    try:
        # `durable` ignores the transaction that Django's TestCase wraps around every test.
        with transaction.atomic(using=settings.APP_METRICS_DATABASE, durable=True):
            pass
    except RuntimeError as error:
        raise TransactionManagementError(
            "Mails cannot be sent inside a transaction, because a rollback would lose the record of sent mails. "
            "Call this outside atomic()."
        ) from error


def _notification(row: Notice) -> EmailMessage:
    headers = {"Auto-Submitted": "auto-generated", "Message-ID": message_id(row)}
    return EmailMessage(row.subject, row.text, to=[row.address], headers=headers)


def _claim(row: OutgoingMail, address: str) -> bool:
    """Claim a row for this sender; return whether that succeeded."""
    values = {"claimed_at": timezone.now(), "attempts": F("attempts") + 1, "address": address}
    return bool(_mark(row, (WAITING, FAILED), SENDING, "", **values))


def _mark(row: OutgoingMail, before: Iterable[str], status: str, error: str, **values: Any) -> int:
    """Change a row's status if it is one of `before`; return the number of changed rows: 1 or 0."""
    model: type[Model] = type(row)
    rows: Any = model._default_manager.filter(pk=row.pk, status__in=before)
    return update(rows, status=status, error=error, **values)
