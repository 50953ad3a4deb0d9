from typing import Any

from django.core.management.base import BaseCommand

from ..notifications import end, evaluate_alerts, mail_notices


class Command(BaseCommand):
    # A mistake in one rule must not keep the others from being evaluated.
    requires_system_checks = ()
    help = "Evaluate the alerts of APP_METRICS_ALERTS and tell which fired or recovered. Safe to run at any time."

    def handle(self, *args: Any, **options: Any) -> None:
        failed = evaluate_alerts(self, options["verbosity"])
        end(alerts=failed, mails=mail_notices(self, options["verbosity"]))
