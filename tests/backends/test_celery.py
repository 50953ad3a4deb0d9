"""The Celery backend without a broker; tests/soak/brokers has the tests that need one."""

import re

import pytest
from celery import Celery

from app_metrics import tasks
from app_metrics.backends.celery import MetricsBackend
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "howto" / "celery.md").read_text()


@pytest.fixture
def use(monkeypatch):
    """Make an app the current one."""

    def use(**conf):
        app = Celery("tests.backends", set_as_current=False, fixups=[])
        app.conf.update(conf)
        monkeypatch.setattr("celery._state.default_app", app)
        monkeypatch.setattr("celery._state._tls.current_app", None)
        return app

    return use


def test_e022_names_the_package_that_a_broker_needs(use, monkeypatch):
    use(broker_url="redis://localhost:6379/0")
    assert MetricsBackend().check() == ()
    monkeypatch.setattr("kombu.transport.redis.redis", None)
    (message,) = MetricsBackend().check()
    assert message.id == "app_metrics.E022"
    assert "Missing redis library" in message.msg
    assert 'pip install "celery[redis]"' in message.hint


def test_the_worker_of_the_documentation_takes_all_tasks_that_its_settings_send(use):
    settings = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
        if "CELERY_TASK_ROUTES" in block or "CELERY_BEAT_SCHEDULE" in block:
            exec(block, settings)
    app = use(task_routes=settings["CELERY_TASK_ROUTES"])
    names = (str(getattr(each, "name", "")) for each in vars(tasks).values())
    ours = {name for name in names if name.startswith("app_metrics.tasks.")}
    scheduled = {each["task"] for each in settings["CELERY_BEAT_SCHEDULE"].values()}
    assert scheduled < ours
    queues = {app.amqp.router.route({}, name)["queue"].name for name in ours}
    (read,) = re.findall(r"^celery -A mysite worker --queues (\S+)", PAGE, re.MULTILINE)
    assert queues == set(read.split(","))
