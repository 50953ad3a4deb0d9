"""Tasks for `django.tasks`, which came with Django 6.0; each may run at any time, and several times at once.

Nothing imports them but the project that enqueues them: its `TASKS` may not have the queue "default".
"""

from django.core.management import call_command
from django.tasks import task


@task
def aggregate() -> None:
    """Do what `manage.py metrics_aggregate` does. Raises CommandError where something failed."""
    call_command("metrics_aggregate", verbosity=0)


@task
def send_reports() -> None:
    """Do what `manage.py metrics_send_mail` does. Raises CommandError where something failed."""
    call_command("metrics_send_mail", verbosity=0)
