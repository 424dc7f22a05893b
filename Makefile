# Two commands: `make demo` and `make test`. Both make .venv on first use and reuse it afterwards.

PYTHON ?= python3
WORKERS ?= 2
ARGS ?=
TESTS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
XVENV := .venv-extras
XSTAMP := $(XVENV)/.installed
XEXTRAS := dev,fast,pettingzoo,mo,offline,torchrl,render,slurm
XTESTS := tests/test_toolchain.py tests/test_hub_agents.py tests/test_mo_env.py tests/test_datasets.py tests/test_torchrl_env.py tests/test_recipes.py

# one thread per process: on a busy two-core machine more threads only wait for each other
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-extras lint types docs clean

help:  ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Greenhop needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | head -n 1)." \
	       "Name one that fits: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "==> making $(VENV) with $$($(PYTHON) --version)"; \
	  $(PYTHON) -m venv --clear $(VENV) || { \
	    echo "'$(PYTHON) -m venv' failed; Debian and Ubuntu keep it in the package python3-venv." >&2; exit 2; }; }
	@echo "==> installing the versions of constraints.txt into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

venv: $(STAMP)  ## make .venv and install everything into it

demo: $(STAMP)  ## train on days of two hubs and score the agent (under 5 minutes)
	@echo "==> scripts/demo.py"
	@$(BIN)/python scripts/demo.py $(ARGS)

test: lint types docs  ## lint, types, import rules, pages and all tests (under 10 minutes)
	@echo "==> pytest on $(WORKERS) processes"
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal $(TESTS)

$(XSTAMP): pyproject.toml constraints.txt
	@echo "==> making $(XVENV) with the packages of other communities (a few minutes the first time)"
	@$(PYTHON) -m venv --clear $(XVENV)
	@$(XVENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(XEXTRAS)]'
	@touch $@

test-extras: $(XSTAMP)  ## what `make test` skips for want of packages, in a second environment; ends with what is skipped still
	@echo "==> pytest with $(XEXTRAS)"
	@$(XVENV)/bin/python -m pytest -q -n $(WORKERS) --dist worksteal $(XTESTS)

lint: $(STAMP)  ## ruff (rules and format) and import-linter: seconds
	@echo "==> ruff check"
	@$(BIN)/python -m ruff check .
	@echo "==> ruff format --check"
	@$(BIN)/python -m ruff format --check --quiet . || { \
	  echo "Not formatted; this puts it right: $(BIN)/python -m ruff format ." >&2; exit 1; }
	@echo "==> lint-imports"
	@$(BIN)/lint-imports --no-logo --cache-dir .cache/import_linter

types: $(STAMP)
	@echo "==> mypy --strict"
	@$(BIN)/python -m mypy

docs: $(STAMP)  ## build the pages into site/ (open site/index.html); a warning is an error
	@echo "==> mkdocs build"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet --clean

clean:  ## remove .venv, caches and built pages; runs/ stays
	rm -rf $(VENV) $(XVENV) site dist build .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
