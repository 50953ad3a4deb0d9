"""Websockets on a real server: what visitors send and receive is what is counted."""

import shutil
import signal
from collections import Counter
from importlib.util import find_spec

import pytest
from websocket import WebSocketException, create_connection

from scripts.server import HOST
from tests.support.small_server import environment, found_by_labels, served, sqlite
from tests.support.waiting import wait_until

OPTIONS = (f"--host={HOST}", "--port={port}", "--ws=wsproto", "--log-level=warning")
RULE = {"slug": "chats", "received": "chat_messages", "sent": "chat_answers", "timing": "chat_seconds"}
CHANNELS = pytest.mark.skipif(find_spec("channels") is None, reason="channels is not installed")


@pytest.fixture
def database(migrated, tmp_path):
    return shutil.copy(migrated, tmp_path)


@pytest.fixture
def site(database, tmp_path):
    """Return a function that serves an application with some rules."""

    def serve(application, rules):
        variables = environment(sqlite(database), APP_METRICS_WEBSOCKETS=rules)
        return served(("uvicorn", *OPTIONS, f"tests.support.{application}"), variables, tmp_path / "log")

    return serve


def found(path):
    return {key: count for key, count in found_by_labels(path).items() if key[0] not in ("loaded", "visits")}


def visitor(address, path):
    return create_connection(address.replace("http", "ws") + path, timeout=30)


def talk(socket, messages):
    for number in range(messages):
        socket.send(f"{number}")
        assert socket.recv() == f"{number}"


def expected(connections, messages, closed, labels="{}"):
    counts = {"chats": connections, "chat_messages": messages, "chat_answers": messages, "chat_seconds": closed}
    return Counter({(slug, labels): count for slug, count in counts.items() if count})


def test_connections_and_messages_are_written_while_they_go_on_and_durations_when_they_end(site, database):
    with site("small_site:asgi", {"ws/*": RULE}) as (address, process):
        polite, rude = visitor(address, "/ws/a/"), visitor(address, "/ws/b/")
        talk(polite, 3)
        talk(rude, 2)
        open_now = expected(2, 5, 0) | {("echoes", "{}"): 5}
        wait_until(lambda: found(database) == open_now, 60)
        polite.close()
        rude.sock.close()  # without a word
        wait_until(lambda: found(database) == expected(2, 5, 2) | {("echoes", "{}"): 5}, 60)
        stays = visitor(address, "/ws/c/")
        talk(stays, 4)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert found(database) == expected(3, 9, 3) | {("echoes", "{}"): 9}


def test_a_consumer_that_fails_loses_nothing(site, database):
    with site("small_site:asgi", {"ws/*": RULE}) as (address, _):
        socket = visitor(address, "/ws/")
        talk(socket, 2)
        socket.send("fail")
        with pytest.raises(WebSocketException):
            socket.recv() or socket.recv()
    assert found(database)[("chat_messages", "{}")] == 3
    assert found(database)[("chat_answers", "{}")] == 2
    assert found(database)[("chat_seconds", "{}")] == 1


@CHANNELS
@pytest.mark.parametrize("consumer", ["echo", pytest.param("aecho", marks=pytest.mark.slow)])
def test_consumers_of_channels_count_with_the_arguments_of_their_route(consumer, site, database):
    rule = {**RULE, "labels": {"room": "scope.url_route.kwargs.room"}}
    with site("channels_site:asgi", {"ws/*": rule}) as (address, _):
        for room in ("north", "south"):
            socket = visitor(address, f"/ws/{consumer}/{room}/")
            talk(socket, 3)
            socket.close()
    rooms = expected(1, 3, 1, '{"room":"north"}') + expected(1, 3, 1, '{"room":"south"}')
    assert found(database) == rooms | {("echoes", "{}"): 6}
