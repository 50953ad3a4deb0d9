"""A batch becomes one message or goes to the database, and never delays a request for long."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from statistics import median

import pytest
from celery import signals
from django.db import OperationalError, transaction

from app_metrics.backends.celery import MetricsBackend
from app_metrics.checks import check_backend
from app_metrics.core.batch import Batch
from app_metrics.core.serialization import encode_batch
from app_metrics.models import Item, LedgerRow
from app_metrics.storage.ledger import write_once
from app_metrics.tasks import write_batch
from app_metrics.transport.retrying import RetryingBackend
from tests.soak.brokers.conftest import rabbitmq, sharing, waiting
from tests.soak.brokers.faults import Silent, refusing, silent, unroutable
from tests.support import servers, services
from tests.support.contract import VARIED, batch_of
from tests.support.forking import fork
from tests.support.waiting import takes_less, wait_until

# Seconds, enough to publish on a slow machine.
LARGE_BUDGET = 8
# Extra seconds beyond the budget for a busy machine.
PATIENCE = 3
# Seconds. A write that skips the broker takes at most this much longer than a direct database write.
SAME = 0.005


@pytest.fixture
def budget(settings):
    """The default budget."""
    settings.APP_METRICS_TIMEOUT = 0.25


@pytest.fixture
def large_budget(settings):
    settings.APP_METRICS_TIMEOUT = LARGE_BUDGET


def messages(app, queue):
    """Take the messages from a queue, and return their bodies."""
    with app.connection_for_read() as connection:
        found = []
        with connection.SimpleQueue(queue) as simple:
            while waiting(app, queue):
                message = simple.get(timeout=60)
                message.ack()
                found.append(json.loads(message.body))
        return found


def is_stored(batch):
    return LedgerRow.objects.filter(pk=batch.id).exists()


def timed(write, batch):
    started = time.monotonic()
    write(batch)
    return time.monotonic() - started


def write_elsewhere():
    """Write a batch while no broker accepts it."""
    batch = batch_of("orders")
    MetricsBackend().write(batch)
    assert is_stored(batch)


def test_a_batch_is_one_message_of_json(app, queue):
    """It makes no query: the test has no database."""
    batch = Batch(VARIED)
    MetricsBackend().write(batch)
    [(arguments, keywords, _)] = messages(app, queue)
    assert (arguments, keywords) == ([encode_batch(batch)], {})


def test_the_routes_of_the_project_choose_the_queue(app, queue):
    app.conf.task_routes = {"app_metrics.*": {"queue": f"{queue}-apart"}}
    MetricsBackend().write(batch_of("orders"))
    assert waiting(app, f"{queue}-apart") == 1


def test_signals_about_published_tasks_are_not_sent(app):
    """Otherwise, a receiver that counts published tasks would create a batch for every batch."""
    told = []

    def hear(**kwargs):
        told.append(kwargs)

    signals.before_task_publish.connect(hear)
    MetricsBackend().write(batch_of("orders"))
    assert told == []


def test_the_connection_is_used_again(proxy, broker, use, queue):
    app, backend = use(broker.pattern.format(proxy.port)), MetricsBackend()
    backend.write(batch_of("orders"))
    connected = proxy.connections
    for _ in range(5):
        backend.write(batch_of("orders"))
    assert proxy.connections == connected
    assert waiting(app, queue) == 6


def test_threads_share_as_many_connections_as_they_need(app, queue):
    backend = MetricsBackend()
    threads = [threading.Thread(target=backend.write, args=(batch_of("orders"),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert waiting(app, queue) == 8


def test_a_forked_process_makes_its_own_connection(proxy, broker, use, queue):
    app, backend = use(broker.pattern.format(proxy.port)), MetricsBackend()
    backend.write(batch_of("orders"))
    connected = proxy.connections
    child = fork()
    if not child:
        try:
            backend.write(batch_of("orders"))
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert proxy.connections == 2 * connected
    backend.write(batch_of("orders"))
    assert proxy.connections == 2 * connected
    assert waiting(app, queue) == 3


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//"])
def test_requests_import_nothing_to_publish_a_batch(url):
    """Such an import takes up to a second, so everything is imported while Django starts."""
    assert in_a_site_of_its_own(APP + PUBLISH, url) == []


def test_a_project_may_make_its_app_after_django_is_ready():
    """If something asked Celery for an app earlier, all threads but one would keep Celery's default app."""
    assert in_a_site_of_its_own(PUBLISH.partition("before =")[0] + APP + SEE, "redis://127.0.0.1:1/0") == ["late"]


