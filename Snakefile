"""Neural music fingerprinting, from audio to hit rates. The rules live in rules/, one file a stage."""

from snakemake.utils import min_version

min_version("9.14.3")

import sys

sys.path.append(f"{workflow.basedir}/workflow/scripts")

from nmfp.code_digest import script_digests
from nmfp.config import (
    ConfigError,
    check_models,
    folder_state,
    load_models,
    validate_config,
)


configfile: f"{workflow.basedir}/config/config.yaml"


# for every rule's params: what its script and the library's parts that it uses mean
CODE = script_digests(
    f"{workflow.basedir}/workflow/scripts", ".snakemake/nmfp_code.json"
)


try:
    config = validate_config(config)
    MODEL_CONFIGS = load_models(config["models"])
    check_models(config, MODEL_CONFIGS)
except ConfigError as error:
    sys.exit(f"{error}")  # the sentence alone: a traceback would bury it


report: "workflow/report/workflow.rst"


# for --sdm apptainer: built from containers/nmfp-cpu.def or nmfp-gpu.def
container: "containers/nmfp.sif"


include: "rules/common.smk"
include: "rules/download.smk"
include: "rules/demo.smk"
include: "rules/audio.smk"
include: "rules/splits.smk"
include: "rules/degrade.smk"
include: "rules/train.smk"
include: "rules/extract.smk"
include: "rules/database.smk"
include: "rules/index.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"
include: "rules/identify.smk"


rule all:
    default_target: True
    input:
        f"{REPORT}/hit_rates.csv",
    localrule: True
