# What a machine needs: Python 3.11 or later, make, and a package index for the first installation.
#   make run [SCENE=name] [KEEP=1]   the main job: a cluster on real data, a node lost and back, every point compared;
#                                    SCENE=grow-shrink: nodes that join, leave and die meanwhile
#   make test                        what a newcomer runs: all tests but the long searches (about 5 minutes on 2 cores)
#   make verify                      reads only: lint (format, rules, types, layers) and test
#   make fix                         writes: format, lint fixes, conf/iotdb-cluster.yaml
#   make sim [SEED=n]                simulated clusters under faults; SEED replays one with a transcript
#   make sim-long, make test-process, make test-wheel, make fuzz, make bench, make bench-queries,
#   make bench-moves, make lint, make clean

SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
  command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
SCENE ?= load-and-lose
KEEP ?= 0
PYTEST = $(BIN)/python -m pytest

.PHONY: help run test lint verify fix sim sim-long test-process test-wheel fuzz bench bench-queries bench-moves clean

help:
	@sed -n '2,10s/^# \{0,1\}//p' Makefile

# ---- installation: a stamp file for each set of extras, so that a second call costs nothing

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed (set PYTHON=/path/to/python3)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.has-demo: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo]'
	@touch $@

$(VENV)/.has-test: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@ $(VENV)/.has-demo

# ---- doing

run: $(VENV)/.has-demo
	$(BIN)/python -m iotdb_cluster.demo --scene $(SCENE) $(if $(filter-out 0,$(KEEP)),--keep)

test: $(VENV)/.has-test
	$(PYTEST) -m "not process and not long" -n 2 --dist loadgroup
	$(BIN)/python -m tests.sim --short

lint: $(VENV)/.has-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

verify: lint test

fix: $(VENV)/.has-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python -m iotdb_cluster.server.config > conf/iotdb-cluster.yaml.new
	mv conf/iotdb-cluster.yaml.new conf/iotdb-cluster.yaml

sim: $(VENV)/.has-test
	$(BIN)/python -m tests.sim $(if $(SEED),--seed $(SEED),--short)

sim-long: $(VENV)/.has-test
	$(BIN)/python -m tests.sim --long
	$(BIN)/python -m tests.sim --bugs

test-process: $(VENV)/.has-test
	$(PYTEST) -m "process and not long" tests/process tests/interop

fuzz: $(VENV)/.has-test
	$(PYTEST) -m long tests/wire tests/server tests/process tests/sim

bench: $(VENV)/.has-test
	$(BIN)/python -m bench --page bench/RESULTS.md

bench-queries: $(VENV)/.has-test
	$(BIN)/python -m bench.queries

bench-moves: $(VENV)/.has-test
	$(BIN)/python -m bench.moves --page bench/RESULTS.md

test-wheel: $(VENV)/.has-test
	$(PYTEST) -m long tests/house

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
