"""Fork and kill aggregators of a site with milestones: `python -m tests.soak.milestone_workers ALIAS DATABASE SECONDS`.

Prints how many were killed. The signal's receiver writes a row for every signal.
"""

import os
import sys

from tests.support.processes import configure

EVERY = 5
# The most milestones announced at once; a late aggregation may pass many of them.
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
    """Return whether the aggregators announced some milestones between two kills."""
    from tests.soak.workers import exists
    from tests.testapp.models import Tag

    return exists(Tag, 2)


def write_down(milestone, **kwargs):
    from tests.testapp.models import Tag

    Tag.objects.create(name=f"{milestone:f}")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    main(*sys.argv[1:])
