"""Print what the last run of `make test…` tested: a table of versions, and what was not tested and why.

The parts of a run leave JSON files in .venvs/tested: each session of the tests its versions and numbers,
scripts/newer.py what it could not fetch, and nox the outcome of its sessions. ``python3 scripts/tested.py --begin``
empties the folder.
"""

import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

TESTED = Path(__file__).resolve().parent.parent / ".venvs" / "tested"
# The report that nox itself writes.
NOX = "nox.json"


def main(*options: str) -> None:
    if options:
        shutil.rmtree(TESTED, ignore_errors=True)
        TESTED.mkdir(parents=True)
    else:
        print("\n".join(lines(TESTED)))


def note_missing(name: str, missing: dict[str, str]) -> None:
    """Note what cannot be tested, with the reasons."""
    TESTED.mkdir(parents=True, exist_ok=True)
    (TESTED / f"{name}.json").write_text(json.dumps({"missing": missing}))


def lines(folder: Path) -> Iterator[str]:
    """Yield the lines of the table, and of what was not tested."""
    paths = sorted(folder.glob("*.json"), key=lambda path: path.stem)
    notes = {path.stem: json.loads(path.read_text()) for path in paths if path.name != NOX}
    yield from table([note for note in notes.values() if "versions" in note])
    yield from not_tested(notes)
    yield from unfinished(folder / NOX)


def table(ran: list[dict[str, dict[str, str]]]) -> Iterator[str]:
    """Yield a line for each run, with a column for each program that any of them used."""
    columns = list(dict.fromkeys(key for part in ("versions", "tests") for note in ran for key in note[part]))
    rows = [{**note["versions"], **note["tests"]} for note in ran]
    cells = [columns, *([row.get(column, "-") for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells if ran else ():
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def not_tested(notes: dict[str, dict[str, dict[str, str]]]) -> Iterator[str]:
    """Yield what was missing with the reason, once, and who missed it."""
    missed: dict[str, list[str]] = {}
    for name, note in notes.items():
        for missing, reason in note["missing"].items():
            missed.setdefault(f"{missing}: {reason}", []).append(name)
    for what, names in missed.items():
        yield f"Not tested: {what} ({', '.join(names)})"


def unfinished(report: Path) -> Iterator[str]:
    """Yield the sessions that nox skipped or that failed."""
    sessions: Iterable[dict[str, Any]] = json.loads(report.read_text())["sessions"] if report.exists() else ()
    for session in sessions:
        name = ", ".join(session["signatures"]) or session["name"]
        if session["result"] == "skipped":
            yield f"Not tested: {name}: {session.get('reason') or 'its Python was not found'}"
        elif session["result"] != "success":
            yield f"Failed: {name}"


if __name__ == "__main__":
    main(*sys.argv[1:])
