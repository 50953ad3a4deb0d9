"""The rules of docs/architecture.md: layers of packages, no import cycles, no eager imports of optional packages."""

import ast
import re
import statistics
import sys
from configparser import ConfigParser
from functools import cache

from tests.support.paths import PACKAGE, ROOT

# Lowest first. A module imports from its own layer or a lower one; "" is the package itself.
LAYERS = (
    {"conf", "setting_values", "signals"},
    {"core"},
    {"transport"},
    {"models"},
    {"storage", "trending"},
    {"backends"},
    {"recording"},
    {"contrib", "definitions", "ratios"},
    {"notifications"},
    {"aggregation"},
    {"reports", "dashboard", "api", "transfer", "adoption", "autopilot", "suggestions"},
    {
        "",
        "admin",
        "apps",
        "checks",
        "exceptions",
        "management",
        "middleware",
        "tasks",
        "templatetags",
        "testing",
        "urls",
        "utils",
    },
)
LAYER = {package: layer for layer, packages in enumerate(LAYERS) for package in packages}

# Packages that every module may import.
REQUIRED = {"django", "appconf", "asgiref"}
# Optional packages, and the only modules that may import each, inside a function or as one of CHOSEN.
OPTIONAL = {
    "celery": {"backends.celery", "contrib.celery", "tasks"},
    "css_inline": {"reports.rendering"},
    "datadog": {"backends.statsd"},
    "kombu": {"backends.celery_publisher"},
    "opentelemetry": {"backends.otel"},
    "pandas": {"models.dataframes"},
    "prometheus_client": {"api.prometheus"},
    "pytest": {"testing.pytest_plugin"},
    "redis": {"backends.redis.backend", "backends.redis.client", "backends.redis.scripts", "backends.redis.shard"},
    "tqdm": {"management.progress"},
}
# Modules that load only when chosen: backends by the settings, tasks by a Celery worker, Celery's signal handlers by an
# import, the plugin by pytest. They may import optional packages at module level.
CHOSEN = {
    "backends.celery",
    "backends.celery_publisher",
    "backends.otel",
    "backends.redis",
    "backends.redis.backend",
    "backends.redis.client",
    "backends.redis.codec",
    "backends.redis.scripts",
    "backends.redis.shard",
    "backends.statsd",
    "contrib.celery",
    "tasks",
    "testing.pytest_plugin",
}
LONGEST_MODULE = 300
# Lines of a function, including decorators and docstring.
MEDIAN_FUNCTION, NINE_IN_TEN_FUNCTIONS = 8, 25


def module_name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts}
TREES = {module: ast.parse(path.read_text()) for module, path in MODULES.items()}
PAGE = (ROOT / "docs" / "architecture.md").read_text()
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def package(module):
    return module.partition(".")[0]


@cache
def imports(module):
    """Return (imported module of this package or None, top-level package or None, name of the function or None)."""
    return list(_imports(module))


def _imports(module):
    tree = TREES[module]
    functions = (node for node in ast.walk(tree) if isinstance(node, FUNCTIONS))
    inside = {id(node): function.name for function in functions for node in ast.walk(function)}
    typing_only = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only and not (isinstance(node, ast.ImportFrom) and node.level):
            continue  # a package that only type checkers load
        if isinstance(node, ast.Import):
            yield from ((None, alias.name.partition(".")[0], inside.get(id(node))) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield None, node.module.partition(".")[0], inside.get(id(node))
        elif isinstance(node, ast.ImportFrom):
            yield from ((found, None, inside.get(id(node))) for found in resolve(module, node))


def resolve(module, node):
    """Return the modules of this package that a relative import names."""
    is_package = MODULES[module].name == "__init__.py"
    parts = module.split(".") if module else []
    base = parts[: len(parts) - (node.level - is_package)]
    origin = ".".join([*base, *(node.module.split(".") if node.module else [])])
    named = [".".join(filter(None, [origin, alias.name])) for alias in node.names]
    return [name if name in MODULES else origin for name in named]


def hands_on(node):
    """Return whether a statement imports names or lists them in `__all__`."""
    is_list = isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]
    return is_list or isinstance(node, (ast.Import, ast.ImportFrom))


