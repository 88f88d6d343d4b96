"""The paper's data, fetched, checked, unpacked and listed; config/sources.tsv says what there is, docs/paper_data.md how.

INPUTS   the network, or files put into <paths.downloads>/archives by hand
OUTPUTS  <downloads>/receipts/<source>.json and <source>.unpacked.json; data/{music,noise,room,microphone}/files.csv;
         with dataset.source archive also the queries; models/<name>/ below downloads by the target `weights`
STEPS    fetch with curl and check; unpack; list with roles. Archives and their members are no declared outputs: Snakemake
         would delete a terabyte before every attempt
"""

from nmfp.datasets.sources import (
    describe_plan,
    find_table,
    music_sets,
    needed_rows,
    read_sources,
    unpacked_sets,
)
from nmfp.errors import NmfpError

DOWNLOADS = config["paths"]["downloads"]
RECEIPTS = f"{DOWNLOADS}/receipts"
# No digest of code stands with what is fetched and unpacked: a checksum says what it is, whatever fetched it, and a
# terabyte would come again. Raise it when the receipts' keys change.
RECEIPT_FORMAT = 1
# what `snakemake weights` fetches, by name
RELEASED = {
    "nmfp-triplet": "weights_triplet",
    "nmfp-multiposcon": "weights_multiposcon",
}

try:
    SOURCES = read_sources(find_table(config["paths"]["sources"], workflow.basedir))
    if workflow.is_main_process and "identification" not in config:
        plan = describe_plan(
            needed_rows(config, MODEL_CONFIGS, SOURCES),
            SOURCES,
            DOWNLOADS,
        )
        if plan:
            print(plan, file=sys.stderr)
except NmfpError as error:
    sys.exit(f"{error}")


wildcard_constraints:
    source="|".join(SOURCES),
    published=one_of(RELEASED),


rule download:
    output:
        receipt=f"{RECEIPTS}/{{source}}.json",
    log:
        f"{LOGS}/download/{{source}}.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=2880,
    params:
        version=RECEIPT_FORMAT,
        # not the address: a new mirror must not fetch anew
        content=lambda wildcards: SOURCES[wildcards.source].content_key(),
        downloads=lambda wildcards: DOWNLOADS,
        table=config["paths"]["sources"],
    script:
        "../workflow/scripts/download.py"


rule unpack:
    input:
        receipt=f"{RECEIPTS}/{{source}}.json",
    output:
        manifest=f"{RECEIPTS}/{{source}}.unpacked.json",
    log:
        f"{LOGS}/unpack/{{source}}.log",
    conda:
        "../envs/cpu.yaml"
    threads: 16  # bzip2 unpacks 20 MB/s a core
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 1440 * attempt,
    params:
        version=RECEIPT_FORMAT,
        downloads=lambda wildcards: DOWNLOADS,
        table=config["paths"]["sources"],
    script:
        "../workflow/scripts/unpack.py"


rule weights:
    input:
        expand(f"{DOWNLOADS}/models/{{published}}/model.json", published=RELEASED),
    localrule: True


rule import_weights:
    input:
        lambda wildcards: f"{RECEIPTS}/{RELEASED[wildcards.published]}.unpacked.json",
    output:
        config=f"{DOWNLOADS}/models/{{published}}/config.yaml",
        info=f"{DOWNLOADS}/models/{{published}}/model.json",
        weights=f"{DOWNLOADS}/models/{{published}}/fingerprinter.weights.h5",
        graph=f"{DOWNLOADS}/models/{{published}}/fingerprinter.xml",
        graph_weights=f"{DOWNLOADS}/models/{{published}}/fingerprinter.bin",
        origin=f"{DOWNLOADS}/models/{{published}}/origin.json",
    log:
        f"{LOGS}/import_weights/{{published}}.log",
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        version=CODE["import_weights"],
        source=f"{DOWNLOADS}/{{published}}",
        checkpoint=None,
    script:
        "../workflow/scripts/import_weights.py"


rule list_degradations:
    input:
        lambda wildcards: unpacked_sets(
            DOWNLOADS, SOURCES, RECORDINGS[wildcards.collection]
        ),
    output:
        files=update(f"{DATA}/{{collection}}/files.csv"),
    log:
        f"{LOGS}/list_degradations/{{collection}}.log",
    wildcard_constraints:
        collection=one_of(FETCHED_COLLECTIONS),
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        version=CODE["list_degradations"],
        kind=lambda wildcards: kind_of(wildcards.collection),
        sets=lambda wildcards: RECORDINGS[wildcards.collection],
        check_counts=config["dataset"]["fma"]["check_counts"],
        downloads=lambda wildcards: DOWNLOADS,
        table=config["paths"]["sources"],
    script:
        "../workflow/scripts/list_degradations.py"


if config["dataset"]["source"] == "fma":

    rule list_fma:
        input:
            unpacked_sets(DOWNLOADS, SOURCES, music_sets(config["dataset"])),
            [
                config["dataset"]["fma"][key]
                for key in ("training_ids", "validation_ids", "query_ids")
                if config["dataset"]["fma"][key] is not None
            ],
        output:
            files=update(f"{DATA}/music/files.csv"),
        log:
            f"{LOGS}/list_fma.log",
        localrule: True
        conda:
            "../envs/cpu.yaml"
        resources:
            mem_mb=2000,
            runtime=60,
        params:
            version=CODE["list_fma"],
            fma=config["dataset"]["fma"],
            downloads=lambda wildcards: DOWNLOADS,
            table=config["paths"]["sources"],
        script:
            "../workflow/scripts/list_fma.py"


if config["dataset"]["source"] == "archive":

    ruleorder: archive_queries > queries

    rule list_archive:
        input:
            unpacked_sets(DOWNLOADS, SOURCES, music_sets(config["dataset"])),
        output:
            files=update(f"{DATA}/music/files.csv"),
        log:
            f"{LOGS}/list_archive.log",
        localrule: True
        conda:
            "../envs/cpu.yaml"
        resources:
            mem_mb=2000,
            runtime=60,
        params:
            version=CODE["list_archive"],
            check_counts=config["dataset"]["fma"]["check_counts"],
            downloads=lambda wildcards: DOWNLOADS,
            table=config["paths"]["sources"],
        script:
            "../workflow/scripts/list_archive.py"

    rule archive_queries:
        input:
            tracks=corpus_table("queries"),
        output:
            provenance=f"{DATA}/queries/provenance.csv",
            degraded_shifted=update(f"{DATA}/queries_degraded_shifted/tracks.csv"),
            clean_shifted=update(f"{DATA}/queries_clean_shifted/tracks.csv"),
        log:
            f"{LOGS}/archive_queries.log",
        conda:
            "../envs/cpu.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=lambda wildcards, attempt: 120 * attempt,
        params:
            version=[CODE["convert"], CODE["archive_queries"]],
            listed=lambda wildcards: listed("queries"),
            seconds=config["queries"]["seconds"],
            downloads=lambda wildcards: DOWNLOADS,
        script:
            "../workflow/scripts/archive_queries.py"
