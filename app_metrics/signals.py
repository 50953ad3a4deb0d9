"""The signals this app sends; connect receivers in a project's `AppConfig.ready`.

They are sent inside a transaction of the metrics database. What a receiver writes there is committed together with the
note that the signal was sent: exactly once, whatever is killed. A receiver that acts elsewhere may be called again
after a kill. A receiver that raises is logged, and the signal counts as sent. A database error that escapes one undoes
what all of them wrote there: write in an `atomic()` of your own.
"""

from django.dispatch import Signal

# A metric's all-time total reached a milestone. Arguments: `metric`, `milestone` and `total` (Decimal), `moment`
# (aware datetime: when the aggregation saw it). The sender is Metric.
milestone_reached = Signal()

# The state of an alert changed. Arguments: `alert` (app_metrics.models.Alert), `moment`. The sender is Alert.
alert_fired = Signal()
alert_recovered = Signal()
