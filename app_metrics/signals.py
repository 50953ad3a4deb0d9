"""The signals of this app; connect receivers in your `AppConfig.ready`.

They are sent inside a transaction of the metrics database. What a receiver writes there is committed together with the
mark that the signal was sent: exactly once, even after a kill. A receiver that acts elsewhere may be called again after
a kill. If a receiver raises, that is logged, and the signal counts as sent. A database error of one receiver undoes
what all of them wrote there, so write in an `atomic()` of your own.
"""

from django.dispatch import Signal

# A metric's all-time total reached a milestone. Arguments: `metric`, `milestone` and `total` (Decimal), `moment`
# (aware datetime: when the aggregation saw it). The sender is Metric.
milestone_reached = Signal()

# The state of an alert changed. Arguments: `alert` (app_metrics.models.Alert), `moment` (aware). The sender is Alert.
alert_fired = Signal()
alert_recovered = Signal()
