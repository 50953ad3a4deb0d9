"""Aggregators with a milestone, forked and killed: `python -m tests.soak.milestone_workers ALIAS DATABASE SECONDS`.

Prints how many were killed. Their receiver writes a row for every signal it gets.
"""

import os
import sys

from tests.support.processes import configure

EVERY = 5
# Milestones of one jump that are announced: one late aggregation may find very many.
MOST = 1_000_000
RULES = {"orders": {"every": EVERY, "recipients": ["team@example.com"]}}


def main(alias, name, seconds):
    configure(alias, name)
    from django.conf import settings

    from app_metrics.notifications import milestones
    from app_metrics.signals import milestone_reached
    from tests.soak.workers import kill_aggregators

    milestones.MOST = MOST
    settings.APP_METRICS_MILESTONES = RULES
    milestone_reached.connect(write_down)
    kill_aggregators(alias, seconds, has_announced)


def has_announced():
    """Tell whether aggregators announced some milestones between two kills."""
    from tests.soak.workers import exists
    from tests.testapp.models import Tag

    return exists(Tag, 2)


def write_down(milestone, **kwargs):
    from tests.testapp.models import Tag

    Tag.objects.create(name=f"{milestone:f}")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    main(*sys.argv[1:])
