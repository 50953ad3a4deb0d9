"""The house as it was agreed: rooms on floors, no circles, no eager imports of optional packages."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "app_metrics"

FLOORS = {
    0: {"conf", "periods", "summary", "arguments", "drops", "routers", "signals", "spans", "figures"},
    1: {"fields", "readings", "models", "sql", "backends", "backends.base", "backends.retrying"},
    2: {"backends"},
    3: {"handover", "collector", "recording", "catalog"},
    4: {"contrib"},
    5: {
        "aggregation",
        "alert_rules",
        "alerts",
        "declared",
        "exporting",
        "importing",
        "mailing",
        "milestones",
        "outbox",
        "recipients",
        "rendering",
        "retention",
        "reports",
        "rulebook",
        "telling",
        "trending",
    },
    6: {
        "",
        "utils",
        "middleware",
        "admin",
        "checks",
        "apps",
        "testing",
        "pytest_plugin",
        "management",
        "templatetags",
        "urls",
        "views",
    },
}
EXACT = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
EXACT["backends"] = 1

# What may be imported anywhere in the package, apart from the package itself.
REQUIRED = {"django", "appconf", "asgiref"}
# Optional packages, and the only module that may import each; all but pytest's inside a function.
OPTIONAL = {
    "css_inline": "rendering",
    "pytest": "pytest_plugin",
    "tqdm": "management.progress",
}


def module_name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts}


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
def test_only_required_packages_are_imported_outside_their_room(module):
    import sys

    known = REQUIRED | set(sys.stdlib_module_names)
    odd = [package for _, package, _ in imports(module) if package and package not in known]
    assert all(OPTIONAL.get(package) == module for package in odd)


def test_modules_stay_short():
    long = {module: lines for module, path in MODULES.items() if (lines := path.read_text().count("\n")) > 300}
    assert long == {}
