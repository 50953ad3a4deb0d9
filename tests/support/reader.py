"""Do what the documentation says, as written, in a project of its reader."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from tests.support.documentation import FOLDERS, Step
from tests.support.paths import ROOT

DOCUMENTED = Path(__file__).with_name("documented")
# Curl asks the project itself, so that no server has to run at the address that a page names.
CURL = f'curl() {{ python "{DOCUMENTED / "curl.py"}" "$@"; }}'
# Runs what it gets on stdin; a reader must be told what to import.
SHELL = "python manage.py shell --no-imports"
# Django imports these; anything else is run once to see that it can be.
IMPORTED = {"__init__", "models", "settings", "urls", "views"}
# Warnings about what the text of a page says to add.
EXPECTED_WARNINGS = {"app_metrics.W004"}


class Wrong(Exception):
    """A page does not work as written; the message says how."""


class Reader:
    """Its methods are named after the kinds of steps; each raises Wrong if the step fails."""

    def __init__(self, folder: Path, token: str = "") -> None:
        self.folder = folder
        self._printed = ""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("APP_", "COV", "DJ", "PYT"))}
        self._environment = {
            **kept,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(ROOT),
            "DJANGO_SUPERUSER_USERNAME": "admin",
            "DJANGO_SUPERUSER_EMAIL": "admin@example.com",
            "DJANGO_SUPERUSER_PASSWORD": "admin",
            "TOKEN": token,
        }

    def follow(self, steps: Iterable[Step]) -> list[str]:
        """Do all steps, and check the project after each change of its settings; return what went wrong."""
        problems = []
        for step, following in pairwise([*steps, None]):
            try:
                getattr(self, step.kind)(step)
                if not following or (step.file == FOLDERS["settings.py"] and "manage.py check" not in following.text):
                    self.check()
            except Wrong as wrong:
                problems.append(f"{step}\n{wrong}")
        return problems

    def check(self) -> None:
        printed = self.run("python manage.py check")
        if set(re.findall(r"\((\w+\.[EW]\d+)\)", printed)) - EXPECTED_WARNINGS:
            raise Wrong(printed)

    def run(self, command: str, typed: str = "y\n", code: int = 0) -> str:
        """Run a command of a shell; return what it prints."""
        done = subprocess.run(
            ["sh", "-c", f"{CURL}\n{command}"],
            cwd=self.folder,
            env=self._environment,
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode != code:
            raise Wrong(f"{command} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def command(self, step: Step) -> None:
        if step.text.startswith("cd "):
            self.folder /= step.text[3:]
            return
        command = re.sub("^manage.py", "python manage.py", step.text)
        command = re.sub("createsuperuser$", "createsuperuser --noinput", command)  # a password needs a terminal
        typed = "" if command.endswith(" shell") else "y\n"
        self._printed = self.run(command, typed, code="SystemCheckError" in step.output)
        self._expect(step.output)

    def change(self, step: Step) -> None:
        settings = self.folder / FOLDERS["settings.py"]
        if step.text not in settings.read_text():
            raise Wrong("The settings do not have it.")
        settings.write_text(settings.read_text().replace(step.text, step.output))

    def file(self, step: Step) -> None:
        with (self.folder / step.file).open("a") as file:
            file.write(f"\n{step.text}")
        if Path(step.file).stem not in IMPORTED:
            self.run(SHELL, f"import runpy\nrunpy.run_path({step.file!r})")

    def script(self, step: Step) -> None:
        self.run(SHELL, step.text)

    def test(self, step: Step) -> None:
        file = self.folder / f"test_{step.place.rpartition(':')[2]}.py"
        file.write_text(step.text)
        self.run(f"python -m pytest -p no:cacheprovider --ds mysite.settings {file.name}")

    def django(self, step: Step) -> None:
        self.run(SHELL, f"from django.template import *\nTemplate({step.text!r}).render(Context())")

    def pycon(self, step: Step) -> None:
        (self.folder / "session.txt").write_text(step.text)
        tried = "import doctest, sys\nsys.exit(doctest.testfile('session.txt', module_relative=False).failed)"
        self.run(SHELL, tried)

    def json(self, step: Step) -> None:
        try:
            is_same = json.loads(self._printed) == json.loads(step.text)
        except json.JSONDecodeError:
            is_same = False
        if not is_same:
            raise Wrong(self._printed)

    def text(self, step: Step) -> None:
        if step.text.startswith("timestamp,"):
            (self.folder / "lines.csv").write_text(step.text)
            self.run("python manage.py metrics_import lines.csv")
        else:
            self._expect(step.text)

    def _expect(self, lines: str) -> None:
        """Compare lines with what the last command printed, apart from other lines, digits and random words.

        A line "…" stands for some that are left out.
        """
        if missing := set(_shapes(lines)) - {"…", *_shapes(self._printed)}:
            raise Wrong(f"{sorted(missing)} is not in:\n{self._printed}")


def _shapes(text: str) -> list[str]:
    return [re.sub(r"\d", "0", re.sub(r"[\w-]{30,}", "…", line.rstrip())) for line in text.splitlines() if line.strip()]
