"""ClickHouse's engine, from the package chdb-core, in a process of its own; the tests' environments lack it.

`python -m tests.support.clickhouse FOLDER` reads a list of statements as JSON from standard input, runs them on the
database in a folder, and prints the rows of the last one as JSON.
"""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT

WHY_NOT = "chdb is not installed: pip install chdb-core, which takes 0.7 GB with pyarrow"


class ClickHouse:
    """A database in a folder."""

    def __init__(self, folder: Path) -> None:
        if not find_spec("chdb"):
            pytest.skip(WHY_NOT)
        self.folder = folder

    def run(self, *statements: str) -> Any:
        """Run statements, and return the rows of the last one as lists; numbers are as JSON has them."""
        command = [sys.executable, "-m", "tests.support.clickhouse", str(self.folder)]
        done = subprocess.run(
            command, input=json.dumps(statements), cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


def main(folder: str) -> None:
    from chdb.session import Session

    session = Session(folder)
    answer = None
    for statement in json.load(sys.stdin):
        answer = session.query(statement, "JSONCompactEachRow")
    print(answer, end="")
    session.close()


if __name__ == "__main__":
    main(sys.argv[1])
