"""The processes of a site run for themselves."""

import os

from tests.soak.faults.destinations import Sqlite, make_site


def test_what_a_process_prints_goes_nowhere():
    """Nobody reads it: once a pipe is full of what Celery's workers say of themselves, they would wait for ever."""
    with make_site(Sqlite({})) as site:
        process = site.start("aggregate_for", seconds=600, seed=0)
        assert os.readlink(f"/proc/{process.pid}/fd/1") == os.devnull
        assert process.kill()
