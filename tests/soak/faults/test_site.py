"""A site's processes run independently."""

import os

from tests.soak.faults.destinations import Sqlite, make_site


def test_the_output_of_a_process_is_discarded():
    """Output that is not read would fill the pipe, and block Celery's workers forever."""
    with make_site(Sqlite({})) as site:
        process = site.start("aggregate_for", seconds=600, seed=0)
        assert os.readlink(f"/proc/{process.pid}/fd/1") == os.devnull
        assert process.kill()
