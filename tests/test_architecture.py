"""The house as it was agreed: rooms on floors, no circles, no eager imports of optional packages."""

import ast
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "app_metrics"

FLOORS = {
    0: {
        "conf",
        "periods",
        "summary",
        "arguments",
        "drops",
        "forking",
        "merging",
        "routers",
        "signals",
        "spans",
        "figures",
        "selection",
        "spool",
        "wire",
    },
    1: {
        "fields",
        "sums",
        "readings",
        "folding",
        "waiting",
        "models",
        "sql",
        "backends",
        "backends.base",
        "backends.breaker",
        "backends.kept",
        "backends.retrying",
    },
    2: {"backends", "ledger", "replaying"},
    3: {"buffer", "handover", "collector", "recording", "catalog"},
    4: {"contrib"},
    5: {
        "aggregation",
        "charts",
        "claimed",
        "drawing",
        "overview",
        "alert_rules",
        "alerts",
        "backfilling",
        "declared",
        "exporting",
        "facts",
        "gathering",
        "health",
        "exposition",
        "importing",
        "mailing",
        "milestones",
        "outbox",
        "recency",
        "recipients",
        "rendering",
        "retention",
        "reports",
        "rulebook",
        "running",
        "source_tables",
        "stored_hours",
        "telling",
        "trending",
        "unused",
        "verifying",
    },
    6: {
        "",
        "utils",
        "middleware",
        "asgi",
        "access",
        "admin",
        "api",
        "api_parameters",
        "checks",
        "apps",
        # They do what commands do, so they stand where commands stand.
        "tasks",
        "django_tasks",
        "testing",
        "pytest_plugin",
        "management",
        "templatetags",
        "urls",
        "values",
        "views",
    },
}
EXACT = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
EXACT["backends"] = 1

# What may be imported anywhere in the package, apart from the package itself.
REQUIRED = {"django", "appconf", "asgiref"}
# Optional packages, and the only modules that may import each, inside a function or as one of CHOSEN.
OPTIONAL = {
    "celery": {"backends.celery", "contrib.celery", "tasks"},
    "css_inline": {"rendering"},
    "datadog": {"backends.statsd"},
    "kombu": {"backends.publishers"},
    "opentelemetry": {"backends.otel"},
    "prometheus_client": {"exposition"},
    "pygal": {"drawing"},
    "pytest": {"pytest_plugin"},
    "redis": {"backends.redis", "backends.redis.connecting", "backends.redis.scripts", "backends.redis.shard"},
    "tqdm": {"management.progress"},
}
# Modules that nothing is loaded from until somebody chooses them: a backend by the settings, Celery's tasks by its
# worker, what listens to Celery by importing that, our plugin by pytest. What they import they may import at once.
CHOSEN = {
    "backends.celery",
    "backends.otel",
    "backends.publishers",
    "backends.redis",
    "backends.statsd",
    "contrib.celery",
    "pytest_plugin",
    "tasks",
}


def module_name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts}


CHOSEN |= {module for module in MODULES if module.startswith("backends.redis.")}


def floor(module):
    if module in EXACT:
        return EXACT[module]
    return 2 if module.startswith("backends.") else EXACT[module.partition(".")[0]]


def imports(module):
    """Yield (imported module of this package or None, top-level package or None, is inside a function)."""
    tree = ast.parse(MODULES[module].read_text())
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    typing_only = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((None, alias.name.partition(".")[0], id(node) in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield None, node.module.partition(".")[0], id(node) in inside
        elif isinstance(node, ast.ImportFrom):
            yield from ((found, None, id(node) in inside) for found in resolve(module, node))


def resolve(module, node):
    """Return the modules of this package that a relative import names."""
    is_package = MODULES[module].name == "__init__.py"
    parts = module.split(".") if module else []
    base = parts[: len(parts) - (node.level - is_package)]
    origin = ".".join([*base, *(node.module.split(".") if node.module else [])])
    named = [".".join(filter(None, [origin, alias.name])) for alias in node.names]
    return [name if name in MODULES else origin for name in named]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_from_its_own_floor_or_a_lower_one(module):
    higher = [
        found
        for found, _, inside in imports(module)
        if found is not None and not inside and floor(found) > floor(module)
    ]
    assert higher == []


def test_there_are_no_import_circles():
    graph = {
        module: {found for found, _, inside in imports(module) if found is not None and not inside} - {module}
        for module in MODULES
    }
    while leaves := [module for module, needed in graph.items() if not needed & graph.keys()]:
        for leaf in leaves:
            del graph[leaf]
    assert sorted(graph) == []


@pytest.mark.parametrize("module", sorted(MODULES))
def test_an_import_inside_a_function_is_of_an_optional_package_or_in_ready(module):
    odd = [found or package for found, package, inside in imports(module) if inside and package not in OPTIONAL]
    assert odd == [] or module == "apps"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_an_optional_package_is_imported_in_its_room_and_only_when_it_is_needed(module):
    known = REQUIRED | set(sys.stdlib_module_names)
    odd = [(package, inside) for _, package, inside in imports(module) if package and package not in known]
    assert all(module in OPTIONAL.get(package, ()) for package, _ in odd)
    assert module in CHOSEN or all(inside for _, inside in odd)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_what_is_loaded_when_chosen_is_not_imported_by_others(module):
    eager = {found for found, _, inside in imports(module) if not inside}
    assert module in CHOSEN or not eager & CHOSEN


@pytest.mark.parametrize("backend", ["celery", "otel", "redis", "statsd"])
def test_a_backend_that_needs_a_package_has_an_extra_of_its_name(backend):
    setup = ConfigParser(interpolation=None)
    setup.read(PACKAGE.parent / "setup.cfg")
    assert f"backends.{backend}" in CHOSEN
    assert backend in setup["options.extras_require"]


def test_modules_stay_short():
    long = {module: lines for module, path in MODULES.items() if (lines := path.read_text().count("\n")) > 300}
    assert long == {}