APP = "from celery import Celery; Celery('late', broker=sys.argv[1]); "
PUBLISH = """
import django
django.setup()
before = {*sys.modules}
from app_metrics.backends import load_backend
from app_metrics.core.batch import Batch
with suppress(Exception):
    load_backend(settings.APP_METRICS_BACKEND)._publish(Batch({}))
needed = "celery.", "kombu.", "redis.", "amqp."
print(json.dumps([name for name in {*sys.modules} - before if name.startswith(needed)]))
"""
SEE = """
import threading
from celery import current_app
threading.Thread(target=lambda: print(json.dumps([current_app.main]))).start()
"""


def in_a_site_of_its_own(script, *arguments):
    """Run a script in a fresh process, and return the JSON it printed."""
    begin = "import json, sys; from contextlib import suppress; from django.conf import settings\n"
    options = "APP_METRICS_BACKEND='app_metrics.backends.celery', INSTALLED_APPS=['app_metrics']"
    command = [sys.executable, "-c", f"{begin}settings.configure({options})\n{script}", *arguments]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}  # Celery checks that it is set
    return json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)


@pytest.mark.django_db
@pytest.mark.parametrize("scheme", ["redis://127.0.0.1:{}/0", "amqp://guest:guest@127.0.0.1:{}//"])
@pytest.mark.parametrize("fault", [refusing, silent, unroutable])
def test_a_broker_that_is_away_costs_the_budget_and_the_batch_is_stored(fault, scheme, use, budget):
    with fault() as port:
        use(scheme.format(port))
        assert takes_less(0.25 + PATIENCE, write_elsewhere)


@pytest.mark.django_db
@pytest.mark.parametrize("scheme", ["redis://127.0.0.1:{}/0", "amqp://guest:guest@127.0.0.1:{}//"])
def test_a_broker_that_keeps_failing_is_left_alone(scheme, use, budget):
    with closing(Silent()) as server:
        use(scheme.format(server.port))
        backend = MetricsBackend()
        backend._breaker._pause = 60  # longer than this test
        for _ in range(3):
            backend.write(batch_of("orders"))
        tried = len(server.accepted)
        assert tried >= 3
        batches = [batch_of("orders") for _ in range(40)]
        added = [timed(backend.write, batch) - timed(write_once, batch_of("logins")) for batch in batches]
        assert median(added) < SAME
        assert len(server.accepted) == tried
    assert all(map(is_stored, batches))


@pytest.mark.django_db
def test_a_broker_that_freezes_in_mid_connection_counts_once(proxy, broker, use, large_budget, queue):
    """The broker may still deliver what it received before it froze; the worker then recognises the batch."""
    app, backend = use(broker.pattern.format(proxy.port)), MetricsBackend()
    backend.write(batch_of("logins"))
    proxy.freeze()
    batch = batch_of("orders")
    assert timed(backend.write, batch) < LARGE_BUDGET + PATIENCE
    assert is_stored(batch)
    proxy.thaw()
    app = use(broker.url)
    wait_until(lambda: waiting(app, queue) == 2)
    for (text,), _, _ in messages(app, queue):
        write_batch(text)
    assert Item.objects.filter(slug="orders").count() == 1


