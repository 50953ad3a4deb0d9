"""Tasks for `django.tasks`, which came with Django 6.0; each may run at any time, and several times at once.

Only a project that enqueues them imports this module, because a project's `TASKS` may lack the queue "default".
"""

from django.core.management import call_command
from django.tasks import task


@task
def aggregate() -> None:
    """Run `manage.py metrics_aggregate`. Raises CommandError if something failed."""
    call_command("metrics_aggregate", verbosity=0)


@task
def send_reports() -> None:
    """Run `manage.py metrics_send_mail`. Raises CommandError if something failed."""
    call_command("metrics_send_mail", verbosity=0)
