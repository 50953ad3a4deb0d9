"""`APP_METRICS_WEBSOCKETS`, with connections as an ASGI server makes them."""

import asyncio
import threading
from contextlib import suppress
from time import perf_counter

import pytest
from django.contrib.auth.models import AnonymousUser, User

from app_metrics import metric
from app_metrics.checks import check_rules
from app_metrics.contrib.asgi import counting, flushing
from app_metrics.core.summary import TIMER, UNIQUE
from app_metrics.recording import streams
from app_metrics.testing.recorded import assert_metric_recorded
from tests.support.serving import journal

CHAT = {"slug": "chats", "received": "chat_messages", "sent": "chat_answers", "timing": "chat_seconds"}
LINGERING = 0.1
CONNECT, DISCONNECT = {"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1001}
MESSAGE = {"type": "websocket.receive", "text": "hello"}
ACCEPT, ANSWER, CLOSE = (
    {"type": "websocket.accept"},
    {"type": "websocket.send", "text": "x"},
    {"type": "websocket.close"},
)


@pytest.fixture
def written():
    with journal() as kept:
        yield kept


@pytest.fixture
def chat(settings):
    settings.APP_METRICS_WEBSOCKETS = {"ws/chat/*": CHAT}


async def echo(scope, receive, send):
    """Answer every message twice until the visitor leaves."""
    assert await receive() == CONNECT
    await send(ACCEPT)
    while await receive() != DISCONNECT:
        metric("by_hand")
        await send(ANSWER)
        await send(ANSWER)


async def connected(application, messages, path="/ws/chat/7/", **scope):
    """Run an application for one connection, whose visitor waits after the last message; return what was sent."""
    sent, waiting = [], asyncio.Queue()
    for message in messages:
        waiting.put_nowait(message)

    async def send(message):
        sent.append(message)

    await application({"type": "websocket", "path": path, "headers": [], **scope}, waiting.get, send)
    return sent


async def ended(connection):
    connection.cancel()
    with suppress(asyncio.CancelledError):
        await connection


def connect(application, *messages, **scope):
    return asyncio.run(connected(application, [CONNECT, *messages], **scope))


def counts(written):
    return {slug: written.count(slug) for slug in written.slugs}


@pytest.mark.usefixtures("chat")
def test_a_connection_its_messages_and_its_seconds_count_in_one_write(written):
    assert check_rules() == []
    sent = connect(counting(echo), MESSAGE, MESSAGE, DISCONNECT)
    assert sent == [ACCEPT, *[ANSWER] * 4]
    expected = {"chats": 1, "chat_messages": 2, "chat_answers": 4, "chat_seconds": 1, "by_hand": 2}
    assert counts(written) == expected
    assert written.events == ["write"]
    assert {key.kind for key in written.batches[0].summaries if key.slug == "chat_seconds"} == {TIMER}


@pytest.mark.parametrize(
    ("pattern", "path", "total"),
    [
        ("ws/chat/*", "/ws/chat/7/", 1),
        ("/ws/chat/*", "/ws/chat/7/", 1),
        ("ws/chat/7/", "/ws/chat/7/", 1),
        ("ws/*/7/", "/ws/chat/7/", 1),
        ("*", "/ws/chat/7/", 1),
        ("ws/chat/7", "/ws/chat/7/", 0),
        ("chat/*", "/ws/chat/7/", 0),
        ("ws/chat/*", "/site/ws/chat/7/", 1),
    ],
)
def test_a_rule_counts_the_paths_of_its_pattern(pattern, path, total, settings, written):
    settings.APP_METRICS_WEBSOCKETS = {pattern: "chats"}
    connect(counting(echo), DISCONNECT, path=path, root_path="/site" if path.startswith("/site") else "")
    assert written.count("chats") == total


@pytest.mark.parametrize(("user", "chats"), [(User(pk=7), ["chats"]), (AnonymousUser(), [])])
def test_a_rule_counts_the_users_of_connections_once(user, chats, settings, written):
    settings.APP_METRICS_WEBSOCKETS = {"ws/chat/*": {"slug": "chats", "unique": "scope.user.pk"}}
    assert check_rules() == []
    for _ in range(2):
        connect(counting(echo), DISCONNECT, user=user)
    assert written.slugs == chats
    assert {key.kind for batch in written.batches for key in batch.summaries} <= {UNIQUE}


def test_events_of_a_connection_without_a_rule_are_one_write(written):
    connect(counting(echo), MESSAGE, MESSAGE, DISCONNECT)
    assert counts(written) == {"by_hand": 2}
    assert written.events == ["write"]


@pytest.mark.usefixtures("chat")
def test_a_refused_connection_does_not_count(written):
    async def refusing(scope, receive, send):
        await receive()
        await send(CLOSE)

    assert connect(counting(refusing)) == [CLOSE]
    assert written.slugs == []


def test_labels_and_when_are_read_once_in_a_thread(settings, written):
    threads = []

    def room(scope):
        threads.append(threading.current_thread())
        return scope["path"].split("/")[3]

    rule = {**CHAT, "labels": {"room": room, "user": "scope.user.name"}, "when": {"scope.path__startswith": "/ws/chat"}}
    settings.APP_METRICS_WEBSOCKETS = {"ws/*": rule}
    assert check_rules() == []
    connect(counting(echo), MESSAGE, DISCONNECT, user={"name": "ann"})
    connect(counting(echo), MESSAGE, DISCONNECT, path="/ws/news/")
    for slug in ("chats", "chat_messages", "chat_seconds"):
        assert_metric_recorded(written, slug, count=1, labels={"room": "7", "user": "ann"})
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


def test_a_rule_that_fails_leaves_the_connection_alone(settings, written):
    settings.APP_METRICS_WEBSOCKETS = {"ws/*": [{**CHAT, "when": lambda scope: 1 / 0}, "connections"]}
    assert connect(counting(echo), MESSAGE, DISCONNECT) == [ACCEPT, ANSWER, ANSWER]
    assert counts(written) == {"connections": 1, "by_hand": 1, "app_metrics_dropped": 1}


def fail(scope):
    raise LookupError("no number")


@pytest.mark.parametrize(
    ("measure", "dropped"),
    [
        ({"num": fail}, 1),
        ({"gauge": fail}, 1),
        ({"events": fail}, 1),
        ({"timing": {"from": fail, "to": fail}}, 1),
        ({"gauge": "scope.missing"}, 0),
    ],
    ids=["num", "gauge", "events", "timing", "a gauge without a value"],
)
def test_a_number_that_cannot_be_read_leaves_messages_and_seconds_counted(measure, dropped, settings, written):
    labels = {"user": "scope.user"}
    settings.APP_METRICS_WEBSOCKETS = {"ws/*": {**CHAT, "labels": labels, **measure}}
    connect(counting(echo), MESSAGE, MESSAGE, DISCONNECT, user="ann")
    expected = {"chat_messages": 2, "chat_answers": 4, "chat_seconds": 1 - ("timing" in measure)}
    for slug, count in expected.items():
        assert written.count(slug, {"user": "ann"}) == count
    assert written.count("chats") == 0
    assert written.total("app_metrics_dropped") == dropped


@pytest.mark.usefixtures("chat")
def test_a_connection_that_is_accepted_twice_counts_once(written):
    async def hasty(scope, receive, send):
        for _ in range(2):
            await send({"type": "websocket.accept"})

    connect(counting(hasty), DISCONNECT)
    assert written.count("chats") == 1


@pytest.mark.usefixtures("chat")
def test_wrappers_inside_each_other_count_once(written):
    connect(counting(flushing(counting(echo))), MESSAGE, DISCONNECT)
    assert (written.count("chats"), written.count("chat_messages")) == (1, 1)


@pytest.mark.usefixtures("chat")
@pytest.mark.parametrize("kind", ["http", "lifespan"])
def test_other_events_pass(kind, written):
    seen = []

    async def application(*arguments):
        seen.append(arguments)

    scope = {"type": kind}
    asyncio.run(counting(application)(scope, "receive", "send"))
    assert seen == [(scope, "receive", "send")]


@pytest.mark.usefixtures("chat")
def test_disabled_rules_count_nothing(settings, written):
    settings.APP_METRICS_DISABLED = True
    connect(counting(echo), MESSAGE, DISCONNECT)
    assert written.batches == []


@pytest.mark.usefixtures("chat")
def test_an_application_that_raises_loses_nothing(written):
    async def raising(scope, receive, send):
        await receive()
        await send(ACCEPT)
        await receive()
        raise RuntimeError("in a consumer")

    with pytest.raises(RuntimeError, match="in a consumer"):
        connect(counting(raising), MESSAGE)
    assert counts(written) == {"chats": 1, "chat_messages": 1, "chat_seconds": 1}


@pytest.mark.usefixtures("chat")
def test_an_application_that_is_cancelled_loses_nothing(written):
    async def cancel():
        connection = asyncio.create_task(connected(counting(echo), [CONNECT, MESSAGE]))
        for _ in range(50):  # it answers within a few rounds of the loop
            await asyncio.sleep(0)
        await ended(connection)

    asyncio.run(cancel())
    assert counts(written) == {"chats": 1, "chat_messages": 1, "chat_answers": 2, "chat_seconds": 1, "by_hand": 1}


@pytest.mark.usefixtures("chat")
@pytest.mark.parametrize("ending", [DISCONNECT, CLOSE], ids=["visitor", "application"])
def test_the_seconds_end_with_the_connection_and_not_with_the_application(ending, written):
    async def lingering(scope, receive, send):
        await receive()
        await send(ACCEPT)
        await (receive() if ending == DISCONNECT else send(CLOSE))
        await asyncio.sleep(LINGERING)

    began = perf_counter()
    connect(counting(lingering), DISCONNECT)
    assert written.summary("chat_seconds").total <= perf_counter() - began - LINGERING


@pytest.mark.usefixtures("chat")
def test_events_of_an_open_connection_are_written_off_the_event_loop(written, monkeypatch):
    monkeypatch.setattr(streams, "PAUSE", 0.01)
    monkeypatch.setattr(streams, "_thread", None)

    async def stay():
        connection = asyncio.create_task(connected(counting(echo), [CONNECT, MESSAGE]))
        async with asyncio.timeout(60):
            while written.count("chat_answers") < 2:
                await asyncio.sleep(0.01)
        assert counts(written) == {"chats": 1, "chat_messages": 1, "chat_answers": 2, "by_hand": 1}
        await ended(connection)

    asyncio.run(stay())
    assert written.count("chat_seconds") == 1
    assert set(written.events) == {"write"}
    assert threading.get_ident() not in written.threads


@pytest.mark.usefixtures("chat")
def test_messages_from_a_task_of_another_context_belong_to_the_connection(written):
    async def broadcast():
        queue = asyncio.Queue()

        async def send_all():
            for _ in range(4):
                send, message = await queue.get()
                await send(message)

        async def receiver(scope, receive, send):
            await receive()
            for message in (ACCEPT, ANSWER, ANSWER, CLOSE):
                queue.put_nowait((send, message))
            await broadcaster

        broadcaster = asyncio.create_task(send_all())
        await connected(counting(receiver), [CONNECT])

    asyncio.run(broadcast())
    assert counts(written) == {"chats": 1, "chat_answers": 2, "chat_seconds": 1}
    assert written.events == ["write"]
