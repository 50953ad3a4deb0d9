from typing import Any

from django.core.management.base import BaseCommand

from ..notifications import end, evaluate_alerts, mail_notices


class Command(BaseCommand):
    # An invalid rule must not stop the evaluation of the others.
    requires_system_checks = ()
    help = "Evaluate the alerts of APP_METRICS_ALERTS and report which fired or recovered. Safe to run at any time."

    def handle(self, *args: Any, **options: Any) -> None:
        failed = evaluate_alerts(self, options["verbosity"])
        end(alerts=failed, mails=mail_notices(self, options["verbosity"]))
