"""README.md and docs/ agree with the package."""

import ast
import configparser
import re
from importlib import import_module

import django
import pytest

from app_metrics.conf import AppMetricsConf
from app_metrics.core.dropped import DROPPED_SLUG
from app_metrics.core.old_settings import OLD_SETTINGS
from app_metrics.transport.base import MetricsBackend
from tests.support.documentation import PAGES, python_blocks
from tests.support.paths import PACKAGE, ROOT

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

CHECK_ID = re.compile(r"\bapp_metrics\.([EIW]\d{3})\b")


def exists(name):
    """Return whether a dotted name is a module, or can be reached from one by attributes."""
    module, *attributes = name.split(".")
    found = import_module(module)
    for attribute in attributes:
        try:
            found = getattr(found, attribute)
        except AttributeError:
            module = f"{found.__name__}.{attribute}" if hasattr(found, "__path__") else None
            try:
                found = import_module(module) if module else None
            except ModuleNotFoundError:
                found = None
            if found is None:
                return False
    return True


def imported_names(block):
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "app_metrics":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def named_in_the_package(page):
    """Return the dotted names that a page mentions or imports."""
    names = set(re.findall(r"\bapp_metrics(?:\.\w+)+\b", CHECK_ID.sub("", page.read_text())))
    return names | {name for block in python_blocks(page) for name in imported_names(block)}


def test_the_settings_table_equals_conf():
    page = (ROOT / "docs" / "settings.md").read_text()
    table = page.partition("<!-- settings table -->")[2].partition("<!-- end of settings table -->")[0]
    documented = re.findall(r"^\| `(APP_METRICS_\w+)` \| `(.+?)` \|", table, re.MULTILINE)
    defaults = list(AppMetricsConf._meta.defaults.items())
    assert [(name, ast.literal_eval(default)) for name, default in documented] == defaults


@every_page
def test_python_examples_compile(page):
    for block in python_blocks(page):
        compile(block, str(page), "exec")


# Importable only with a newer Django than the oldest supported one.
NEEDS_DJANGO_6 = "app_metrics.contrib.django_task_functions"


@every_page
def test_names_of_the_package_in_the_docs_exist(page):
    names = named_in_the_package(page)
    if django.VERSION < (6, 0):
        names = {name for name in names if not name.startswith(NEEDS_DJANGO_6)}
    assert [name for name in sorted(names) if not exists(name)] == []


@every_page
def test_settings_that_are_mentioned_exist(page):
    mentioned = set(re.findall(r"\bAPP_METRICS_([A-Z]\w*)", page.read_text()))
    assert mentioned <= {*AppMetricsConf._meta.names, *(OLD_SETTINGS if page.name == "migrating.md" else ())}


def test_variables_that_choose_the_backend_of_the_example_site_are_explained_and_no_other():
    read = re.findall(r'"(EXAMPLE_\w+)"', (ROOT / "example_project" / "settings.py").read_text())
    pages = "".join(page.read_text() for page in PAGES)
    choosing = {name for name in read if name.endswith(("_BACKEND", "_INTERVAL", "_URL"))} - {"EXAMPLE_BASE_URL"}
    assert set(re.findall(r"\bEXAMPLE_\w+", pages)) == choosing


def test_every_check_is_explained_and_no_other():
    sources = "".join(path.read_text() for path in (ROOT / "app_metrics").rglob("*.py"))
    explained = CHECK_ID.findall((ROOT / "docs" / "operations.md").read_text())
    assert sorted(explained) == sorted(set(re.findall(r'"(?:app_metrics\.)?([EIW]\d{3})"', sources)))


def test_the_end_of_support_is_given_for_every_version():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    supported = re.findall(r"(Python|Django) :: (\d\.\d+)$", setup["metadata"]["classifiers"], re.MULTILINE)
    page = (ROOT / "docs" / "support.md").read_text()
    dated = re.findall(r"^\| (Python|Django) (\S+)(?: LTS)? \| \w+ \d{4} \|$", page, re.MULTILINE)
    assert supported
    assert set(supported) <= set(dated)


def test_every_hook_of_a_backend_is_explained():
    hooks = {name for name in vars(MetricsBackend) if not name.startswith("_")}
    page = (ROOT / "docs" / "backends.md").read_text()
    assert hooks == {"write"} | set(
        re.findall(r"^\| `(\w+)(?:\(\))?` \|", page.partition("## What a batch")[0], re.MULTILINE)
    )


def test_every_reason_of_a_drop_is_explained():
    source = (ROOT / "app_metrics" / "core" / "dropped.py").read_text()
    reasons = set(re.findall(r'^[A-Z_]+ = "(\w+)"$', source, re.MULTILINE)) - {DROPPED_SLUG}
    page = (ROOT / "docs" / "operations.md").read_text()
    assert reasons <= set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))


@every_page
def test_links_lead_to_files_that_exist(page):
    targets = re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def anchors(page):
    """Return the anchors of a page's headings, which are the same on GitHub and in the built documentation."""
    found = []
    for heading in re.findall(r"^#{1,3} (.+)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), re.M):
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading).lower()).replace(" ", "-")
        found.append(f"{slug}-{found.count(slug)}" if slug in found else slug)
    return found


@every_page
def test_links_into_a_page_lead_to_a_heading(page):
    links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text())
    assert [
        (target, part) for target, part in links if part not in anchors(page.parent / target if target else page)
    ] == []


@every_page
def test_no_page_has_a_target_that_github_shows_as_text(page):
    assert re.findall(r"^\([\w-]+\)=$", page.read_text(), re.MULTILINE) == []


def test_the_files_named_on_the_architecture_page_exist():
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page.partition("## To change X, open Y")[2].partition("\n## ")[0]
    named = re.findall(r"`((?:\w+/)+[\w.]+\.\w+)`", table)
    assert named
    assert [name for name in named if not (PACKAGE / name).exists() and not (ROOT / name).exists()] == []
