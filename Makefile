# What a developer types. `make` alone tells what there is.

VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.package

# The interpreter that the virtual environment is made of: the first that will do, or the one that you name.
PYTHON ?= python3
PYTHONS := $(strip $(PYTHON) $(if $(filter file,$(origin PYTHON)),python3.14 python3.13 python3.12 python3.11))

PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# More than four would be more API servers at once than most machines are fond of.
PARALLEL := -n auto --maxprocesses 4
MODEL := operator/bek_operator/model/*

UV := 0.13.9
LOCKER := .make/uv-$(UV)/bin
LOCK := $(LOCKER)/uv pip compile --quiet --system-certs --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --annotation-style line --custom-compile-command 'make lock' \
	$(if $(UPGRADE),--upgrade)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

.PHONY: help
help:  ## List the targets
	@awk -F ':.*##' '/^[a-z]+:.*##/ { printf "  make %-8s%s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(READY)  ## Show the operator at work, on an API server and phone numbers of its own; Ctrl-C ends it
	@exec env PYTHONPATH=operator:tests $(BIN)/python -m kit.demo

.PHONY: test
test: $(READY)  ## Run the whole gate: format, lint, types, layers, dependencies, all tests, a quick bench, a clean tree
	@mkdir -p .make
	@git status --porcelain >.make/before 2>&1 || echo 'not a checkout' >.make/before
	@$(MAKE) --no-print-directory lint
	@PYTHONPATH=operator:tests $(BIN)/python -m kit.binaries >/dev/null
	$(BIN)/pytest --cov $(PARALLEL) --dist loadfile
	@$(BIN)/coverage report --include='$(MODEL)' --fail-under=100 --format=total >/dev/null || \
	{ $(BIN)/coverage report --include='$(MODEL)' --fail-under=100; exit 1; }
	@$(MAKE) --no-print-directory bench QUICK=1
	@if [ ! -s .make/before ] && [ -n "$$(git status --porcelain)" ]; then \
	  echo 'make test: the tree was clean before, and now there is:' >&2; git status --short >&2; exit 1; \
	fi

.PHONY: bench
bench: $(READY)  ## Measure speed and size against what is promised, in 15 minutes (QUICK=1: two, and only see it work)
	@exec env PYTHONPATH=operator:tests QUICK=$(QUICK) $(BIN)/python -m bench

.PHONY: unit
unit: $(READY)  ## Run the unit tests alone
	$(BIN)/pytest $(PARALLEL) tests/unit

.PHONY: lint
lint: $(READY)  ## Check format, lint, types, layers and dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=operator $(BIN)/lint-imports --no-logo
	$(BIN)/deptry --no-ansi operator

.PHONY: format
format: $(READY)  ## Format, and repair what can be repaired safely
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: lock
lock: $(LOCKER)/uv  ## Renew requirements*.txt from pyproject.toml (UPGRADE=1: with the newest releases)
	$(LOCK) pyproject.toml --output-file requirements.txt >/dev/null
	$(LOCK) pyproject.toml --group dev --constraints requirements.txt --output-file requirements-dev.txt >/dev/null
	$(LOCKER)/python -c 'import tomllib; build = tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"]; \
	print(*build, "editables", sep="\n")' | \
	$(LOCK) - --constraints requirements-dev.txt --output-file requirements-build.txt >/dev/null

.PHONY: clean
clean:  ## Remove what make has made here (the API server stays in your cache folder)
	rm -rf $(VENV) .make dist .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find operator tests -name __pycache__ -prune -exec rm -rf {} +

$(READY): pyproject.toml $(VENV)/.requirements
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.requirements: requirements-build.txt requirements-dev.txt
	@$(call make_venv,$(VENV))
	@$(PIP_INSTALL) --require-hashes --requirement requirements-build.txt --requirement requirements-dev.txt
	@touch $@

$(LOCKER)/uv:
	@$(call make_venv,.make/uv-$(UV))
	@$(LOCKER)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)

define make_venv
for candidate in $(PYTHONS); do \
  if "$$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
    echo "making $(1) with $$("$$candidate" --version); this takes a minute"; \
    exec "$$candidate" -m venv --clear $(1); \
  fi; \
done; \
echo 'Python 3.11 or newer is needed, with its module venv (Debian and Ubuntu: apt-get install python3-venv).' >&2; \
echo 'None of these will do: $(PYTHONS). Name another one with: make PYTHON=/path/to/python' >&2; \
exit 1
endef
