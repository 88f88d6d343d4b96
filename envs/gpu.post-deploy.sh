#!/bin/sh
# The pinned packages, into the environment that `snakemake --sdm conda` has made of gpu.yaml and activated.
# Snakemake runs a copy of this file and names the environment by its text, so the text changes with the packages:
# sha256 8547d637ee0ef822b9eef4846060154fe4badb9ca3fc707b8a1c8b636c7cb8ab (make lock writes it)
set -eu
# not in gpu.yaml: conda would have pip ask for what tinysoundfont depends on and overrides.txt takes out
python -m pip install --quiet --no-deps --require-hashes --requirement "$NMFP_ENVS/requirements-gpu.txt"
