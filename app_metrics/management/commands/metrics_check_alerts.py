from typing import Any

from ..base import MetricsCommand, end
from ..notifications import evaluate_alerts, mail_notifications


class Command(MetricsCommand):
    help = "Evaluate the alerts of APP_METRICS_ALERTS and report which fired or recovered. Safe to run at any time."

    def handle(self, *args: Any, **options: Any) -> None:
        failed = evaluate_alerts(self, options["verbosity"])
        end(alerts=failed, mails=mail_notifications(self, options["verbosity"]))
