"""Rules on arbitrary signals, and the receivers they connect."""

import gc
import logging

import pytest
from django.contrib.auth.signals import user_logged_in
from django.dispatch import Signal
from django.test import override_settings

from app_metrics import collect
from app_metrics.contrib.signal_rules import compile_signals
from app_metrics.testing.recorded import assert_metric_recorded

paid = Signal()
refunded = Signal()

PAID, REFUNDED = f"{__name__}.paid", f"{__name__}.refunded"


class Invoice:
    amount = 12
    plan = "pro"

    def currency(self):
        return "EUR"


def amount_of(*, invoice, **sent):
    return invoice.amount


def send(signal=paid, **sent):
    return signal.send(sender=Invoice, invoice=Invoice(), **sent)


def test_a_rule_counts_its_signal_and_no_other(settings, recorded):
    settings.APP_METRICS_SIGNALS = {PAID: "payments", REFUNDED: "refunds"}
    send()
    send()
    assert recorded.slugs == ["payments"]
    assert recorded.total("payments") == 2


@pytest.mark.parametrize(
    ("num", "total"),
    [(5, 5), ("invoice.amount", 12), ("total", 99), (amount_of, 12), (f"{__name__}.amount_of", 12)],
)
def test_num_is_a_number_a_path_or_a_callable(num, total, settings, recorded):
    settings.APP_METRICS_SIGNALS = {PAID: {"slug": "revenue", "num": num}}
    send(total=99)
    assert_metric_recorded(recorded, "revenue", total=total, count=1)


def test_labels_come_from_the_arguments_of_the_signal(settings, recorded):
    labels = {
        "plan": "invoice.plan",
        "currency": "invoice.currency",
        "sender": "sender.__name__",
        "via": lambda *, via, **sent: via,
    }
    settings.APP_METRICS_SIGNALS = {PAID: {"slug": "payments", "labels": labels}}
    send(via="card")
    expected = {"plan": "pro", "currency": "EUR", "sender": "Invoice", "via": "card"}
    assert_metric_recorded(recorded, "payments", labels=expected)


@pytest.mark.parametrize(("plan", "total"), [("pro", 1), ("free", 0)])
def test_a_rule_counts_only_if_its_condition_holds(plan, total, settings, recorded):
    settings.APP_METRICS_SIGNALS = {PAID: {"slug": "payments", "when": lambda *, invoice, **sent: invoice.plan == plan}}
    send()
    assert recorded.total("payments") == total


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("num", ["invoice.tax", "nothing_sent", lambda **sent: 1 / 0], ids=["path", "name", "callable"])
def test_a_rule_that_raises_leaves_the_sender_alone_is_counted_and_is_logged_once(
    num, strict, settings, recorded, caplog
):
    settings.APP_METRICS_STRICT = strict
    settings.APP_METRICS_SIGNALS = {PAID: [{"slug": "revenue", "num": num}, "others"]}
    with caplog.at_level(logging.WARNING, "app_metrics"), collect():
        responses = [answer for _ in range(3) for _, answer in send()]
    assert not any(isinstance(answer, Exception) for answer in responses)
    assert_metric_recorded(recorded, "app_metrics_dropped", total=3, labels={"reason": "failed_rule"})
    assert_metric_recorded(recorded, "others", total=3)
    (record,) = caplog.records
    assert f"APP_METRICS_SIGNALS[{PAID!r}]" in record.message


def test_receivers_survive_garbage_collection(settings, recorded):
    settings.APP_METRICS_SIGNALS = {PAID: {"slug": "payments", "num": lambda **sent: 2}}
    gc.collect()
    send()
    assert recorded.total("payments") == 2


def test_override_settings_replaces_the_rules(settings, recorded):
    settings.APP_METRICS_SIGNALS = {PAID: "before"}
    settings.APP_METRICS_SIGNALS = {PAID: "after"}
    send()
    assert recorded.slugs == ["after"]


def test_after_override_settings_nothing_remains_connected():
    auth = len(user_logged_in.receivers)
    with override_settings(APP_METRICS_SIGNALS={PAID: "payments"}, APP_METRICS_AUTH=True):
        assert len(paid.receivers) == 1
        assert len(user_logged_in.receivers) == auth + 1
    assert paid.receivers == []
    assert len(user_logged_in.receivers) == auth


def test_disabled_rules_count_nothing_and_ask_nothing(settings, recorded):
    settings.APP_METRICS_DISABLED = True
    settings.APP_METRICS_SIGNALS = {PAID: {"slug": "payments", "when": lambda **sent: pytest.fail("asked")}}
    send()
    assert recorded.slugs == []


@pytest.mark.parametrize("name", ["post_save", "post_delete", "pre_delete", "m2m_changed", "post_init"])
def test_a_signal_of_every_model_is_refused_because_it_would_slow_down_every_delete(name):
    compiled, errors = compile_signals({f"django.db.models.signals.{name}": "events"})
    assert compiled == []
    assert "APP_METRICS_MODELS" in errors[0].hint
