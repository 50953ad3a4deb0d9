# The variables that a command line may give: ARGS (for pytest), SERVE (for the demo).
PYTHON ?= python3
SERVE ?= 1
LINT = $(PYTHON) scripts/environment.py lint,test
NO_SERVERS = -p no:tests.services

.PHONY: help test demo lint bench docs clean

help:
	@echo "make test    run the tests on every supported Python found  (ARGS=\"-k name\")"
	@echo "make demo    try the example site on a real server  (SERVE=0: stop after the comparison)"
	@echo "make lint    check format, style, types, import floors and missing migrations"
	@echo "make bench   measure, as ratios within one run"
	@echo "make docs    build the documentation into docs/_build/html"
	@echo "make clean   remove the private environments and all that was built"

test:
	@$(PYTHON) scripts/run_tests.py $(ARGS)

demo:
	@SERVE=$(SERVE) $(PYTHON) scripts/demo.py

lint:
	$(LINT) -m ruff format --check .
	$(LINT) -m ruff check .
	$(LINT) -m mypy app_metrics
	$(LINT) -m pytest $(NO_SERVERS) --quiet tests/test_architecture.py
	$(LINT) -m django makemigrations --check --dry-run --settings tests.settings --pythonpath .

bench:
	$(PYTHON) scripts/environment.py test -m benchmarks.reports

docs:
	$(PYTHON) scripts/environment.py docs -m sphinx -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf .venvs .demo build dist docs/_build htmlcov *.egg-info .coverage .coverage.* \
	    benchmarks/results .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
