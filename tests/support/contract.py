"""What every backend must do."""

import threading
from datetime import date
from decimal import Decimal

import pytest

from app_metrics import collect, unique
from app_metrics.aggregation.run import aggregate
from app_metrics.core.batch import Batch, Key
from app_metrics.core.hashing import hash_of
from app_metrics.core.periods import PERIODS
from app_metrics.core.uniques import EXACT, Uniques
from app_metrics.models import Total
from app_metrics.transport.loading import load_backend
from app_metrics.transport.retrying import RetryingBackend
from tests.support.summaries import measured, seen, summary_of

DAY = date(2026, 5, 31)


def batch_of(*slugs, number=1):
    """Return a batch with one counted number of each slug."""
    summary = summary_of(number, at=1_780_257_600_000_000)
    return Batch({Key(slug, "counter", "{}", DAY, 22): summary for slug in slugs})


VARIED = {
    Key("orders", "counter", "{}", DAY, 0): summary_of(1, 3, 2, at=1),
    Key("orders", "counter", '{"plan":"ünïcödé ✓ \\"quoted\\" %s"}', DAY, 24): summary_of(-7, at=2),
    Key("balance", "gauge", "{}", DAY, 1): summary_of(Decimal("-0.000000001"), Decimal("-0.000000001"), at=3),
    Key("export", "timer", "{}", DAY, 2): measured(10**18 - 1, at=2**53),
    Key("import", "timer", "{}", DAY, 3): measured(Decimal("0.412"), Decimal("0.5"), Decimal("0.411"), at=4),
    Key("price", "distribution", "{}", DAY, 4): measured(*range(-300, 2000, 7), at=4),
    Key("users", "unique", "{}", DAY, 5): seen(2**64 - 1, 0, 7, 7, at=5),
    Key("users", "unique", '{"plan":"pro"}', DAY, 6): seen(*range(2**53, 2**63, 2**52), at=6),
}


class BackendContract:
    """Mix this into a test class that defines a backend's `path`; override `database` if the backend needs none."""

    path: str

    def test_it_writes_every_kind_of_summary(self, database):
        batch = Batch(VARIED)
        assert load_backend(self.path).write(batch) is None
        assert batch.summaries == VARIED

    def test_it_takes_a_batch_with_many_keys(self, database):
        assert load_backend(self.path).write(batch_of(*(f"slug-{number}" for number in range(3_000)))) is None

    def test_it_writes_without_use_tz(self, database, settings):
        settings.USE_TZ = False
        assert load_backend(self.path).write(batch_of("orders")) is None

    def test_it_takes_the_same_batch_again(self, database):
        batch = batch_of("orders")
        for _ in range(2):
            assert load_backend(self.path).write(batch) is None

    def test_it_answers_the_questions_of_a_retrying_backend(self, database):
        retrying = RetryingBackend(load_backend(self.path))
        assert {type(answer) for answer in (retrying.blocks, retrying.feeds_totals, retrying.is_durable())} == {bool}
        assert retrying.drain() is None

    def test_it_is_one_object_for_all_threads(self, database):
        seen = set()
        thread = threading.Thread(target=lambda: seen.add(load_backend(self.path)))
        thread.start()
        thread.join()
        assert seen == {load_backend(self.path)}

    def test_it_is_found_by_its_module_and_by_its_class(self, database):
        assert type(load_backend(self.path)) is type(load_backend(f"{self.path}.MetricsBackend"))

    def test_it_has_no_complaint_about_its_configuration(self, database):
        assert list(load_backend(self.path).check()) == []


class UniqueContract:
    """What every way to the totals must do with unique counts.

    Mix this into a test class that defines a backend's `path`; override `database` if it takes another fixture, and
    `bring` if an aggregation does not find what the backend has written.
    """

    path: str

    def bring(self):
        """Bring what was written to where an aggregation finds it."""

    @pytest.mark.parametrize("amount", [4, EXACT, EXACT + 1])
    def test_totals_have_the_sketch_of_all_different_values(self, database, settings, amount):
        settings.APP_METRICS_BACKEND = self.path
        batches = [range(amount), range(amount // 2), ["0", "1"], range(amount // 4, amount)]
        for values in batches:
            with collect():
                for value in values:
                    unique("users", value, labels={"plan": "pro"})
        self.bring()
        assert aggregate().failures == []
        found = Total.objects.filter(metric__slug="users").values_list("period", "labels", "count", "uniques")
        expected = sum(map(len, batches)), Uniques(map(hash_of, range(amount))).encode()
        assert {(period, labels): (count, Uniques.decode(data).encode()) for period, labels, count, data in found} == {
            (str(period), '{"plan":"pro"}'): expected for period in PERIODS
        }


class WithoutDatabase(BackendContract):
    @pytest.fixture
    def database(self):
        """Allow no database access: any query fails."""
