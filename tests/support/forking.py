"""Fork the process of the tests."""

import os
import warnings


def fork() -> int:
    """Fork as `os.fork()` does, without Python's warning about further threads.

    pytest-xdist has one in each process, which holds no lock that the children of these tests need.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        return os.fork()
