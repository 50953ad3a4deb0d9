"""Definitions are looked for in the module `metrics` of installed apps, if it names app_metrics."""

import sys

import pytest

from app_metrics.definitions.discovery import discover

DEFINING = 'from app_metrics.definitions import Counter\n\norders = Counter("orders")\n'


@pytest.fixture
def app(tmp_path, monkeypatch, settings):
    """A function that installs an app with some files."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(name, **files):
        for path, text in {"__init__.py": "", **files}.items():
            file = tmp_path / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, name]

    yield install
    for name in [name for name in sys.modules if name.startswith("discovered_")]:
        del sys.modules[name]


def slugs():
    return [(each.slug, each.module) for each in discover()]


def test_the_module_of_an_app_is_imported(app):
    app("discovered_one", **{"metrics.py": DEFINING})
    assert slugs() == [("orders", "discovered_one.metrics")]
    assert slugs() == [("orders", "discovered_one.metrics")]


def test_a_package_is_imported_as_well(app):
    app(
        "discovered_two",
        **{"metrics/__init__.py": "from .sales import orders\n", "metrics/sales.py": DEFINING},
    )
    assert slugs() == [("orders", "discovered_two.metrics.sales")]


def test_a_module_that_has_nothing_to_do_with_us_is_left_alone(app):
    app("discovered_three", **{"metrics.py": "raise ImportError('prometheus')\n"})
    app("discovered_four", **{"metrics/__init__.py": "raise ImportError('prometheus')\n"})
    assert slugs() == []
    assert "discovered_three.metrics" not in sys.modules


@pytest.mark.parametrize("name", ["webapp_metrics", "app_metrics_total"])
def test_a_longer_name_is_not_ours(app, name):
    app("discovered_six", **{"metrics.py": f"from {name} import raise_it\n"})
    assert slugs() == []


def test_a_file_that_cannot_be_read_names_nothing(app, tmp_path):
    app("discovered_seven", **{"metrics/__init__.py": DEFINING})
    (tmp_path / "discovered_seven" / "metrics" / ".#sales.py").symlink_to("ada@host.123:456")
    assert slugs() == [("orders", "discovered_seven.metrics")]


def test_an_error_in_such_a_module_is_raised(app):
    app("discovered_five", **{"metrics.py": f"{DEFINING}raise LookupError('broken')\n"})
    with pytest.raises(LookupError, match="broken"):
        discover()


def test_apps_without_the_module_define_nothing():
    assert slugs() == []
