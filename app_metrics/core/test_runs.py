"""Whether a test runner runs, or has ended in this process."""

import sys

_noticed = False


def in_tests() -> bool:
    """Return whether a test runner has called Django's `setup_test_environment()`, as pytest-django does, too.

    Remembers it for `have_ended()`, because the runner leaves no trace when it ends.
    """
    global _noticed
    utils = sys.modules.get("django.test.utils")
    # Every scope asks. A failing `hasattr` takes twice as long.
    if utils is None or "saved_data" not in vars(getattr(utils, "_TestState", utils)):
        return False
    _noticed = True
    return True


def have_ended() -> bool:
    """Return whether `in_tests()` was true, but no longer is.

    The runner has then given the project its real database back, in which nothing that the tests recorded may count.
    """
    return _noticed and not in_tests()
