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

.PHONY: help setup demo test test-fast test-long test-crash test-cluster slurm-profile slurm-resume lint format lock clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP) $(BIN)/nmfp sox ## the environment: .venv with pinned, hashed packages, and SoX

$(STAMP): $(REQUIREMENTS) envs/requirements-uv.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v == (3, 11) else "Python 3.11 is needed and %s is %d.%d: call make PYTHON=/path/to/python3.11." % (sys.executable, *v))'
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv is missing: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r envs/requirements-uv.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode $(REQUIREMENTS)
	@touch $@

# the command nmfp runs from the working tree, without installation
$(BIN)/nmfp: $(STAMP) Makefile
	@printf '#!/bin/sh\nexec "%s/python" "%s/tools/nmfp_command.py" "$$@"\n' "$(CURDIR)/$(BIN)" "$(CURDIR)" > $@
	@chmod +x $@

.PHONY: sox
sox:
	@if ! { command -v sox >/dev/null && sox --help | grep -q '^AUDIO FILE FORMATS:.* mp3'; }; then \
	  $(SHELL) envs/install_sox.sh; fi

demo: setup ## the whole pipeline on the embedded corpus; ends with the hit rates and the report's path
	@$(SNAKEMAKE) --quiet rules --configfile config/demo.yaml
	@[ results/demo/report/report.html -nt results/demo/report/hit_rates.csv ] || \
	  $(SNAKEMAKE) --quiet all --configfile config/demo.yaml --report results/demo/report/report.html
	@$(BIN)/python tools/print_hit_rates.py results/demo/report/hit_rates.csv
	@echo "Report: $(CURDIR)/results/demo/report/report.html"

test: setup ## every test a contributor needs (at most 20 minutes on two cores)
	$(BIN)/python -m pytest tests -m "not crash and not cluster and not long"

test-fast: setup ## only the tests that take seconds
	$(BIN)/python -m pytest tests -m "not crash and not cluster and not long and not slow"

test-long: setup ## the paper's data from miniature archives, and updates of a database, end to end
	$(BIN)/python -m pytest tests -m long

test-crash: setup ## kill -9 and full disks
	$(BIN)/python -m pytest tests -m crash

test-cluster: setup ## the workflow on a real one-node SLURM (at most 12 minutes on two cores)
	@$(SHELL) tests/cluster/install_slurm.sh
	$(BIN)/python -m pytest tests/cluster -m cluster

SNAKEMAKE_PROFILES := $(or $(XDG_CONFIG_HOME),$(HOME)/.config)/snakemake
slurm-profile: ## link profiles/slurm, so that `snakemake --profile slurm` works from anywhere
	@mkdir -p "$(SNAKEMAKE_PROFILES)"
	@if [ -e "$(SNAKEMAKE_PROFILES)/slurm" ] && [ ! -L "$(SNAKEMAKE_PROFILES)/slurm" ]; then \
	  echo "$(SNAKEMAKE_PROFILES)/slurm is a profile of your own; rename it or use --profile $(CURDIR)/profiles/slurm"; exit 1; fi
	@ln -sfn "$(CURDIR)/profiles/slurm" "$(SNAKEMAKE_PROFILES)/slurm"
	@echo "$(SNAKEMAKE_PROFILES)/slurm -> $(CURDIR)/profiles/slurm"

slurm-resume: setup ## go on after a killed main process: wait for its jobs, unlock, rerun (ARGS="--configfile ...", WAIT=--cancel)
	$(BIN)/python tools/slurm_resume.py $(WAIT) -- --profile profiles/slurm $(ARGS)

lint: setup ## ruff, snakefmt, snakemake --lint, hadolint, shellcheck
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/hadolint Dockerfile
	$(BIN)/shellcheck envs/*.sh tests/cluster/install_slurm.sh .ci/run
	@for recipe in containers/*.def; do \
	  sed -n '/^%post/,/^%environment/{/^%/!p}' $$recipe | $(BIN)/shellcheck --shell=sh - || exit 1; done
	$(BIN)/snakemake --lint --quiet rules --configfile config/demo.yaml

format: setup ## rewrite the code in the house's format
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

COMPILE = ../$(BIN)/uv pip compile --quiet --python ../$(BIN)/python --generate-hashes --no-emit-index-url --no-annotate --no-header
lock: setup ## pin and hash what envs/requirements.in and requirements-gpu.in ask for
	cd envs && $(COMPILE) --override overrides.txt requirements.in -o requirements-cpu.txt
	cd envs && $(COMPILE) --override overrides.txt --override overrides-gpu.txt requirements-gpu.in -o requirements-gpu.txt
	cd envs && for variant in cpu gpu; do \
	  digest=$$(sha256sum <requirements-$$variant.txt | cut -d' ' -f1) && \
	  sed -i "s/^# sha256 [0-9a-f]*/# sha256 $$digest/" $$variant.post-deploy.sh; done

clean: ## remove results (downloads and the environment stay)
	rm -rf results
