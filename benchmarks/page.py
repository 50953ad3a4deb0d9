"""Show tables as text and Markdown, and update docs/performance.md: `python -m benchmarks.page` fills in the results.

Each benchmark has a block from `<!-- results: NAME -->` to `<!-- end of results -->`. The block `limits` holds all
limits, and `facts` the machine and the versions. All benchmarks must have run with the same facts.
"""

import json
import re
import sys

from tests.support.paths import ROOT

from . import BENCHMARKS, RESULTS

PAGE = ROOT / "docs" / "performance.md"
BLOCK = re.compile(r"(?<=<!-- results: )(\w+)( -->\n).*?(?=<!-- end of results -->)", re.DOTALL)


def main():
    files = [RESULTS / f"{name}.json" for name in BENCHMARKS]
    results = {file.stem: json.loads(file.read_text()) for file in files if file.exists()}
    facts = {each["facts"] for each in results.values()}
    if len(results) < len(files) or len(facts) != 1:
        print("Results are missing, or come from different machines or versions: run `make bench` first.")
        return 1
    blocks = {name: results_text(name, each) for name, each in results.items()}
    blocks |= {"limits": markdown(**limits_table(results.values())), "facts": facts.pop() + "\n"}
    PAGE.write_text(filled(PAGE.read_text(), blocks))
    return 0


def filled(page, blocks):
    """Return the page with its blocks replaced."""
    return BLOCK.sub(lambda found: f"{found[1]}{found[2]}{blocks[found[1]]}", page)


def results_text(name, results):
    scale = "FULL=1 " if results["scale"] == "FULL" else ""
    command = f'`make bench {scale}ARGS="{name}"`, {results["date"]}.'
    return "\n".join([command, "", *(markdown(**table) for table in results["tables"])])


def limits_table(results):
    limits = [limit for each in results for limit in each["limits"]]
    rows = [[limit[key] for key in ("what", "against", "found", "limit")] + [verdict(limit)] for limit in limits]
    return {"title": "Numbers to hold", "columns": ["what", "against", "found", "at most", ""], "rows": rows}


def verdict(limit):
    return "met" if limit["met"] else "not met"


def text(title, columns, rows):
    lines = [columns, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines]
    return "\n".join([title, *aligned, ""])


def markdown(title, columns, rows):
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return "\n".join([f"{title}:", "", *(f"| {' | '.join(row)} |" for row in [columns, rule, *rows]), ""])


if __name__ == "__main__":
    sys.exit(main())
