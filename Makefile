# The project's commands. `make` alone lists them.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
UV     ?= uv
ARGS   ?=
# Processes that test: one more than cores, since many tests wait for processes and servers.
TESTERS ?= $(shell echo $$(( $$(nproc) + 1 )))

BIN     := .venv/bin
COMPILE := $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
           --no-emit-index-url --custom-compile-command 'make requirements'

.PHONY: help demo test quick test-fake check faults damage image-check format bench requirements clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv: .venv/installed ## the virtual environment, with hashed requirements and oldump itself

demo: .venv ## the whole pipeline on an embedded PostgreSQL; ARGS='…'
	$(BIN)/oldump demo $(ARGS)

test: .venv ## all tests; ARGS='-k shuffle'
	$(BIN)/pytest --numprocesses $(TESTERS) --dist loadfile --no-loadscope-reorder $(ARGS)

quick: .venv ## unit and property tests with few examples, in under a minute; ARGS='-k shuffle'
	OLDUMP_TESTS_QUICK=1 $(BIN)/pytest --numprocesses $(TESTERS) -m "not slow" tests/unit tests/property $(ARGS)

test-fake: .venv ## the tests of the imitated archive.org; records that it passed (tests/README.md)
	OLDUMP_TESTS_FAKE=1 $(BIN)/pytest --numprocesses $(TESTERS) tests/archive_org $(ARGS)
	PYTHONPATH=tests $(BIN)/python -m archive_org.tested

faults: .venv ## the kill campaign: 200 times kill -9, and at every commit point; ARGS='--kills 500 --seed 7'
	PYTHONPATH=tests $(BIN)/python tests/campaigns/kill.py $(ARGS)

check: .venv ## lint, format, types, imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: .venv ## format the code and fix what can be fixed safely
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

bench: .venv ## measure the budgets; ARGS='--only pipeline', ARGS='--growth'
	$(BIN)/python -m bench $(ARGS)

image-check: ## what the image installs, replayed without a container engine: the Dockerfile's own steps
	PYTHON=$(PYTHON) tests/deploy/image_check.sh

damage: .venv ## damage a finished run 2,000 times, and see that verify finds it; ARGS='--mutations 60 --seed 7'
	PYTHONPATH=tests $(BIN)/python -m damaged.campaign $(ARGS)

requirements: ## compile requirements/*.txt again (needs uv); ARGS=--upgrade for newer versions
	@command -v $(UV) > /dev/null || { echo "uv is missing: pip install uv, or UV=/path/to/uv" >&2; exit 1; }
	$(COMPILE) $(ARGS) --extra archive --extra sentry --output-file requirements/run.txt
	$(COMPILE) $(ARGS) --constraints requirements/run.txt --all-extras --group dev --output-file requirements/dev.txt

clean: ## remove the environment, builds and caches
	rm -rf .venv build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -f src/oldump/kernel/*.c src/oldump/kernel/*.so
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# A new environment whenever the requirements change: nothing of the old ones stays behind.
.venv/requirements: requirements/dev.txt
	@command -v $(PYTHON) > /dev/null \
	  || { echo "$(PYTHON) is missing: install Python 3.11 or later, or say PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "oldump needs Python 3.11 or later, this is $$($(PYTHON) --version 2>&1): say PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null \
	  || { echo "$(PYTHON) cannot make virtual environments: apt-get install python3-venv (Debian, Ubuntu)" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	@touch $@

# Without isolation, so that the build backend too is the hashed one. This compiles the kernel.
.venv/installed: .venv/requirements pyproject.toml $(wildcard src/oldump/kernel/*.py)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
