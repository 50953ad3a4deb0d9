"""What is taken from old weeks, months and years: only what the days do not have any more."""

from datetime import date

from app_metrics.adoption.history import history_of
from app_metrics.core.periods import DAY, MONTH, WEEK, YEAR

DECEMBER, JANUARY = date(2021, 12, 31), date(2022, 1, 1)


class Rows:
    def __init__(self, days=(), weeks=(), months=(), years=()):
        self._totals = {DAY: days, WEEK: weeks, MONTH: months, YEAR: years}

    def totals(self, metric, period):
        return iter(self._totals[period])

    def items(self, metric):
        return iter(())


def sums(period, **rows):
    history = history_of(Rows(**rows), 1, "signups")
    found = {start: summary.total for (each, start), summary in history.totals.items() if each == period}
    return found, history


def test_a_year_keeps_what_its_deleted_days_had():
    found, _ = sums(YEAR, days=[(DECEMBER, 3)], years=[(date(2020, 1, 1), 50), (date(2021, 1, 1), 10)])
    assert found == {date(2020, 1, 1): 50, date(2021, 1, 1): 10}


def test_a_month_dated_one_day_off_is_not_taken():
    found, history = sums(MONTH, days=[(JANUARY, 3), (DECEMBER, 4)], months=[(date(2021, 12, 2), 4), (DECEMBER, 3)])
    assert found == {date(2021, 12, 1): 4, JANUARY: 3}
    assert history.older[MONTH] == 0


def test_an_event_at_the_edge_is_in_the_year_of_its_day():
    years = [(date(2021, 1, 1), 7), (date(2022, 1, 1), 0)]
    found, _ = sums(YEAR, days=[(DECEMBER, 4), (JANUARY, 3)], years=years)
    assert found == {date(2021, 1, 1): 4, JANUARY: 3}


def test_such_an_event_moves_nothing_although_days_were_deleted():
    """The zone is behind UTC: what happened in the evening of the last December was counted in January."""
    years = [(date(2020, 1, 1), 100), (date(2021, 1, 1), 5), (date(2022, 1, 1), 12)]
    found, history = sums(YEAR, days=[(date(2021, 3, 1), 5), (DECEMBER, 2), (JANUARY, 10)], years=years)
    assert found == {date(2020, 1, 1): 100, date(2021, 1, 1): 7, JANUARY: 10}
    assert history.all_time == 117


def test_days_deleted_in_the_middle_stay_in_their_year():
    years = [(date(2020, 1, 1), 5), (date(2021, 1, 1), 900), (date(2022, 1, 1), 6)]
    found, _ = sums(YEAR, days=[(date(2020, 1, 1), 5), (DECEMBER, 4), (JANUARY, 6)], years=years)
    assert found == {date(2020, 1, 1): 5, date(2021, 1, 1): 900, JANUARY: 6}


def test_years_get_what_only_the_days_have():
    found, history = sums(YEAR, days=[(JANUARY, 6)], years=[(JANUARY, 4)])
    assert found == {JANUARY: 6}
    assert (history.all_time, history.lacking) == (4, 2)


def test_two_rows_of_a_day_are_added():
    found, _ = sums(DAY, days=[(JANUARY, 6), (JANUARY, 1)])
    assert found == {JANUARY: 7}
