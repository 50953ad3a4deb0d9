"""The code of README.md and docs/ in its order on a page: fenced blocks, commands in the text, and one edit."""

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.paths import ROOT

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]

CODE = re.compile(
    r"^(?P<indent> *)```(?P<language>\S*)[^\n]*\n(?P<block>.*?)^(?P=indent)```$"
    r"|`(?P<command>(?:python|manage\.py|pip|make|celery|EXAMPLE_\w+=\S+)\s\w[^`]*)`"
    r"|Change `(?P<old>[^`]+)` to `(?P<new>[^`]+)`",
    re.DOTALL | re.MULTILINE,
)
# A command of a console, which may continue after a backslash, and what it prints.
PROMPT = re.compile(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
MANAGE = re.compile(r"\bmanage\.py .+")
FILE = re.compile(r"`((?!manage\.py)[\w/.]+\.py)`")
# Where the files of a new project are that its documentation names without a folder.
FOLDERS = {name: f"mysite/{name}" for name in ("settings.py", "urls.py", "asgi.py", "wsgi.py")}


class Step(NamedTuple):
    """Something that a reader does or compares: `kind` says what, `text` is the code."""

    place: str
    kind: str
    text: str
    file: str = ""  # where to paste it
    output: str = ""  # what a command prints

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


def python_blocks(page: Path) -> list[str]:
    found = CODE.finditer(page.read_text())
    return [textwrap.dedent(each["block"]) for each in found if each["language"] == "python"]


def steps(page: Path) -> Iterator[Step]:
    """Yield what a page gives to do; directives of Sphinx, such as `{toctree}`, are no code."""
    text = page.read_text()
    for found in CODE.finditer(text):
        place = f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, found.start()) + 1}"
        if found["command"]:
            yield Step(place, "command", " ".join(found["command"].split()))
        elif found["old"]:
            yield Step(place, "change", found["old"], output=found["new"])
        elif not found["language"].startswith("{"):
            before = text[: found.start()].rstrip().rpartition("\n\n")[2]
            yield from _in_block(place, found["language"], textwrap.dedent(found["block"]), before)


def _in_block(place: str, language: str, block: str, before: str) -> Iterator[Step]:
    if language == "python":
        yield _python(place, block, before)
    elif language == "console" and PROMPT.match(block):
        yield from (Step(place, "command", command, output=output) for command, output in PROMPT.findall(block))
    elif language == "sh":
        yield from (Step(place, "command", line) for line in block.splitlines())
    elif language == "text" and MANAGE.search(block):  # a line of cron, a systemd unit
        yield from (Step(place, "command", command) for command in MANAGE.findall(block))
    else:
        yield Step(place, language or "text", block)


def _python(place: str, block: str, before: str) -> Step:
    """Say where a block belongs: in the file that the text before it names, or else where it makes sense."""
    if "def test_" in block:
        return Step(place, "test", block)
    if named := FILE.search(before):
        return Step(place, "file", block, FOLDERS.get(named[1], named[1]))
    if all(_is_setting(node) for node in ast.parse(block).body):
        return Step(place, "file", block, FOLDERS["settings.py"])
    return Step(place, "script", block)


def _is_setting(node: ast.stmt) -> bool:
    """Return whether a statement imports something or sets a name in capitals, or an entry of it."""
    if not isinstance(node, ast.Assign | ast.AugAssign):
        return isinstance(node, ast.Import | ast.ImportFrom)
    target = node.target if isinstance(node, ast.AugAssign) else node.targets[0]
    while isinstance(target, ast.Subscript):
        target = target.value
    return isinstance(target, ast.Name) and target.id.isupper()
