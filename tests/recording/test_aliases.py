"""APP_METRICS_ALIASES: the code of an adopted site keeps counting under slugs that are none any more."""

import pytest

from app_metrics import Timer, gauge, metric
from app_metrics.testing import capture_metrics
from app_metrics.utils import get_or_create_metric

ALIASES = {"api.calls": "api-calls"}


@pytest.fixture
def aliases(settings):
    settings.APP_METRICS_STRICT = True
    settings.APP_METRICS_ALIASES = ALIASES


@pytest.mark.usefixtures("aliases", "database")
def test_an_alias_is_counted_as_its_slug():
    with capture_metrics() as recorded:
        metric("api.calls", 2)
        metric("api-calls", 3)
        gauge("api.calls", 4)
        with Timer("api.calls"):
            pass
    assert recorded.slugs == ["api-calls"]


@pytest.mark.usefixtures("aliases", "database")
def test_the_metric_of_an_alias_is_the_one_of_its_slug():
    assert get_or_create_metric("API calls", "api.calls").slug == "api-calls"


@pytest.mark.usefixtures("aliases", "database")
def test_other_texts_are_still_refused():
    with pytest.raises(ValueError, match="is not a slug"):
        metric("api.errors")
