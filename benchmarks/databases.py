"""Databases of the example site for measuring: one is migrated, and every variant is given a copy."""

import shutil
from collections.abc import Callable
from pathlib import Path

from .variants import Environment, django, server

# What migrates; which variant is measured makes no difference to that.
MIGRATING = {"DJANGO_SETTINGS_MODULE": "benchmarks.site", "BENCHMARK_INSTRUMENTATION": "app_metrics"}


def copier(kind: str, folder: Path) -> Callable[[int], Environment]:
    """Return what makes numbered copies of a migrated database, and tells a site's environment where they are."""
    return {"sqlite": _sqlite, "postgresql": _postgresql}[kind](folder)


def _sqlite(folder: Path) -> Callable[[int], Environment]:
    def environment(path: Path) -> Environment:
        return {**MIGRATING, "EXAMPLE_DATABASE": "sqlite", "EXAMPLE_DB_NAME": str(path)}

    def copy(number: int) -> Environment:
        return environment(shutil.copy(original, folder / f"{number}.sqlite3"))

    original = folder / "original.sqlite3"
    django(environment(original), "migrate", "--verbosity=0")
    return copy


def _postgresql(folder: Path) -> Callable[[int], Environment]:
    import psycopg

    place = server("postgresql")

    def create(name: str, template: str) -> Environment:
        with psycopg.connect(
            host=place["HOST"], user=place["USER"], dbname=place["NAME"], autocommit=True
        ) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        coordinates = {**place, "NAME": name}
        variables = {f"EXAMPLE_DB_{key}": value for key, value in coordinates.items()}
        return {**MIGRATING, "EXAMPLE_DATABASE": "postgresql", **variables}

    django(create("original", "template1"), "migrate", "--verbosity=0")
    return lambda number: create(f"copy_{number}", "original")
