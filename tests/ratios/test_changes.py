"""How a ratio changes, in words, and whether that is good news."""

from datetime import date
from decimal import Decimal

import pytest
from django.utils import translation

from app_metrics.core.comparisons import DOWN, NEITHER, NEW, NOT_AVAILABLE, SAME, UP
from app_metrics.models import Metric
from app_metrics.ratios import Quotient, Ratio
from app_metrics.ratios.changes import (
    RatioChange,
    better_of_ratio,
    operand_title,
    ratio_news,
    shown_division,
    shown_ratio,
    shown_ratio_change,
)
from app_metrics.ratios.operands import Operand

PERCENT = Ratio("conversion", Operand("checkouts"), Operand("visits"), is_percent=True, unit="%")
EUROS = Ratio("average_order", Operand("revenue"), Operand("checkouts"), unit="EUR")
METRICS = {
    slug: Metric(slug=slug, name=slug.capitalize(), kind=kind, unit=unit)
    for slug, kind, unit in (
        ("checkouts", "counter", ""),
        ("visits", "counter", ""),
        ("revenue", "counter", "EUR"),
        ("imports", "timer", ""),
        ("load", "gauge", ""),
    )
}


def changed(ratio, now, then, start=date(2026, 1, 1)):
    return RatioChange(ratio, start, Quotient(*now, ratio.factor), Quotient(*then, ratio.factor))


def plain(text):
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("now", "then", "text", "verdict"),
    [
        ((24, 1000), (20, 1000), "+0.4 points", UP),
        ((20, 1000), (35, 1000), "−1.5 points", DOWN),
        ((3, 100), (2, 100), "+1 point", UP),
        ((30406, 100_000), (30_000, 100_000), "+0.41 points", UP),
        ((1, 1_000_000), (2, 1_000_000), "−0.0001 points", DOWN),
        ((2, 100), (1, 50), "±0 points", SAME),
        ((2, 100), (0, 50), "+2 points", UP),
        ((0, 100), (0, 50), "±0 points", SAME),
        ((2, 100), (0, 0), "new", NEW),
        ((2, 100), (2, None), "n/a", NOT_AVAILABLE),
        ((2, 100), (None, 50), "n/a", NOT_AVAILABLE),
        ((2, 0), (2, 100), "n/a", NOT_AVAILABLE),
    ],
)
def test_a_percentage_changes_in_points(now, then, text, verdict):
    change = changed(PERCENT, now, then)
    assert (plain(shown_ratio_change(change)), change.verdict) == (text, verdict)


def test_another_ratio_changes_in_percent():
    assert plain(shown_ratio_change(changed(EUROS, (120, 2), (100, 2)))) == "+20 %"
    assert shown_ratio_change(changed(EUROS, (120, 2), (0, 2))) == "new"


def test_a_ratio_without_an_earlier_period_has_no_change():
    assert shown_ratio_change(changed(PERCENT, (1, 2), (1, 2), start=None)) == "n/a"


def test_points_follow_the_plural_rules_of_the_language():
    with translation.override("fr"):
        assert plain(shown_ratio_change(changed(PERCENT, (35, 1000), (20, 1000)))) == "+1,5 point"
        assert plain(shown_ratio_change(changed(PERCENT, (5, 100), (2, 100)))) == "+3 points"
    with translation.override("de"):
        assert plain(shown_ratio_change(changed(PERCENT, (5, 100), (2, 100)))) == "+3 Punkte"


def test_a_ratio_has_its_unit_and_its_two_numbers_theirs():
    assert plain(shown_ratio(PERCENT, Quotient(1, 30, 100))) == "3.33 %"
    assert plain(shown_ratio(EUROS, Quotient(Decimal("30.60"), 3))) == "10.20 EUR"
    assert shown_ratio(PERCENT, Quotient(1, 0, 100)) == "n/a"
    assert plain(shown_division(EUROS, Quotient(2400, 1200), METRICS)) == "2,400 EUR ÷ 1,200"


def test_an_operand_is_named_with_its_labels_and_field():
    assert operand_title(Operand("checkouts"), METRICS) == "Checkouts"
    assert operand_title(Operand("missing"), METRICS) == "missing"
    assert operand_title(Operand("visits", (("page", "home"),), "count"), METRICS) == "Visits (page=home, events)"


@pytest.mark.parametrize(
    ("of", "said", "better"),
    [
        (Operand("checkouts"), "", UP),
        (Operand("checkouts"), DOWN, DOWN),
        (Operand("imports"), "", DOWN),
        (Operand("imports", field="count"), "", NEITHER),
        (Operand("load"), "", NEITHER),
        (Operand("checkouts", (("plan", "free"),)), "", NEITHER),
        (Operand("imports", (("plan", "free"),)), "", DOWN),
        (Operand("missing"), "", NEITHER),
        (Operand("missing"), UP, UP),
    ],
)
def test_good_news_is_what_the_entry_says_or_what_it_is_of_the_numerator(of, said, better):
    assert better_of_ratio(Ratio("ratio", of, Operand("visits"), said=said), METRICS) == better


def test_a_rise_is_good_news_if_more_is_better():
    assert ratio_news(changed(PERCENT, (24, 1000), (20, 1000)), METRICS) == UP
    assert ratio_news(changed(PERCENT, (20, 1000), (24, 1000)), METRICS) == DOWN
    assert ratio_news(changed(PERCENT, (20, 1000), (20, 1000)), METRICS) == ""