@pytest.mark.django_db
def test_a_broker_that_falls_silent_at_any_byte_costs_the_budget(proxy, broker, use, budget):
    """This includes silence in the middle of an answer, where a client could wait for the rest forever."""
    use(broker.pattern.format(proxy.port))
    MetricsBackend().write(batch_of("logins"))
    for limit in range(1, proxy.answered, max(1, proxy.answered // 20)):
        proxy.limit = limit
        assert takes_less(0.25 + PATIENCE, write_elsewhere)


@pytest.mark.django_db
def test_a_stopped_redis_costs_the_budget_and_is_used_again_after(use, large_budget, queue):
    with tempfile.TemporaryDirectory(prefix="app-metrics-") as parent:
        os.chmod(parent, 0o755)
        server = servers.Redis(Path(parent))
        try:
            app = use("redis+socket://" + server.start()["HOST"])
            backend = MetricsBackend()
            backend.write(batch_of("orders"))
            server.process.send_signal(signal.SIGSTOP)
            batch = batch_of("orders")
            assert timed(backend.write, batch) < LARGE_BUDGET + PATIENCE
            server.process.send_signal(signal.SIGCONT)
            assert is_stored(batch)
            taken = len(messages(app, queue))
            backend.write(batch_of("orders"))
            assert waiting(app, queue) == 1
            assert taken in (1, 2)  # it may have received some, but acknowledges nothing more
        finally:
            server.process.send_signal(signal.SIGCONT)
            server.stop()


@pytest.mark.django_db
def test_the_next_of_several_hosts_is_tried(broker, use, queue, proxy):
    with refusing() as port:
        app = use(f"{broker.pattern.format(port)};{broker.pattern.format(proxy.port)}")
        backend = MetricsBackend()
        for _ in range(2):
            backend.write(batch_of("orders"))
        assert waiting(use(broker.url), queue) == 1
    assert app


@pytest.mark.django_db
def test_a_batch_that_can_go_nowhere_is_kept_at_once(use, monkeypatch):
    tries = []

    def fail(*arguments):
        tries.append(arguments)
        raise OperationalError("database is locked")

    monkeypatch.setattr("app_metrics.storage.ledger._write", fail)
    with refusing() as port:
        use(f"redis://127.0.0.1:{port}/0")
        retrying = RetryingBackend(MetricsBackend())
        retrying.write(batch_of("orders"))
        assert retrying.kept == len(tries) == 1
        monkeypatch.undo()
        use(f"redis://127.0.0.1:{port}/0")
        retrying.retry()
    assert Item.objects.count() == 1


@pytest.mark.django_db
def test_eager_tasks_need_no_broker(use):
    use("redis://127.0.0.1:1/0").conf.task_always_eager = True
    batch = batch_of("orders")
    MetricsBackend().write(batch)
    assert is_stored(batch)


@pytest.mark.django_db(transaction=True)
def test_within_a_transaction_the_backend_is_not_durable():
    backend = MetricsBackend()
    assert backend.is_durable()
    with transaction.atomic():
        assert not backend.is_durable()


class TestCheck:
    def test_the_check_finds_missing_celery(self, settings, monkeypatch):
        settings.APP_METRICS_BACKEND = "app_metrics.backends.celery"
        monkeypatch.delitem(sys.modules, settings.APP_METRICS_BACKEND)
        monkeypatch.setitem(sys.modules, "celery", None)
        [message] = check_backend()
        assert message.id == "app_metrics.E009"
        assert "celery" in str(message.msg)

    def test_the_check_finds_a_missing_broker(self, use):
        use("memory://").conf.broker_url = None
        assert [message.id for message in MetricsBackend().check()] == ["app_metrics.E022"]

    def test_the_check_finds_workers_that_refuse_json(self, use):
        use("memory://").conf.accept_content = ["pickle"]
        assert [message.id for message in MetricsBackend().check()] == ["app_metrics.E022"]

    def test_the_check_accepts_a_project_with_a_broker(self, use):
        use("memory://")
        assert list(MetricsBackend().check()) == []


class TestRabbitMQ:
    @pytest.fixture
    def place(self):
        return services.demand("rabbitmq")

    @pytest.mark.django_db
    def test_a_message_that_no_queue_takes_goes_to_the_database(self, place, use, queue):
        """If a queue is deleted after it was declared, the broker drops the message but still confirms it."""
        with sharing():
            app, backend, batch = use(rabbitmq().url), MetricsBackend(), batch_of("orders")
            backend.write(batch_of("orders"))
            with app.connection_for_read() as connection:
                connection.default_channel.queue_delete(queue)
            backend.write(batch)
        assert is_stored(batch)

    @pytest.mark.django_db
    def test_under_an_alarm_a_batch_goes_to_the_database(self, place, use, large_budget):
        """A broker that is short of memory accepts no messages, and reports this only to clients that use confirms."""

        def control(*arguments):
            environ = {**os.environ, **{key: place[key] for key in servers.CONTROL}}
            account = {"user": place["USER"], "extra_groups": []} if os.geteuid() == 0 else {}
            command = [servers.rabbitmq_program("rabbitmqctl"), *arguments]
            subprocess.run(command, env=environ, check=True, capture_output=True, cwd=place["HOME"], **account)

        with sharing(exclusively=True):
            use(rabbitmq().url)
            backend = MetricsBackend()
            backend.write(batch_of("orders"))
            control("set_vm_memory_high_watermark", "0.000001")
            try:
                batch = batch_of("orders")
                assert timed(backend.write, batch) < LARGE_BUDGET + PATIENCE
                assert is_stored(batch)
            finally:
                control("set_vm_memory_high_watermark", "0.4")
