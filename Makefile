# Variables that a command line may give: PYTHON, SESSION (of the tests, such as tests-3.12), ARGS (for pytest, or the
# names of benchmarks), SERVE (for the demo), MINUTES (for the faults), FULL (for the benchmarks).
PYTHON ?= python3
SERVE ?= 1
MINUTES ?= 30
FULL ?= 0
NOX = $(PYTHON) scripts/environment.py

.PHONY: help test test-newest test-all soak newer faults demo lint bench docs screenshots dist clean

help:
	@echo "make test         run the tests on this Python, in about five minutes  (PYTHON=python3.12, ARGS=\"-k name\")"
	@echo "make test-newest  run the same on the newest Python and servers, fetched from Debian's archive"
	@echo "make test-all     run every test on every database and every supported Python"
	@echo "make soak         run the long tests: processes killed under load, brokers, the browser"
	@echo "make newer        fetch newer Pythons and servers from Debian's archive, without installing them"
	@echo "make faults       make servers, networks and processes fail; check that each event counts once  (MINUTES=2)"
	@echo "make demo         try the example site on a real server  (SERVE=0: do not keep serving)"
	@echo "make lint         check format, style, types, import layers and missing migrations"
	@echo "make bench        measure, as ratios to what one would use instead  (FULL=1: at scale, ARGS=\"calls\": only that)"
	@echo "make docs         build the documentation into docs/_build/html"
	@echo "make screenshots  take pictures of the dashboard: wide and narrow, light and dark, in themes of the admin"
	@echo "make dist         build the sdist and the wheel of the last commit, and try the wheel on each Python found"
	@echo "make clean        remove the private environments and everything that was built"

test: export APP_METRICS_TEST_SCOPE = default
test: PLAN = The suite on SQLite, tests marked every_database also on PostgreSQL and MariaDB, Redis, and five pages in a browser. About five minutes on two cores.
test-newest: export APP_METRICS_TEST_SCOPE = default
test-newest: PLAN = As make test, on the newest Python, PostgreSQL, MariaDB, MySQL, Redis and Valkey. About eight minutes on two cores, and a minute to fetch them once.
test-all: export APP_METRICS_TEST_SCOPE = all
test-all: PLAN = Every test on every database and every supported Python found. About half an hour for each on two cores.
soak: export APP_METRICS_TEST_SCOPE = soak
soak: PLAN = The long tests at full length: processes killed under load, brokers, the browser.
test soak: SESSION = tests-$(shell $(PYTHON) -c "import sys; print('%d.%d' % sys.version_info[:2])")
test-newest: SESSION = tests-3.15
test-all: SESSION = tests
# A session that names a Python must not be skipped where that Python is missing; `tests` takes every Python found, and
# the newest one may be impossible to fetch.
MISSING = $(if $(filter tests-%,$(SESSION)),--error-on-missing-interpreters)
test-newest: MISSING = --no-error-on-missing-interpreters
# These sessions run on what scripts/newer.py fetches.
test-newest test-all: NEWER = $(if $(filter tests tests-3.14 tests-3.15,$(SESSION)),$(PYTHON) scripts/newer.py)

test test-newest test-all soak:
	@echo "$(PLAN)"
	@$(PYTHON) scripts/tested.py --begin
	@$(PYTHON) scripts/debian.py $@
	@$(NEWER)
	@$(NOX) $(MISSING) --report .venvs/tested/nox.json --session $(SESSION) -- $(ARGS); status=$$?; \
	    $(PYTHON) scripts/tested.py; exit $$status

newer:
	@$(PYTHON) scripts/newer.py

faults:
	@$(NOX) --session faults -- --minutes $(MINUTES)

# Without a shell in between, which would pass on no signal.
demo: export SERVE := $(SERVE)
demo:
	@$(PYTHON) scripts/demo.py

lint docs:
	@$(NOX) --session $@

screenshots:
	@$(PYTHON) scripts/debian.py $@
	@$(NOX) --session $@ -- $(ARGS)

dist:
	@$(PYTHON) scripts/newer.py python3.14 python3.15
	@$(NOX) --stop-on-first-error --session dist wheel

bench:
	@$(PYTHON) scripts/debian.py $@
	@FULL=$(FULL) $(NOX) --session bench -- $(ARGS)

clean:
	rm -rf .venvs .demo screenshots build dist docs/_build htmlcov *.egg-info .coverage .coverage.* \
	    benchmarks/results .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
