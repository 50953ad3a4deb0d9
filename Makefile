# The variables that a command line may give: ARGS (for pytest, or the names of benchmarks), SERVE (for the demo), MINUTES
# (for the faults), FULL (for the benchmarks).
PYTHON ?= python3
SERVE ?= 1
MINUTES ?= 30
FULL ?= 0
LINT = $(PYTHON) scripts/environment.py lint,test
NO_SERVERS = -p no:tests.support.services

.PHONY: help test faults demo lint bench docs clean

help:
	@echo "make test    run the tests on every supported Python found  (ARGS=\"-k name\")"
	@echo "make faults  kill, cut off and fill up whatever counts, and see that it counts once  (MINUTES=2: only for a look)"
	@echo "make demo    try the example site on a real server  (SERVE=0: do not keep serving)"
	@echo "make lint    check format, style, types, import floors and missing migrations"
	@echo "make bench   measure, as ratios to what one would use instead  (FULL=1: at scale, ARGS=\"calls\": only that)"
	@echo "make docs    build the documentation into docs/_build/html"
	@echo "make clean   remove the private environments and all that was built"

test:
	@$(PYTHON) scripts/run_tests.py $(ARGS)

faults:
	$(PYTHON) scripts/environment.py test,mariadb -m tests.soak.faults --minutes $(MINUTES)

demo:
	@SERVE=$(SERVE) $(PYTHON) scripts/demo.py

lint:
	$(LINT) -m ruff format --check .
	$(LINT) -m ruff check .
	$(LINT) -m mypy app_metrics
	$(LINT) -m pytest $(NO_SERVERS) --quiet tests/project/test_architecture.py
	$(LINT) -m django makemigrations --check --dry-run --settings tests.settings --pythonpath .

bench:
	@FULL=$(FULL) $(PYTHON) scripts/bench.py $(ARGS)

docs:
	$(PYTHON) scripts/environment.py docs -m sphinx -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf .venvs .demo build dist docs/_build htmlcov *.egg-info .coverage .coverage.* \
	    benchmarks/results .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