def length(function):
    first = min(node.lineno for node in [function, *function.decorator_list])
    return function.end_lineno - first + 1


def circle(graph):
    """Return the nodes on a cycle, or that depend on one; none if the graph has no cycle."""
    graph = {node: set(needed) - {node} for node, needed in graph.items()}
    while leaves := [node for node, needed in graph.items() if not needed & graph.keys()]:
        for leaf in leaves:
            del graph[leaf]
    return sorted(graph)


def test_no_import_runs_back_up_and_none_hides_in_a_function():
    """Only `AppConfig.ready` may import within a function."""
    found = [
        (module, other, function) for module in MODULES for other, _, function in imports(module) if other is not None
    ]
    higher = [(module, other) for module, other, _ in found if LAYER[package(other)] > LAYER[package(module)]]
    hidden = {(module, function) for module, _, function in found if function}
    assert higher == []
    assert hidden <= {("apps", "ready")}


def test_the_page_lists_the_same_layers_and_every_package():
    packages, _, layers = PAGE.partition("## Packages")[2].partition("### Layers")
    listed = re.findall(r"^\| \d+ \| (.+) \|$", layers, re.MULTILINE)
    assert [set(re.findall(r"`(\w+)`", row)) for row in listed] == [layer - {""} for layer in LAYERS]
    # A folder that was moved may still hold compiled files.
    files = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    folders = {path.relative_to(PACKAGE).parts[0] for path in files if path.parent != PACKAGE}
    assert set(re.findall(r"`(\w+)/`", packages)) == folders


def test_there_is_no_circle_of_modules_nor_of_packages():
    needed = {
        module: {found for found, _, inside in imports(module) if found is not None and not inside}
        for module in MODULES
    }
    packages = {}
    for module, others in needed.items():
        packages.setdefault(package(module), set()).update(map(package, others))
    assert circle(needed) == []
    assert circle(packages) == []


def test_an_init_describes_its_package_and_only_hands_names_on():
    inits = {module: TREES[module] for module, path in MODULES.items() if path.name == "__init__.py"}
    assert [module for module, tree in inits.items() if not ast.get_docstring(tree)] == []
    assert [
        (module, ast.unparse(node)) for module, tree in inits.items() for node in tree.body[1:] if not hands_on(node)
    ] == []


def test_optional_packages_are_imported_only_by_their_modules():
    known = REQUIRED | set(sys.stdlib_module_names)
    for module in MODULES:
        others = [(found, inside) for _, found, inside in imports(module) if found and found not in known]
        misplaced = [found for found, _ in others if module not in OPTIONAL.get(found, ())]
        eager = [found for found, inside in others if not inside and module not in CHOSEN]
        chosen = {found for found, _, inside in imports(module) if not inside} & CHOSEN
        assert (module, misplaced, eager) == (module, [], [])
        assert module in CHOSEN or not chosen, f"{module} imports {chosen}"


def test_a_backend_that_needs_a_package_has_an_extra_of_its_name():
    setup = ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    backends = {
        module.partition(".")[2] for module in CHOSEN if module.count(".") == 1 and package(module) == "backends"
    }
    assert backends - {"celery_publisher"} <= set(setup["options.extras_require"])


def test_modules_and_functions_stay_short():
    long = {
        module: lines for module, path in MODULES.items() if (lines := path.read_text().count("\n")) > LONGEST_MODULE
    }
    functions = sorted(
        length(node) for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, FUNCTIONS)
    )
    assert long == {}
    assert statistics.median(functions) <= MEDIAN_FUNCTION
    assert functions[len(functions) * 9 // 10] <= NINE_IN_TEN_FUNCTIONS
