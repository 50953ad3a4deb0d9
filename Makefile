# Variables that a command line may give: PYTHON, SESSION (of the tests, such as tests-3.12), ARGS (for pytest, or the
# names of benchmarks), SERVE (for the demo), MINUTES (for the faults), FULL (for the benchmarks).
PYTHON ?= python3
SERVE ?= 1
MINUTES ?= 30
FULL ?= 0
NOX = $(PYTHON) scripts/environment.py

.PHONY: help test test-all soak faults demo lint bench docs dist clean

help:
	@echo "make test      run the tests on this Python, in about five minutes  (PYTHON=python3.12, ARGS=\"-k name\")"
	@echo "make test-all  run every test on every database and every supported Python"
	@echo "make soak      run the long tests: processes killed under load, brokers, the browser"
	@echo "make faults    make servers, networks and processes fail, and check that each event counts once  (MINUTES=2)"
	@echo "make demo      try the example site on a real server  (SERVE=0: do not keep serving)"
	@echo "make lint      check format, style, types, import floors and missing migrations"
	@echo "make bench     measure, as ratios to what one would use instead  (FULL=1: at scale, ARGS=\"calls\": only that)"
	@echo "make docs      build the documentation into docs/_build/html"
	@echo "make dist      build the sdist and the wheel of the last commit into dist/, and try the wheel on each Python found"
	@echo "make clean     remove the private environments and everything that was built"

test: export APP_METRICS_TEST_SCOPE = default
test: PLAN = The suite on SQLite, tests marked every_database also on PostgreSQL and MariaDB, Redis, and five pages in a browser. About five minutes on two cores.
test-all: export APP_METRICS_TEST_SCOPE = all
test-all: PLAN = Every test on every database and every supported Python found. About half an hour for each on two cores.
soak: export APP_METRICS_TEST_SCOPE = soak
soak: PLAN = The long tests at full length: processes killed under load, brokers, the browser.
test soak: SESSION = tests-$(shell $(PYTHON) -c "import sys; print('%d.%d' % sys.version_info[:2])")
test-all: SESSION = tests
# A session that names a Python must not be skipped where that Python is missing; `tests` takes every Python found.
MISSING = $(if $(filter tests-%,$(SESSION)),--error-on-missing-interpreters)

test test-all soak:
	@echo "$(PLAN)"
	@$(PYTHON) scripts/debian.py $@
	@$(NOX) $(MISSING) --session $(SESSION) -- $(ARGS)

faults:
	@$(NOX) --session faults -- --minutes $(MINUTES)

demo:
	@SERVE=$(SERVE) $(PYTHON) scripts/demo.py

lint docs:
	@$(NOX) --session $@

dist:
	@$(NOX) --stop-on-first-error --session dist wheel

bench:
	@$(PYTHON) scripts/debian.py $@
	@FULL=$(FULL) $(NOX) --session bench -- $(ARGS)

clean:
	rm -rf .venvs .demo build dist docs/_build htmlcov *.egg-info .coverage .coverage.* \
	    benchmarks/results .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
