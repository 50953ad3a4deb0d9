"""The Celery app of a test: on a private broker, with a queue of its own."""

from celery import Celery

# Seconds after which Redis delivers again what a killed worker did not acknowledge.
VISIBILITY_TIMEOUT = 3


def make_app(url: str, queue: str) -> Celery:
    app = Celery("tests.soak.brokers", broker=url, set_as_current=False)
    app.conf.task_default_queue = queue
    app.conf.worker_hijack_root_logger = False
    app.conf.broker_connection_retry_on_startup = True
    if url.startswith("redis"):
        app.conf.broker_transport_options = {"visibility_timeout": VISIBILITY_TIMEOUT}
    return app
