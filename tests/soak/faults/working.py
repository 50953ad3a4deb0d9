"""Celery workers, and the messages pending for them."""

import os
import time
from contextlib import suppress

from celery import current_app
from django.conf import settings

from tests.soak.brokers.apps import make_app
from tests.soak.faults.crash import Trap
from tests.soak.faults.journal import PATIENCE, note_failure

WORKER = [
    "worker",
    "--concurrency=1",
    "--prefetch-multiplier=1",
    "--without-gossip",
    "--without-mingle",
    "--without-heartbeat",
    "--loglevel=CRITICAL",
]


def make_app_of_site():
    """Make this process use the site's broker, if it has one."""
    if settings.FAULTS_BROKER:
        app = make_app(settings.FAULTS_BROKER, settings.FAULTS_QUEUE)
        # Workers look for messages to redeliver every half second instead of every minute or two. A worker that is
        # killed while looking blocks the others for a second instead of five minutes.
        often = {"unacked_restore_interval": 0.5, "unacked_restore_throttle": 1, "unacked_mutex_expire": 1}
        app.conf.broker_transport_options = {**app.conf.broker_transport_options, **often}
        app.set_default()
        app.autodiscover_tasks()


def work(at=0, journal=None):
    """Run a Celery worker until it is killed. With `at`, get killed at that step of a task, or end after one task.

    Return the number of steps of the task. With `journal`, note each retried task as a failure.
    """
    from celery import signals
    from celery.worker import state

    trap = Trap(at)
    if at:
        trap.set()
        signals.task_postrun.connect(lambda **told: setattr(state, "should_stop", 0), weak=False)
    if journal:
        signals.task_retry.connect(lambda **told: note_failure(journal), weak=False)
    with suppress(SystemExit):
        # To be killed at a step, the worker must run the task in its own process.
        pool = "--pool=solo" if at else "--pool=prefork"
        current_app.worker_main([*WORKER, pool, f"--hostname={os.getpid()}@%h"])
    return trap.steps


def count_messages():
    """Return how many messages are pending at the broker or taken but not acknowledged."""
    with current_app.connection_for_read() as broker:
        channel = broker.default_channel
        if broker.transport.driver_type == "redis":
            return channel.client.llen(settings.FAULTS_QUEUE) + channel.client.hlen(channel.unacked_key)
        # Taken messages are requeued as soon as the connection that took them breaks.
        return channel.queue_declare(settings.FAULTS_QUEUE, durable=True, auto_delete=False).message_count


def wait_for_a_worker():
    """Wait until no message is pending in Redis, or a worker has taken one."""
    deadline = time.monotonic() + PATIENCE
    with current_app.connection_for_read() as broker:
        channel = broker.default_channel
        while channel.client.llen(settings.FAULTS_QUEUE) and not channel.client.hlen(channel.unacked_key):
            if time.monotonic() > deadline:
                raise TimeoutError("no worker takes what waits")
            time.sleep(0.01)


def wait_for_workers():
    """Wait until no message is pending at the broker."""
    deadline = time.monotonic() + PATIENCE
    while messages := count_messages():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{messages} messages still wait")
        time.sleep(0.05)
