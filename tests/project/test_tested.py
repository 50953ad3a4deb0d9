"""After a run, `make` prints a table of what it tested, and names what it did not test."""

import json
from importlib import import_module

import pytest

from tests.support.paths import ROOT


@pytest.fixture
def lines(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    script = import_module("tested")

    def lines_of(**notes):
        for name, note in notes.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(note))
        return list(script.lines(tmp_path))

    return lines_of


def ran(missing=None, **versions):
    return {"versions": versions, "tests": {"Tests": "2 passed"}, "missing": missing or {}}


def test_each_session_is_a_row_with_its_versions(lines):
    assert lines(old=ran(Python="3.11.7", MariaDB="10.11.19"), young=ran(Python="3.15.2", Redis="8.0.2")) == [
        "Python  MariaDB   Redis  Tests",
        "3.11.7  10.11.19  -      2 passed",
        "3.15.2  -         8.0.2  2 passed",
    ]


def test_what_was_missing_is_named_once_with_its_sessions(lines):
    missing = {"mysql": "it is not installed"}
    assert lines(a=ran(missing, Python="3.11.7"), b=ran(missing, Python="3.12.1"))[-1] == (
        "Not tested: mysql: it is not installed (a, b)"
    )


def test_what_could_not_be_fetched_is_named_though_no_session_ran(lines):
    assert lines(fetch={"missing": {"mysql": "no archive"}}) == ["Not tested: mysql: no archive (fetch)"]


def test_sessions_that_nox_skipped_or_that_failed_are_named(lines):
    def session(name, result, **more):
        return {"name": "tests", "signatures": [name], "result": result, **more}

    sessions = [
        session("tests-3.11", "success"),
        session("tests-3.12", "skipped", reason="no interpreter"),
        session("tests-3.13", "skipped"),
        session("tests-3.14", "failed"),
    ]
    assert lines(nox={"sessions": sessions}) == [
        "Not tested: tests-3.12: no interpreter",
        "Not tested: tests-3.13: its Python was not found",
        "Failed: tests-3.14",
    ]
