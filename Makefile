# Commands for developers. `make` alone lists them.

# The interpreter of the virtual environment: the first suitable one, or the one that you name, which gets an
# environment of its own.
PYTHON ?= python3
NAMED := $(filter-out file,$(origin PYTHON))
PYTHONS := $(strip $(PYTHON) $(if $(NAMED),,python3.14 python3.13 python3.12 python3.11))
# That of the image, from the Dockerfile.
IMAGE_PYTHON := $(shell sed -n 's/^ARG BASE=\(python\):\([0-9]*\.[0-9]*\).*/\1\2/p' Dockerfile)

VENV ?= $(if $(NAMED),.make/$(subst /,-,$(PYTHON)),.venv)
BIN := $(VENV)/bin
READY := $(VENV)/.package

PIP := $(BIN)/python -m pip
# A lock is complete, so it is installed without resolving: new releases change nothing here. Wheels only, because a
# build from sources would install unpinned build tools. Modules are compiled at their first import; most are never imported.
INSTALL := install --quiet --disable-pip-version-check --no-deps --no-compile
INSTALL_LOCKED := $(INSTALL) --only-binary :all: --require-hashes

# Each worker starts an API server, so at most four.
PYTEST := $(BIN)/pytest -n auto --maxprocesses 4
PURE := operator/bek_operator/crd/*,operator/bek_operator/endpoint/*,operator/bek_operator/keys/*,operator/bek_operator/net/*,operator/bek_operator/numbers/*,operator/bek_operator/status/*

LOCKER := .make/lock
LOCK := $(LOCKER)/bin/uv pip compile --quiet --system-certs --universal --python-version 3.11 --only-binary :all: \
	--generate-hashes --no-emit-index-url --no-emit-find-links --annotation-style line \
	--custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)

AUDITOR := .make/audit
# All but a pip that is old on purpose: tests install the locks with it.
AUDITED := $(filter-out requirements-pip-oldest.txt,$(wildcard requirements*.txt))

WORKFLOWS := $(wildcard .github/workflows/*.yml)
# The image's repository in rendered manifests, without a tag, which is the version.
IMAGE_REPOSITORY ?= bek-operator

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

.PHONY: help
help:  ## List the targets
	@awk -F ':.*##' '/^[a-z-]+:.*##/ { printf "  make %-18s%s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(READY)  ## Show the operator at work, with its own API server and simulated phone numbers; Ctrl-C ends it
	@exec env PYTHONPATH=operator:tests:. $(BIN)/python -m demo

.PHONY: test
test: $(READY)  ## Run the whole gate: format, lint, types, layers, dependencies, all tests, a quick bench, a clean tree
	@mkdir -p .make
	@date +%s >.make/began
	@git status --porcelain >.make/before 2>&1 || echo 'not a checkout' >.make/before
	@$(MAKE) --no-print-directory lint lint-workflows
	@PYTHONPATH=operator:tests:. $(BIN)/python -m support.programs.binaries >/dev/null
	$(PYTEST) --cov --dist loadfile --durations 10
	@$(BIN)/coverage report --include='$(PURE)' --fail-under=100 --format=total >/dev/null || \
	{ $(BIN)/coverage report --include='$(PURE)' --fail-under=100; exit 1; }
	@$(MAKE) --no-print-directory bench QUICK=1
	@if [ ! -s .make/before ] && [ -n "$$(git status --porcelain)" ]; then \
	  echo 'make test: the tree was clean before, and now it has changes:' >&2; git status --short >&2; exit 1; \
	fi
	@seconds=$$(($$(date +%s) - $$(cat .make/began))); \
	echo "make test: everything passed, in $$((seconds / 60)) min $$((seconds % 60)) s"

.PHONY: test-image-python
test-image-python:  ## Run the unit and cluster tests on the Python version of the image, where this machine has it
	@if ($(call find_python,$(IMAGE_PYTHON))) 2>/dev/null; then \
	  $(MAKE) --no-print-directory test-python PYTHON=$(IMAGE_PYTHON); \
	else \
	  echo 'make $@: SKIPPED. The image has $(IMAGE_PYTHON), and no such program that works is on PATH here.'; \
	fi

.PHONY: test-python
test-python: $(READY)  ## Run the unit and cluster tests alone, on another Python: make test-python PYTHON=python3.14
	$(PYTEST) --dist loadfile --durations 10 tests/unit tests/cluster

.PHONY: survival
survival: $(READY)  ## Kill, pause and cut off the leader in the middle of a rotation, TURNS (20) times each: half an hour
	BEK_TURNS=$(or $(TURNS),20) $(BIN)/pytest tests/cluster/test_survival_leader.py -k random_moment

.PHONY: bench
bench: $(READY)  ## Measure speed and memory against the bars, in 15 minutes (QUICK=1: a smoke run of two minutes)
	@exec env PYTHONPATH=operator:tests:. QUICK=$(QUICK) $(BIN)/python -m bench

.PHONY: unit
unit: $(READY)  ## Run the unit tests alone
	$(PYTEST) tests/unit

.PHONY: alert-fixtures
alert-fixtures: $(READY)  ## Record anew what the alert rules are tested on, after a change of metrics or rules
	@exec env PYTHONPATH=operator:tests:. $(BIN)/python -m monitoring.fixtures

.PHONY: lint
lint: $(READY)  ## Check format, lint, types, layers and dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=operator $(BIN)/lint-imports --no-logo
	$(BIN)/deptry --no-ansi operator

.PHONY: lint-workflows
lint-workflows: $(READY)  ## Check the workflows of .github with actionlint (built once, from Go modules) and zizmor
	PYTHONPATH=operator:tests:. $(BIN)/python -m support.programs.actionlint -shellcheck= -pyflakes= $(WORKFLOWS)
	$(BIN)/zizmor --offline --no-progress --quiet --persona=pedantic .github

.PHONY: format
format: $(READY)  ## Format, and apply ruff's safe fixes
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: lock
lock: $(LOCKER)/.requirements  ## Renew requirements*.txt from pyproject.toml (UPGRADE=1: with the newest releases)
	$(LOCK) pyproject.toml --output-file requirements.txt >/dev/null
	$(LOCK) pyproject.toml --extra cli --group dev --constraints requirements.txt --output-file requirements-dev.txt >/dev/null
	$(LOCKER)/bin/python -c 'import tomllib; build = tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"]; \
	print(*build, "editables", sep="\n")' | \
	$(LOCK) - --constraints requirements-dev.txt --output-file requirements-build.txt >/dev/null
	for group in audit go lock pip-oldest pip-newest; do \
	  $(LOCK) --group $$group --output-file requirements-$$group.txt >/dev/null || exit; \
	done

.PHONY: audit
audit: $(AUDITOR)/.requirements  ## Look for known vulnerabilities in everything that is locked; asks an advisory service
	@failed=; for lock in $(AUDITED); do \
	  echo "$$lock:"; \
	  $(AUDITOR)/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off --requirement $$lock || failed=yes; \
	done; [ -z "$$failed" ]

.PHONY: manifests
manifests: $(READY)  ## Render dist/install.yaml and the like for IMAGE_REPOSITORY=registry.example.com/bek-operator
	@PYTHONPATH=operator:tests:. $(BIN)/python -m release manifests "$(IMAGE_REPOSITORY)"

.PHONY: wheel
wheel: $(READY)  ## Build dist/*.whl, the Python package, with kubectl bek
	@$(PIP) wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

.PHONY: release-notes
release-notes: $(READY)  ## Print what CHANGELOG.md says of this version
	@PYTHONPATH=operator:tests:. $(BIN)/python -m release notes

.PHONY: release-check
release-check: $(READY)  ## Check that a tag fits this version, and that its notes are there: make release-check TAG=v0.1.0
	@PYTHONPATH=operator:tests:. $(BIN)/python -m release check "$$TAG"

# Docker, podman or buildah, whichever is there and works; what it needs of Python is no package.
IMAGE_TOOL = $(call find_python,$(PYTHONS)); PYTHONPATH=tests "$$found" -m support.programs.image

.PHONY: image
image:  ## Build the image with docker, podman or buildah (IMAGE=the name it gets, BASE=what it is built on)
	@$(IMAGE_TOOL) build

.PHONY: image-base
image-base:  ## Make a base of Debian's packages, by debootstrap as root, where no registry is reached; prints its name
	@$(IMAGE_TOOL) base

.PHONY: image-test
image-test: $(READY)  ## Build the image and run it as the Deployment does, with docker or podman
	$(BIN)/pytest tests/image

.PHONY: image-test-or-skip
image-test-or-skip:  ## The same, where docker or podman is there and works
	@if told=$$($(IMAGE_TOOL) runs 2>&1); then \
	  $(MAKE) --no-print-directory image-test; \
	else \
	  printf 'make $@: SKIPPED. %s\n' "$$told"; \
	fi

.PHONY: node-test
node-test: $(READY)  ## Run the image in Pods on a real kubelet, as root; tells what this machine lacks (K=a test's name)
	@exec env PYTHONPATH=operator:tests:. $(BIN)/python -m support.node $(if $(K),-k $(K))

.PHONY: node-test-or-skip
node-test-or-skip: $(READY)  ## The same, where nothing is lacking
	@exec env PYTHONPATH=operator:tests:. $(BIN)/python -m support.node --or-skip

.PHONY: clean
clean:  ## Remove everything that make has created here (the API server stays in your cache folder)
	rm -rf .venv $(VENV) .make dist .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find operator tests demo bench release -name __pycache__ -prune -exec rm -rf {} +

$(READY): pyproject.toml $(VENV)/.requirements
	@$(PIP) $(INSTALL) --no-build-isolation --editable .
	@$(PIP) check >/dev/null || { $(PIP) check; exit 1; }
	@touch $@

$(VENV)/.requirements: requirements-build.txt requirements-dev.txt
	@$(call find_python,$(PYTHONS)); \
	echo "make: creating $(VENV) with $$("$$found" --version) (half a minute). Tests and demo also need a kube-apiserver."; \
	echo 'If your cache folder has none, it is built once, in three to four minutes on two cores. To use another one, run'; \
	echo 'make with KUBEBUILDER_ASSETS=$$(setup-envtest use -p path)'; \
	"$$found" -m venv --clear $(VENV)
	@$(PIP) $(INSTALL_LOCKED) --requirement requirements-build.txt --requirement requirements-dev.txt
	@touch $@

$(LOCKER)/.requirements $(AUDITOR)/.requirements: .make/%/.requirements: requirements-%.txt
	@$(call find_python,$(PYTHONS)); "$$found" -m venv --clear .make/$*
	@.make/$*/bin/python -m pip $(INSTALL_LOCKED) --requirement $<
	@touch $@

# Shell commands that set $$found to the first suitable one of some interpreters. What pyenv puts on PATH for a
# version works only if that version is selected.
define find_python
for candidate in $(1); do \
  case $$candidate in python3.*) export PYENV_VERSION=$${candidate#python};; esac; \
  found=$$("$$candidate" -c 'import ensurepip, sys, venv; sys.version_info < (3, 11) or print(sys.executable)' 2>/dev/null) || :; \
  [ -z "$$found" ] || break; \
done; \
if [ -z "$$found" ]; then \
  echo 'Python 3.11 or newer is needed, with its module venv (Debian and Ubuntu: apt-get install python3-venv).' >&2; \
  echo 'None of these is suitable: $(1). Name another one with: make PYTHON=/path/to/python' >&2; \
  exit 1; \
fi
endef
