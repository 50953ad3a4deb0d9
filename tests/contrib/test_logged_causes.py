"""What a visitor varies in one rule, function or metric hides no problem of another one from the log."""

import pytest

from app_metrics import metric, track
from app_metrics.contrib.rules import Rule
from app_metrics.testing.recorded import capture_metrics


def fail(cause):
    raise LookupError(cause)


def number_of_a_rule(name, cause):
    Rule(name, "x", num=fail).fire(cause)


def events_of_a_rule(name, cause):
    Rule(name, "x", num=lambda source: [{source: 1}], several=True).fire(cause)


def label_of_a_rule(name, cause):
    Rule(name, "x", labels={"plan": fail}).fire(cause)


def label_of_a_function(name, cause):
    @track(name, labels=fail)
    def work(cause):
        pass

    work(cause)


def label_of_a_metric(name, cause):
    metric(name)
    metric(name, labels={f"{cause}\0": "x"})


@pytest.mark.parametrize(
    "count", [number_of_a_rule, events_of_a_rule, label_of_a_rule, label_of_a_function, label_of_a_metric]
)
def test_causes_that_visitors_vary_in_one_place_hide_no_problem_of_another(count, settings, caplog):
    settings.APP_METRICS_STRICT = False
    with capture_metrics():
        for number in range(20):
            count("varied", f"cause {number}")
        assert len(caplog.records) == 10
        count("other", "another cause")
    assert "another cause" in caplog.messages[-1]
