"""Put the latest results into docs/performance.md: `python -m benchmarks.document`.

Each goes between `<!-- results: NAME -->`, with the name of a benchmark, and `<!-- end of results -->`; two more names
are `limits`, the numbers to hold of all of them, and `facts`, the machine and the versions. All of them must have been
run, on one machine.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from .__main__ import BENCHMARKS
from .measuring import RESULTS, verdict
from .tables import Table

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
BLOCK = re.compile(r"(?<=<!-- results: )(\w+)( -->\n).*?(?=<!-- end of results -->)", re.DOTALL)


def main() -> int:
    files = [RESULTS / f"{name}.json" for name in BENCHMARKS]
    results = {file.stem: json.loads(file.read_text()) for file in files if file.exists()}
    said = {facts(each) for each in results.values()}
    if len(results) < len(files) or len(said) != 1:
        print("The results are not of all benchmarks, or of different machines or versions: run `make bench` first.")
        return 1
    blocks = {"limits": limits(results), "facts": said.pop()}
    blocks |= {name: tables(name, each) for name, each in results.items()}
    PAGE.write_text(filled(PAGE.read_text(), blocks))
    return 0


def filled(page: str, blocks: dict[str, str]) -> str:
    """Return a page with its blocks replaced."""
    return BLOCK.sub(lambda found: f"{found[1]}{found[2]}{blocks[found[1]]}", page)


def tables(name: str, results: dict[str, Any]) -> str:
    scale = "FULL=1 " if results["full"] else ""
    command = f'`make bench {scale}ARGS="{name}"`, {results["date"]}.'
    return "\n".join([command, "", *(Table(**table).markdown() for table in results["tables"])])


def limits(results: dict[str, Any]) -> str:
    found = [limit for each in results.values() for limit in each["limits"]]
    rows = [[each["what"], each["against"], each["found"], each["limit"], verdict(each)] for each in found]
    return Table("Numbers to hold", ["what", "against", "found", "at most", ""], rows).markdown()


def facts(result: dict[str, Any]) -> str:
    machine, versions = result["machine"], result["versions"]
    programs = ", ".join(f"{name} {version}" for name, version in versions.items())
    hardware = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB"
    return f"{hardware}, {machine['system']}; {programs}.\n"


if __name__ == "__main__":
    sys.exit(main())
