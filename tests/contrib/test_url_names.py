"""Two names for one route: Django resolves to the first."""

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import get_resolver, include, path, re_path
from django.urls.converters import IntConverter, register_converter

from app_metrics.checks import check_rules
from app_metrics.contrib.url_names import shadowed_names, url_names
from app_metrics.dashboard.unused import find_unused
from app_metrics.testing.recorded import assert_metric_recorded


class Even(IntConverter):
    def to_python(self, value):
        if int(value) % 2:
            raise ValueError
        return int(value)


register_converter(Even, "even")


def page(request, **kwargs):
    return HttpResponse()


urlpatterns = [
    path("items/", page, name="list_items"),
    path("items/", page, name="create_item"),
    path("items/<int:pk>/", page, name="read_item"),
    path("items/<int:item>/", page, name="delete_item"),
    path("items/<even:pk>/", page, name="even_item"),
    path("shop/", include(([path("basket/", page, name="basket")], "shop"))),
    path("shop/basket/", page, name="basket"),
    re_path(r"^old/(?P<pk>[0-9]+)$", page, name="old"),
    re_path(r"^old/([0-9]+)$", page, name="older"),
    path("a/", page, name="shared"),
    path("a/", page, name="again"),
    path("b/", page, name="again"),
]

pytestmark = pytest.mark.urls("tests.contrib.test_url_names")

SHADOWED = {"create_item": "list_items", "delete_item": "read_item", "basket": "shop:basket", "older": "old"}


def test_the_second_name_of_a_route_is_shadowed_by_the_first():
    assert shadowed_names(url_names(get_resolver())) == SHADOWED


@pytest.mark.parametrize(("name", "first"), SHADOWED.items())
def test_the_check_names_the_first_url_name_if_a_rule_uses_a_later_one(name, first, settings):
    settings.APP_METRICS_URLS = {name: "views", "again": "views", "even_item": "views"}
    (message,) = check_rules()
    assert message.id == "app_metrics.E002"
    assert f"because {first!r} comes first" in message.msg
    assert f'Name {first!r} instead, with "methods"' in message.hint


def test_a_rule_on_the_first_name_counts_requests_of_both_names(settings, recorded):
    settings.APP_METRICS_URLS = {"list_items": "views", "create_item": "others"}
    Client().post("/items/")
    assert_metric_recorded(recorded, "views", total=1)
    assert recorded.slugs == ["views"]


def test_a_pattern_labels_requests_of_both_names_with_the_first(settings, recorded):
    settings.APP_METRICS_URLS = {"*": "requests"}
    Client().post("/items/")
    assert_metric_recorded(recorded, "requests", total=1, labels={"url": "list_items"})
    assert check_rules() == []


@pytest.mark.django_db
def test_the_unused_page_omits_names_that_never_resolve(settings):
    settings.APP_METRICS_URLS = {"*": "requests"}
    names = {each.name for each in find_unused(30).urls}
    assert names == {"list_items", "read_item", "even_item", "shop:basket", "old", "shared", "again"}
