#!/bin/sh
# The pinned packages, into the environment that `snakemake --sdm conda` has made of cpu.yaml and activated.
# Snakemake runs a copy of this file and names the environment by its text, so the text changes with the packages:
# sha256 0dcc377a08c65dbbe5baa2910ff0ce69c0a6459fe94825e732713fd559f0fd8f (make lock writes it)
set -eu
# not in cpu.yaml: conda would have pip ask for what tinysoundfont depends on and overrides.txt takes out
python -m pip install --quiet --no-deps --require-hashes --requirement "$NMFP_ENVS/requirements-cpu.txt"
