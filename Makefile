# Two commands do everything: make demo, make test. `make help` lists the others.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REQUIREMENTS := envs/requirements-cpu.txt
STAMP := $(VENV)/.synced
CORES ?= all
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES)
export PATH := $(CURDIR)/$(BIN):$(PATH)
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help setup demo test test-fast test-crash test-cluster lint format lock clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP) sox ## the environment: .venv with pinned, hashed packages, and SoX

$(STAMP): $(REQUIREMENTS) envs/requirements-uv.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v == (3, 11) else "Python 3.11 is needed and %s is %d.%d: call make PYTHON=/path/to/python3.11." % (sys.executable, *v))'
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv is missing: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r envs/requirements-uv.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode $(REQUIREMENTS)
	@touch $@

.PHONY: sox
sox:
	@if ! { command -v sox >/dev/null && sox --help | grep -q '^AUDIO FILE FORMATS:.* mp3'; }; then \
	  $(SHELL) envs/install_sox.sh; fi

demo: setup ## the whole pipeline on the embedded corpus; ends with the hit rates and the report's path
	@$(SNAKEMAKE) --configfile config/demo.yaml
	@[ results/demo/report/report.html -nt results/demo/report/hit_rates.csv ] || \
	  $(SNAKEMAKE) --quiet all --configfile config/demo.yaml --report results/demo/report/report.html
	@$(BIN)/python workflow/scripts/print_hit_rates.py results/demo/report/hit_rates.csv
	@echo "Report: $(CURDIR)/results/demo/report/report.html"

test: setup ## every test a contributor needs (at most 20 minutes on two cores)
	$(BIN)/python -m pytest tests -m "not crash and not cluster"

test-fast: setup ## only the tests that take seconds
	$(BIN)/python -m pytest tests -m "not crash and not cluster and not slow"

test-crash: setup ## kill -9 and full disks
	$(BIN)/python -m pytest tests -m crash

test-cluster: setup ## the workflow on a real one-node SLURM
	$(BIN)/python -m pytest tests -m cluster

lint: setup ## ruff, snakefmt, snakemake --lint
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint --configfile config/demo.yaml

format: setup ## rewrite the code in the house's format
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

lock: setup ## pin and hash everything that envs/requirements.in asks for
	cd envs && ../$(BIN)/uv pip compile --quiet --python ../$(BIN)/python --generate-hashes --no-emit-index-url \
	  --no-annotate --no-header --override overrides.txt requirements.in -o requirements-cpu.txt

clean: ## remove results (downloads and the environment stay)
	rm -rf results
