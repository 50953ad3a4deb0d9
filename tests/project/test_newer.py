"""scripts/newer.py fetches what it can, and names what it cannot."""

import json
import shutil
from importlib import import_module

import pytest

from tests.support.paths import ROOT


@pytest.fixture
def newer(tmp_path, monkeypatch):
    """The script, which may fetch into a folder of the test; nothing reaches an archive."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    script = import_module("newer")
    monkeypatch.setattr(script, "NEWER", tmp_path / "newer")
    monkeypatch.setattr(import_module("tested"), "TESTED", tmp_path / "tested")
    monkeypatch.setattr(script, "run", refuse)
    monkeypatch.setattr(script, "mirror", lambda: "file:///nowhere")
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    return script


def refuse(*command):
    raise import_module("newer").Failed("the archive does not answer")


def not_tested(tmp_path):
    return json.loads((tmp_path / "tested/make newer.json").read_text())["missing"]


def test_an_unknown_name_is_refused_with_the_known_ones(newer):
    with pytest.raises(SystemExit, match=r"^Unknown: nosuch\. Choose from python3\.14, .*valkey"):
        newer.main("mysql", "nosuch")


def test_what_cannot_be_fetched_is_named_with_the_reason(newer, tmp_path, capsys):
    newer.main("mysql", "redis")
    assert not_tested(tmp_path) == dict.fromkeys(("mysql", "redis"), "the archive does not answer")
    assert "mysql could not be fetched, so it is not tested: the archive does not answer" in capsys.readouterr().err


def test_a_failed_fetch_does_not_take_the_others(newer, tmp_path, monkeypatch):
    fetched = []

    def fetch(name, apt):
        if name == "mysql":
            raise newer.Failed("it is damaged")
        fetched.append(name)

    monkeypatch.setattr(newer, "run", lambda *command: "")
    monkeypatch.setattr(newer, "fetch", fetch)
    newer.main("mysql", "postgresql", "redis")
    assert not_tested(tmp_path) == {"mysql": "it is damaged"}
    assert sorted(fetched) == ["postgresql", "redis"]


def test_what_was_fetched_is_not_fetched_again(newer, tmp_path):
    (tmp_path / "newer/mysql").mkdir(parents=True)
    (tmp_path / "newer/mysql/fetched").write_text(newer.recipe("mysql"))
    newer.main("mysql")
    assert not_tested(tmp_path) == {}


def test_without_names_a_python_that_the_machine_has_is_not_fetched(newer, tmp_path):
    newer.main()
    assert not_tested(tmp_path).keys() == {"postgresql", "mariadb", "mysql", "redis", "valkey"}


def test_another_system_than_debian_is_named_as_the_reason(newer, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: None)
    newer.main("mysql")
    assert not_tested(tmp_path) == {"mysql": "this is no Debian"}
