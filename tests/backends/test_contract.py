"""The contract, run against every backend, plus each one's specifics."""

from decimal import Decimal

import pytest
from celery import Celery

from app_metrics.backends import locmem
from app_metrics.core.batch import Batch, Key
from app_metrics.core.summary import SHOWN
from app_metrics.transport.loading import load_backend
from tests.support.contract import DAY, BackendContract, WithoutDatabase, batch_of
from tests.support.summaries import seen


class TestDatabase(BackendContract):
    """The database backend on every database; test_db has more tests."""

    path = "app_metrics.backends.db"


class TestLocmem(WithoutDatabase):
    path = "app_metrics.backends.locmem"

    @pytest.fixture(autouse=True)
    def emptied(self):
        locmem.outbox.clear()

    def test_it_keeps_batches_in_order(self):
        batches = [batch_of("orders"), batch_of("logins")]
        for batch in batches:
            load_backend(self.path).write(batch)
        assert list(locmem.outbox) == batches

    def test_its_outbox_is_bounded(self):
        for _ in range(10_010):
            load_backend(self.path).write(batch_of())
        assert len(locmem.outbox) == 10_000


class TestConsole(WithoutDatabase):
    path = "app_metrics.backends.console"

    def test_it_prints_a_line_for_the_batch_and_one_for_every_summary(self, capsys):
        batch = batch_of("orders", "logins", number=4)
        load_backend(self.path).write(batch)
        first, *lines = capsys.readouterr().out.splitlines()
        assert first == f"metrics batch {batch.id}"
        numbers = "count 1, total 4, minimum 4, maximum 4, last 4"
        assert lines == [f"  counter {slug} {{}} 2026-05-31 22h: {numbers}" for slug in ("orders", "logins")]

    def test_it_prints_every_shown_field_and_small_decimals_as_digits(self, capsys):
        load_backend(self.path).write(batch_of("orders", number=Decimal("1e-9")))
        printed = dict(each.split() for each in capsys.readouterr().out.partition("h: ")[2].split(", "))
        assert list(printed) == [field.name for field in SHOWN]
        assert printed["total"] == "0.000000001"

    def test_it_prints_no_trailing_zeros(self, capsys):
        load_backend(self.path).write(batch_of("orders", number=Decimal("3.500000000")))
        assert "total 3.5," in capsys.readouterr().out

    def test_it_prints_how_many_different_values_there_were(self, capsys):
        load_backend(self.path).write(Batch({Key("users", "unique", "{}", DAY, 22): seen(1, 2, 2)}))
        assert capsys.readouterr().out.endswith("count 3, total 3, minimum 1, maximum 1, last 1, different 2\n")


class TestDummy(WithoutDatabase):
    path = "app_metrics.backends.dummy"

    def test_it_says_nothing_and_keeps_nothing(self, capsys):
        locmem.outbox.clear()
        load_backend(self.path).write(batch_of("orders"))
        assert capsys.readouterr() == ("", "")
        assert not locmem.outbox


class TestCelery(WithoutDatabase):
    """The Celery backend with an in-memory broker; tests/soak/brokers has more tests."""

    path = "app_metrics.backends.celery"

    @pytest.fixture(autouse=True)
    def app(self, monkeypatch):
        made = Celery("tests.backends", broker="memory://", set_as_current=False, fixups=[])
        monkeypatch.setattr("celery._state.default_app", made)
        monkeypatch.setattr("celery._state._tls.current_app", None)

    def test_it_counts(self):
        assert load_backend(self.path).feeds_totals


class TestComposite(WithoutDatabase):
    """The composite backend; test_composite covers its failures."""

    path = "app_metrics.backends.composite"

    @pytest.fixture(autouse=True)
    def destinations(self, settings):
        settings.APP_METRICS_COMPOSITE_BACKENDS = ["app_metrics.backends.locmem", "app_metrics.backends.console"]
        locmem.outbox.clear()

    def test_it_hands_every_batch_to_each_destination(self, capsys):
        batch = batch_of("orders")
        load_backend(self.path).write(batch)
        assert list(locmem.outbox) == [batch]
        assert str(batch.id) in capsys.readouterr().out
