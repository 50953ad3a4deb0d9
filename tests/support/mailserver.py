"""A real SMTP server on loopback that keeps accepted messages and fails on demand."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

# The stage at which a fault strikes: at a command, within the text of a message, or after its final dot.
MAIL, RCPT, DATA, TEXT, DOT = "MAIL", "RCPT", "DATA", "TEXT", "DOT"
# Instead of answering, the server closes the connection or stays silent; any other action is the answer to send. A 421
# also closes the connection.
CLOSE, SILENCE = "close", "silence"
# How many seconds a client waits for an answer, normally and if none will come.
PATIENCE, PATIENCE_WITH_SILENCE = 60, 2


@dataclass(frozen=True)
class Taken:
    """A message that the server accepted, even if the client was not told so."""

    recipient: str
    message: EmailMessage
    content: bytes
    connection: int


@dataclass
class Fault:
    """What goes wrong at a stage, and when.

    It strikes for one recipient or all (not at MAIL, which comes before recipients), on connections that delivered at
    least `after` messages, at most `times` times. At DOT, `taken` says whether the server keeps the message anyway.
    """

    stage: str
    action: str
    recipient: str | None = None
    after: int = 0
    times: int | None = None
    taken: bool = False

    def strikes(self, stage: str, recipient: str | None, brought: int) -> bool:
        if stage != self.stage or brought < self.after or self.times == 0:
            return False
        if self.recipient not in (None, recipient):
            return False
        if self.times is not None:
            self.times -= 1
        return True


class MailServer:
    """Listen on `server.port` in a thread: `with MailServer() as server:`; `messages` are those accepted, in order."""

    def __init__(self) -> None:
        self.messages: list[Taken] = []
        self.faults: list[Fault] = []
        # The number of clients that said hello.
        self.connections = 0
        # Called with the recipient of each accepted message, before the client gets the answer.
        self.on_taken: Callable[[str], None] | None = None
        self._controller = _Controller(self)

    def __enter__(self) -> "MailServer":
        self._controller.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._controller.stop()

    @property
    def port(self) -> int:
        return self._controller.port

    @property
    def recipients(self) -> list[str]:
        return [taken.recipient for taken in self.messages]

    def fail(self, stage: str, action: str, recipient: str | None = None, **options: int) -> None:
        self.faults.append(Fault(stage, action, recipient, **options))


def patience_with(action: str) -> int:
    return PATIENCE_WITH_SILENCE if action == SILENCE else PATIENCE


def use(settings: Any, port: int) -> None:
    """Make Django send its mail to a local port."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", port, PATIENCE


def free_port() -> int:
    """Return a port on which no process listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


class _Controller(Controller):
    def __init__(self, server: MailServer) -> None:
        super().__init__(server, hostname="127.0.0.1", port=0, ready_timeout=30)

    def factory(self) -> SMTP:
        return _Session(self.handler, loop=self.loop, command_call_limit=None, ident="tests")

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        with suppress(ConnectionError):
            super()._trigger_server()


class _Session(SMTP):
    """One connection of a client."""

    number = 0
    brought = 0

    @property
    def _recipient(self) -> str | None:
        return self.envelope.rcpt_tos[-1] if self.envelope and self.envelope.rcpt_tos else None

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802
        self.event_handler.connections += 1
        self.number = self.event_handler.connections
        await super().smtp_EHLO(hostname)

    async def smtp_MAIL(self, arg: str) -> None:  # noqa: N802
        if not await self._fails(MAIL):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str) -> None:  # noqa: N802
        address = arg.partition("<")[2].partition(">")[0]
        if not await self._fails(RCPT, address):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        if await self._fails(DATA):
            return
        broken = self._struck(TEXT)
        if broken:
            await self.push("354 Go ahead")
            await self._reader.readuntil(b"\r\n")
            await self._act(broken.action)
            return
        await self.push("354 Go ahead")
        lines = []
        while (line := await self._reader.readuntil(b"\r\n")) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        fault = self._struck(DOT)
        if fault is None or fault.taken:
            self._take(b"".join(lines))
        self._set_post_data_state()
        await self._act(fault.action if fault else "250 OK")

    def _take(self, content: bytes) -> None:
        server = self.event_handler
        self.brought += 1
        for recipient in self.envelope.rcpt_tos:
            message = message_from_bytes(content, policy=policy.default)
            server.messages.append(Taken(recipient, message, content, self.number))
            if server.on_taken:
                server.on_taken(recipient)

    async def _fails(self, stage: str, recipient: str | None = None) -> bool:
        fault = self._struck(stage, recipient)
        if fault:
            await self._act(fault.action)
        return fault is not None

    def _struck(self, stage: str, recipient: str | None = None) -> Fault | None:
        who = recipient or self._recipient
        return next((fault for fault in self.event_handler.faults if fault.strikes(stage, who, self.brought)), None)

    async def _act(self, action: str) -> None:
        if action == SILENCE:
            await asyncio.Event().wait()
        if action != CLOSE:
            await self.push(action)
        if action == CLOSE or action.startswith("421"):
            self.transport.close()
