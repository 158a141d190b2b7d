# Penstock: everything you run in a checkout. `make` alone lists it.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
SHELL := /bin/sh

# The system's Python, 3.11 or later; never a downloaded one. `make PYTHON=/path/to/python3.13 …` chooses another.
ifndef PYTHON
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$python -c 'import sys; assert sys.version_info >= (3, 11); print(sys.executable)' 2>/dev/null && break; done)
endif
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/.venv
# A shell's own environment must not leak into ours, nor ours into it.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME UV_PYTHON

UV_VERSION := 0.13.9
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo $(CURDIR)/.tools/bin/uv)
BIN := $(CURDIR)/.venv/bin
BROKERS = PYTHONPATH=docker $(PYTHON) -m local_brokers
PYTEST_ARGS ?=
# Most tests wait for processes and brokers; two at a time, a file never split, so that what it shares is made once.
PYTEST_WORKERS ?= 2
WHAT ?= kafka
SEEDS ?= 1000
KILLS ?= 20
RESTARTS ?= 4
SEED ?=

.PHONY: help demo test check brokers brokers-down bench simulate torture build clean python environment

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS="$$(printf '\t')" read -r name text; do printf '  make %-14s %s\n' "$$name" "$$text"; done

demo: $(BIN)/python | $(UV) ## run the main job on the embedded sources; nothing needed but Python
	@$(UV) sync --quiet --locked --no-default-groups --inexact
	@$(BIN)/penstock demo

test: check ## every check and every test, beside real brokers; those it starts it also stops
	@$(BROKERS) run $(BIN)/pytest -ra -n $(PYTEST_WORKERS) --dist loadfile $(PYTEST_ARGS)

check: environment ## lint, types, import walls, tidy
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@MYPYPATH=docker $(BIN)/mypy -p local_brokers
	@$(BIN)/lint-imports
	@$(BIN)/pytest -q tests/tidy

brokers: python ## start Kafka, RabbitMQ and Redis on loopback; prints export lines (REDIS=8, REDIS=valkey, RABBITMQ=4)
	@$(BROKERS) up $(if $(REDIS),--redis '$(REDIS)') $(if $(RABBITMQ),--rabbitmq '$(RABBITMQ)')

brokers-down: python ## stop the brokers that `make brokers` started
	@$(BROKERS) down

bench: environment ## each path beside its raw client loop and the bare pipeline (WHAT=kafka, redis, lanes, embedded, filters or lag)
	@$(if $(filter kafka lanes redis,$(WHAT)),$(BROKERS) run --only $(subst lanes,kafka,$(WHAT))) $(BIN)/python tests/benchmarks/bench.py $(WHAT)

simulate: environment ## the simulations over many seeds on all cores (SEEDS=1000)
	@$(BIN)/python tests/simulation/run.py --seeds $(SEEDS)

torture: environment ## kill nodes again and again; the books must balance (WHAT=kafka, queues or one kind; KILLS=20 RESTARTS=4 SEED=N)
	@$(if $(filter embedded%,$(WHAT)),,$(BROKERS) run --only kafka) $(BIN)/python tests/torture/run.py $(WHAT) \
		--kills $(KILLS) --restarts $(RESTARTS) $(if $(SEED),--seed $(SEED))

build: python | $(UV) ## the wheels of every distribution, into dist/
	@rm -rf dist
	@$(UV) build --quiet --all-packages --wheel --out-dir dist
	@ls -1 dist/*.whl

clean: brokers-down ## remove everything that was made here, the environments included
	@rm -rf .venv .tools .brokers .penstock dist bench.json .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

environment: $(BIN)/python | $(UV)
	@$(UV) sync --quiet --locked

$(BIN)/python: | python $(UV)
	@$(UV) venv --quiet --clear --python '$(PYTHON)' .venv

$(CURDIR)/.tools/bin/uv: | python
	@$(PYTHON) -m venv .tools || { rm -rf .tools; echo "Python's venv module is incomplete here; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@PIP_USER=0 .tools/bin/python -m pip install --quiet --disable-pip-version-check 'uv==$(UV_VERSION)'

python:
	@test -n '$(PYTHON)' || { echo 'Penstock needs Python 3.11 or later, and none was found; PYTHON=/path/to/python names one' >&2; exit 1; }
