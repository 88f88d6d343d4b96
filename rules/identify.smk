"""One's own recordings against one's own database: snakemake identify --config queries=DIR database=DB

INPUTS   a folder of audio (or a list, or one file); a database of `nmfp database` or of this workflow
OUTPUTS  results/identification/results.csv: the columns of docs/identify.md
"""

from snakemake.exceptions import WorkflowError

from nmfp.cli.inputs import state as queries_state

IDENTIFICATION = config.get("identification", {})


rule identify:
    input:
        database=identification_database,
    output:
        results="results/identification/results.csv",
    log:
        "results/identification/identify.log",
    conda:
        GPU_ENVIRONMENT
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        version=CODE["identify"],
        engine=config["fingerprints"]["engine"],
        queries=IDENTIFICATION.get("queries"),
        database=IDENTIFICATION.get("database"),
        # of the recordings, so that one that comes, goes or changes is noticed
        state=lambda wildcards: queries_state(IDENTIFICATION["queries"]),
    script:
        "../workflow/scripts/identify.py"
