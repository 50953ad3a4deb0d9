"""Proposals as Python."""

import pytest

from app_metrics.suggestions.present import Present
from app_metrics.suggestions.proposals import AUTH, MODELS, SIGNALS, URLS, Proposal
from app_metrics.suggestions.rendering import module, settings_block, settings_lines
from app_metrics.suggestions.suggest import Suggestions

AUTH_RULE = Proposal(AUTH, "", "", "signups and logins", "auth", value={"events": ["logins"]})
ORDERS = Proposal(MODELS, "shop.Order", "orders", "set when a row is added", "shop", "created", {"backfill": "at"})
SUMS = Proposal(MODELS, "shop.Order", "order_total", "an amount", "shop", "created", {"num": "total"})
PAID = Proposal(SIGNALS, "shop.signals.paid", "paid", "an event", "shop")
EVERY = Proposal(URLS, "*", "requests", "all", "url", more={"exclude": ["admin:*"]})


def found(*proposals, **values):
    return Suggestions([*proposals], Present({AUTH: False, MODELS: {}, SIGNALS: {}, URLS: {}, **values}, set()))


def run(text, **names):
    """Return the settings after the text was appended to them."""
    exec(text, names)
    return {name: value for name, value in names.items() if name.isupper()}


def test_a_block_holds_each_rule_with_its_reason():
    text = settings_block(found(AUTH_RULE, ORDERS, SUMS, PAID, EVERY))
    assert run(text) == {
        AUTH: {"events": ["logins"]},
        MODELS: {
            "shop.Order": {
                "created": [{"slug": "orders", "backfill": "at"}, {"slug": "order_total", "num": "total"}],
            }
        },
        SIGNALS: {"shop.signals.paid": "paid"},
        URLS: {"*": {"slug": "requests", "exclude": ["admin:*"]}},
    }
    assert '            # an amount\n            {"slug": "order_total", "num": "total"},\n' in text


def test_a_block_keeps_the_rules_that_are_there():
    there = {"shop.Book": {"created": "books"}}
    after = run(settings_block(found(ORDERS, **{MODELS: there})), APP_METRICS_MODELS=there)
    assert list(after[MODELS]) == ["shop.Book", "shop.Order"]


def test_a_block_adds_the_middleware_if_its_rules_need_it(settings):
    settings.MIDDLEWARE = ["other"]
    middleware = run(settings_block(found(EVERY)), MIDDLEWARE=["other"])["MIDDLEWARE"]
    assert middleware == ["app_metrics.middleware.MetricsMiddleware", "other"]
    assert "MIDDLEWARE" not in settings_block(found(ORDERS))


@pytest.mark.parametrize("there", [{}, {"shop.Book": {"created": "books"}}])
def test_the_lines_for_the_settings_add_the_rules_of_the_module(tmp_path, monkeypatch, there):
    proposals = found(ORDERS, PAID, **{MODELS: there})
    (tmp_path / "proposed_rules.py").write_text(module(proposals))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "proposed_rules", raising=False)
    after = run(
        settings_lines("proposed_rules", [MODELS, SIGNALS], proposals.present), **({MODELS: there} if there else {})
    )
    assert list(after[MODELS]) == [*there, "shop.Order"]
    assert after[SIGNALS] == {"shop.signals.paid": "paid"}


def test_no_line_is_longer_than_120_characters():
    more = {f"key{number}": "v" * 30 for number in range(9)}
    long = Proposal(MODELS, "shop.Order", "orders", "why " * 60, "shop", "created", more)
    assert max(map(len, settings_block(found(long)).splitlines())) <= 120
