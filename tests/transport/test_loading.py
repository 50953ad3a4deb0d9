"""Loading a backend from a path in the settings."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from app_metrics import backends
from app_metrics.backends import dummy, locmem
from app_metrics.exceptions import InvalidMetricsBackend
from app_metrics.transport.base import MetricsBackend
from app_metrics.transport.loading import get_backend, load_backend, replaced_backend

HERE = "tests.transport.test_loading."


class Custom(MetricsBackend):
    def write(self, batch):
        """Accept any batch."""


class Imitation:
    """Not a backend: it has the method, but not the base class."""

    def write(self, batch):
        """Accept any batch."""


class Failing(Custom):
    def __init__(self):
        raise KeyError("HOST")


instance = Custom()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("app_metrics.backends.locmem", locmem.MetricsBackend),
        ("app_metrics.backends.locmem.MetricsBackend", locmem.MetricsBackend),
        (HERE + "Custom", Custom),
    ],
)
def test_a_path_names_a_module_or_a_class(settings, path, kind):
    settings.APP_METRICS_BACKEND = path
    assert type(get_backend().backend) is kind
    assert get_backend() is get_backend()


def test_the_setting_is_read_at_every_use(settings):
    settings.APP_METRICS_BACKEND = "app_metrics.backends.dummy"
    assert isinstance(get_backend().backend, dummy.MetricsBackend)
    settings.APP_METRICS_BACKEND = "app_metrics.backends.locmem"
    assert isinstance(get_backend().backend, locmem.MetricsBackend)


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("", "cannot be imported"),
        ("nowhere", "cannot be imported: .*nowhere"),
        ("app_metrics.backends.nowhere", "cannot be imported: .*nowhere"),
        ("app_metrics.backends.db.Nothing", "cannot be imported: .*Nothing"),
        ("tests.support.broken_module", "cannot be imported: .*no_such_package"),
        (HERE + "Imitation", "Derive it from app_metrics.backends.MetricsBackend"),
        (HERE + "instance", "Derive it from app_metrics.backends.MetricsBackend"),
        ("app_metrics.backends.MetricsBackend", "Derive it from app_metrics.backends.MetricsBackend"),
        ("app_metrics.core.summary", "Derive it from app_metrics.backends.MetricsBackend"),
        (HERE + "Failing", "HOST"),
        (None, "not the path"),
        (Custom, "not the path"),
    ],
)
def test_an_invalid_backend_is_refused_with_its_name(path, complaint):
    with pytest.raises(ImproperlyConfigured, match=complaint) as refusal:
        load_backend(path)
    assert str(path) in str(refusal.value)


def test_a_backend_that_does_not_exist_is_reported_under_its_classic_name():
    with pytest.raises(InvalidMetricsBackend):
        load_backend("nowhere")


@pytest.mark.parametrize("name", ["librato", "librato_backend", "mixpanel"])
def test_a_service_that_is_gone_is_called_unsupported(name):
    with pytest.raises(ImproperlyConfigured, match=f"backends.{name}.*This service is not supported"):
        load_backend(f"app_metrics.backends.{name}")


def test_a_module_of_functions_hears_how_to_become_a_backend(monkeypatch, tmp_path):
    (tmp_path / "function_backend.py").write_text("def metric(slug, num=1): ...\ndef gauge(slug, value): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImproperlyConfigured, match=r"function_backend.*Write a class MetricsBackend") as refusal:
        load_backend("function_backend")
    assert "write(batch)" in str(refusal.value)
    assert str(refusal.value).endswith("what metric() and gauge() did for one call.")


@pytest.mark.parametrize("path", ["app_metrics.backends.{}", "app_metrics.backends.{}.MetricsBackend"])
def test_a_backend_with_a_missing_package_names_its_extra(lacking, path):
    with pytest.raises(ImproperlyConfigured, match="No module named 'no_such_package'") as refusal:
        load_backend(path.format(lacking))
    assert str(refusal.value).endswith(f'pip install "django-app-metrics[{lacking}]>=1"')


@pytest.fixture
def lacking(monkeypatch, tmp_path):
    """The name of a package backend that imports a missing dependency."""
    (tmp_path / "lacking.py").write_text("import no_such_package\n")
    monkeypatch.setattr(backends, "__path__", [*backends.__path__, str(tmp_path)])
    return "lacking"


def test_a_replacement_ends_with_its_block(settings):
    settings.APP_METRICS_BACKEND = HERE + "Custom"
    outer, inner = Custom(), Custom()
    with replaced_backend(outer):
        with replaced_backend(inner):
            assert get_backend().backend is inner
        assert get_backend().backend is outer
    assert get_backend().backend not in (inner, outer)


def test_a_backend_that_defines_nothing_but_write_has_no_complaint():
    assert list(Custom().check()) == []


def test_an_app_that_is_not_installed_is_said_to_be_so(settings):
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "app_metrics"]
    settings.APP_METRICS_BACKEND = "app_metrics.backends.nowhere"
    with pytest.raises(InvalidMetricsBackend, match=r'Add "app_metrics" to INSTALLED_APPS\.$'):
        get_backend()


def test_the_sentence_of_an_error_ends_with_one_full_stop(settings, monkeypatch):
    def fail(path):
        raise RuntimeError("Item isn't in an application in INSTALLED_APPS.")

    monkeypatch.setattr("app_metrics.transport.loading._imported", fail)
    settings.APP_METRICS_BACKEND = HERE + "Failing"
    with pytest.raises(InvalidMetricsBackend, match=r"in INSTALLED_APPS\. [A-Z]"):
        get_backend()
