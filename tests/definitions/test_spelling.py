"""Misspelt slugs resemble the right one; other words that are near do not."""

import pytest

from app_metrics.definitions.spelling import resembles


@pytest.mark.parametrize(
    ("slug", "other"),
    [
        ("signup", "signups"),
        ("signpus", "signups"),
        ("Signups", "signups"),
        ("sign_ups", "signups"),
        ("new-signups", "new_signups"),
        ("newsignups", "new_signups"),
        ("user_login", "user_logins"),
        ("oders_paid", "orders_paid"),
        ("order_paid", "orders_paid"),
        ("queue_lenght", "queue_length"),
    ],
)
def test_a_misspelt_slug_resembles(slug, other):
    assert resembles(slug, other)
    assert resembles(other, slug)


@pytest.mark.parametrize(
    ("slug", "other"),
    [
        ("signups", "signups"),
        ("logins", "logouts"),
        ("paid_orders", "unpaid_orders"),
        ("users_active", "users_inactive"),
        ("mails_sent", "mails_send"),
        ("errors_4xx", "errors_5xx"),
        ("orders_2025", "orders_2026"),
        ("orders_eu", "orders_us"),
        ("orders_created", "orders_updated"),
        ("upload_bytes", "download_bytes"),
        ("imports", "exports"),
        ("orders", "orders_paid"),
        ("page1", "page"),
        ("", "orders"),
    ],
)
def test_another_word_does_not_resemble(slug, other):
    assert not resembles(slug, other)
    assert not resembles(other, slug)
