"""The code in README.md and docs/ works as written, pasted in its order into a fresh project.

`tests/support/documentation.py` reads it, `tests/support/reader.py` does what it says. The pages after README.md and
the tutorial begin with a shop that has README.md's settings; `tests/support/documented` has its code.
"""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import django
import pytest

from tests.support.documentation import PAGES, Step, steps
from tests.support.paths import ROOT
from tests.support.reader import DOCUMENTED, SHELL, Reader

# The beginning of what is not run, with its page where other pages run the same, and why.
NOT_RUN = {
    "pip ": "needs the package index; test_first_minute.py installs the wheel",
    "python3 -m venv": "test_first_minute.py makes an environment",
    ". venv/bin/activate": "the same",
    "python manage.py runserver": "goes on until it is stopped; test_first_minute.py visits it",
    "manage.py runserver": "goes on until it is stopped",
    "celery -A mysite": "goes on until it is stopped; tests/soak/brokers starts workers",
    "make ": "works on a checkout; test_example_site.py plays the parts of the demo",
    "EXAMPLE_": "the same, with each backend",
    "4. What was visited": "a part of what make demo prints",
    "  figure": "a part of what make demo prints",
    "Growth\n": "a part of what make demo prints",
    "7. Look at the dashboard": "a part of what make demo prints",
    "manage.py metrics_adopt": "needs a database of the first django-app-metrics; tests/adoption has some",
    "signups: days": "a line of metrics_adopt",
    "manage.py all_tenants_command": "a command of django-tenants, which needs PostgreSQL",
    "ALTER TABLE": "needs PostgreSQL",
    "docs/howto/sql.md -- ": "test_sql_in_the_docs.py runs it on every database",
    "docs/howto/clickhouse.md ": "test_clickhouse_in_the_docs.py runs it",
    "docs/scaling.md -- PostgreSQL": "tests/storage/test_partitions.py runs it",
    "DATABASES = {": "needs a server of that kind",
    "APP_METRICS_SPOOL_DIR": "a directory of the server",
    "scrape_configs:": "configures Prometheus",
    "docs/howto/redis.md manage.py": "asks the Redis of example.com; tests/backends/test_redis.py has one",
    "manage.py metrics_annotate TEXT": "TEXT is to be replaced",
    "manage.py metrics_import FILE": "FILE is to be replaced; the lines below it are imported",
}
if django.VERSION < (6, 0):
    NOT_RUN["from app_metrics.contrib.django_task_functions"] = "needs Django 6.0"
if not find_spec("pandas"):
    NOT_RUN["docs/reading.md from datetime import date\n\nfrom app_metrics.models import Metric\n\nframe"] = (
        "needs pandas"
    )

STEPS = {str(page.relative_to(ROOT)): list(steps(page)) for page in PAGES}
TOKEN = re.search(r"^([\w-]{43}) [0-9a-f]{64}$", (ROOT / "docs" / "howto" / "api.md").read_text(), re.MULTILINE)[1]
# Settings of the shop that its developer is assumed to have, and where its mails go in tests.
SHOP = """
INSTALLED_APPS += ["shop"]
ALLOWED_HOSTS = ["127.0.0.1", "example.com"]
TIME_ZONE = "Europe/Berlin"
for _alias in ("metrics", "other"):
    DATABASES[_alias] = {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / f"{_alias}.sqlite3"}
"""
if django.VERSION < (6, 1):
    SHOP += 'EMAIL_BACKEND = "shop.mail.EmailBackend"\n'
else:
    SHOP += 'MAILERS = {"default": {"BACKEND": "shop.mail.EmailBackend"}}\n'


def reasons(page: str, step: Step) -> set[str]:
    """Return the entries of NOT_RUN that a step has."""
    return {entry for entry in NOT_RUN if step.text.startswith(entry) or f"{page} {step.text}".startswith(entry)}


def to_do(page: str) -> list[Step]:
    return [step for step in STEPS[page] if not reasons(page, step)]


TUTORIAL = ("docs/tutorial.md", "docs/testing.md")
OTHERS = [page for page in STEPS if page not in ("README.md", *TUTORIAL) and to_do(page)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh project with the documented shop, to be copied."""
    folder = tmp_path_factory.mktemp("shop")
    reader = Reader(folder)
    reader.run("django-admin startproject mysite .")
    for app in ("shop", "chat"):
        shutil.copytree(DOCUMENTED / app, folder / app)
    (folder / "mysite" / "urls.py").write_text("from shop.urls import urlpatterns\n")
    with (folder / "mysite" / "settings.py").open("a") as settings:
        settings.write(SHOP)
    reader.run("python manage.py makemigrations shop")
    return folder


@pytest.fixture(scope="module")
def counting_shop(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after README.md: with its settings, migrated, and with some history."""
    reader = Reader(tmp_path_factory.mktemp("counting") / "shop")
    shutil.copytree(shop, reader.folder)
    assert reader.follow(step for step in to_do("README.md") if step.file) == []
    reader.run("python manage.py migrate")
    remember(reader)
    return reader.folder


def remember(reader: Reader) -> None:
    reader.run(SHELL, (DOCUMENTED / "history.py").read_text())


def test_everything_is_either_run_or_listed() -> None:
    assert [
        str(step)
        for page in STEPS
        for step in STEPS[page]
        if not reasons(page, step) and not hasattr(Reader, step.kind)
    ] == []


def test_what_is_listed_is_in_the_documentation() -> None:
    assert {entry for page in STEPS for step in STEPS[page] for entry in reasons(page, step)} == NOT_RUN.keys()


@pytest.mark.slow
def test_readme_works_as_written(shop: Path, tmp_path: Path) -> None:
    reader = Reader(tmp_path / "shop")
    shutil.copytree(shop, reader.folder)
    todo = to_do("README.md")
    migrated = 1 + next(number for number, step in enumerate(todo) if step.text == "python manage.py migrate")
    assert reader.follow(todo[:migrated]) == []
    remember(reader)
    assert reader.follow(todo[migrated:]) == []


@pytest.mark.slow
def test_the_tutorial_and_the_tests_of_its_site_work_as_written(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    assert [reader.follow(to_do(page)) for page in TUTORIAL] == [[], []]


@pytest.mark.slow
@pytest.mark.parametrize("page", OTHERS)
def test_a_page_works_as_written(page: str, counting_shop: Path, tmp_path: Path) -> None:
    reader = Reader(tmp_path / "shop", TOKEN)
    shutil.copytree(counting_shop, reader.folder)
    assert reader.follow(to_do(page)) == []
