"""What the first django-app-metrics or one of its forks has left behind is found, with what to do."""

from copy import deepcopy
from pathlib import Path

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

import app_metrics
from app_metrics.checks import check_predecessor, predecessor


@pytest.fixture
def in_templates(settings, tmp_path):
    """Let the project have a template."""

    def write(name, text="{{ metric_set.name }}"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    templates = deepcopy(settings.TEMPLATES)
    templates[0]["DIRS"] = [tmp_path]
    settings.TEMPLATES = templates
    return write


def test_a_site_that_begins_afresh_gets_no_message():
    assert check_predecessor() == []


@pytest.mark.parametrize("text", ["{{ metric_set.name }}", "{% no_such_tag %}"])
@pytest.mark.parametrize(("old", "new"), [("email.txt", "report.txt"), ("email.html", "report.html")])
def test_w021_names_the_template_that_replaces_an_old_one(in_templates, old, new, text):
    in_templates(f"app_metrics/{old}", text)
    (warning,) = check_predecessor()
    assert warning.id == "app_metrics.W021"
    assert f"app_metrics/{old} is not used" in warning.msg
    assert f"override app_metrics/{new}" in warning.hint


def test_templates_of_today_get_no_message(in_templates):
    in_templates("app_metrics/report.txt")
    assert check_predecessor() == []


def test_a_broken_template_engine_is_left_to_django(settings):
    settings.TEMPLATES = [{"BACKEND": "nowhere.Templates"}]
    assert check_predecessor() == []


def test_e028_names_the_fork_to_uninstall(monkeypatch, tmp_path):
    described = tmp_path / "pivotal_app_metrics-1.1.2.dist-info" / "METADATA"
    described.parent.mkdir()
    described.write_text("Metadata-Version: 2.1\nName: pivotal-app-metrics\nVersion: 1.1.2\n")
    monkeypatch.syspath_prepend(tmp_path)
    (error,) = check_predecessor()
    assert error.id == "app_metrics.E028"
    assert "pip uninstall pivotal-app-metrics django-app-metrics" in error.hint


def test_e028_names_the_folder_with_files_of_an_older_package(monkeypatch, tmp_path):
    monkeypatch.setattr(predecessor, "PACKAGE", tmp_path)
    assert check_predecessor() == []
    (tmp_path / "models.py").touch()
    (error,) = check_predecessor()
    assert error.id == "app_metrics.E028"
    assert str(tmp_path) in error.msg
    assert "delete that folder" in error.hint


def test_a_package_that_a_fork_has_overwritten_says_so_instead_of_failing_at_an_import(monkeypatch):
    monkeypatch.delattr(app_metrics, "track")
    with pytest.raises(ImproperlyConfigured, match="pip uninstall pivotal-app-metrics django-app-metrics"):
        apps.get_app_config("app_metrics").import_models()


def test_the_package_itself_is_what_is_looked_at():
    assert Path(predecessor.__file__).is_relative_to(predecessor.PACKAGE)
    assert (predecessor.PACKAGE / "models" / "__init__.py").exists()
