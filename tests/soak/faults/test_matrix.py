"""Every fault at every destination, briefly; `make faults` runs the same for half an hour.

APP_METRICS_FAULTS_SEED reproduces a failure, and APP_METRICS_FAULTS_SECONDS makes each cell last as long as it did
there.
"""

import os
from contextlib import ExitStack, nullcontext
from random import SystemRandom

import pytest

from tests.soak.brokers.conftest import sharing
from tests.soak.faults.destinations import make_site, published
from tests.soak.faults.matrix import cells, meet

SECONDS = float(os.environ.get("APP_METRICS_FAULTS_SECONDS", "1"))


@pytest.fixture(scope="session")
def sites():
    """Return a function that returns a destination and a site that records to it; one site each per session."""
    made = {}
    with ExitStack() as stack:

        def get(kind):
            if kind not in made:
                destination = kind(published(kind.needs))
                made[kind] = destination, stack.enter_context(make_site(destination))
            return made[kind]

        yield get


@pytest.mark.parametrize(
    ("fault", "kind"),
    [pytest.param(fault, kind, id=f"{fault}, {kind.name}") for fault, kind in cells() if not kind.only_in_long_form],
)
def test_no_fault_loses_or_doubles_anything(fault, kind, sites):
    if (missing := kind.missing()) is not None:
        pytest.skip(missing)
    seed = int(os.environ.get("APP_METRICS_FAULTS_SEED") or SystemRandom().getrandbits(32))
    print(f"APP_METRICS_FAULTS_SEED={seed}")
    with sharing() if "rabbitmq" in kind.needs else nullcontext():
        result = meet(fault, *sites(kind), seconds=SECONDS, seed=seed)
    print(result.verdict, dict(result.tally))
    if result.impossible:
        pytest.skip(result.impossible)
    assert result.holds, f"{result} (APP_METRICS_FAULTS_SEED={seed})"
