# Needs Python 3.11 to 3.13, make and pip; everything else goes into .venv.

# The first Python that Facet runs on; `make PYTHON=/path/to/python ...` takes another.
SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	"$$name" -c '$(SUITABLE)' 2>/dev/null && echo "$$name" && break; done)
# Tests run in so many processes.
WORKERS ?= 2

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-input
STAMP := .venv/.installed
PYTEST := $(BIN)/python -m pytest

.PHONY: help setup demo test test-long test-gpu lint types format clean

help:
	@echo "make setup      make .venv and install Facet in it"
	@echo "make demo       draw, pack, train, kill, resume, evaluate, export and predict in the folder demo/"
	@echo "make test       linter, type checker and tests; what .ci/run calls"
	@echo "make test-long  full sizes and whole matrices"
	@echo "make test-gpu   tests that need a GPU"
	@echo "make lint types format clean"

setup: $(STAMP)

# Made anew when a requirement changes. The stamp comes last: an interrupted installation is repeated.
$(STAMP): requirements-cpu.txt requirements-dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 to 3.13 found; give one with PYTHON=/path/to/python" >&2; exit 1; }
	"$(PYTHON)" -c '$(SUITABLE)' || { echo "make: $(PYTHON) is not Python 3.11 to 3.13" >&2; exit 1; }
	"$(PYTHON)" -m venv .venv
	$(PIP) -r requirements-cpu.txt -r requirements-dev.txt
	$(PIP) --no-deps --editable .
	@touch $(STAMP)

demo: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" bash scripts/demo.sh demo

test: lint types
	$(PYTEST) -n $(WORKERS) --dist loadgroup -m "not long and not gpu"

test-long: setup
	$(PYTEST) -n $(WORKERS) --dist loadgroup -m "long and not gpu" --timeout 3600

test-gpu: setup
	$(PYTEST) -m gpu --timeout 3600

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Leaves .venv and the runs in history/ alone.
clean:
	rm -rf build demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path "./.venv/*" -prune -exec rm -rf {} +
