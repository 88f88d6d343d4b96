"""Queries: excerpts whose exact place is known, made bad as in a noisy bar, as if their whole tracks had been.

INPUTS   data/{queries,unknown}/tracks.csv, data/degradations/test/
OUTPUTS  data/{queries,unknown}/provenance.csv and, for each of the four variants, data/{set}_{variant}/tracks.csv + audio
"""


checkpoint partition_tracks:
    input:
        table=lambda wildcards: corpus_table(wildcards.corpus),
    output:
        lists=directory(f"{DATA}/{{corpus}}/partitions"),
    log:
        f"{LOGS}/partition_tracks/{{corpus}}.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        version=CODE["partition"],
        listed=lambda wildcards: listed(wildcards.corpus),
        size=lambda wildcards: partition_size(wildcards.corpus),
    script:
        "../workflow/scripts/partition.py"


rule degrade:
    input:
        unpack(test_recordings),
        # ancient: a track that comes, goes or changes is a matter of the lists, and earlier ones keep their bytes
        tracks=lambda wildcards: ancient(
            f"{DATA}/{asked_tracks(wildcards.query_set)}/tracks.csv"
        ),
        list=lambda wildcards: f"{DATA}/{asked_tracks(wildcards.query_set)}/partitions/{wildcards.n}.csv",
    output:
        table=f"{DATA}/{{query_set}}/degraded/{{n}}.csv",
    log:
        f"{LOGS}/degrade/{{query_set}}/{{n}}.log",
    benchmark:
        f"{BENCHMARKS}/degrade/{{query_set}}/{{n}}.tsv"
    conda:
        "../envs/cpu.yaml"
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        version=[CODE["convert"], CODE["degrade"]],
        seed=config["seed"],
        data=lambda wildcards: DATA,
        queries=lambda wildcards: {
            k: config["queries"][k]
            for k in ("per_track", "seconds", "max_shift_seconds")
        }
        | {"degradation": degradation_of(wildcards.query_set)["degradation"]},
    script:
        "../workflow/scripts/degrade.py"


rule queries:
    input:
        lists=lambda wildcards: f"{DATA}/{asked_tracks(wildcards.query_set)}/partitions",
        tables=lambda wildcards: expand(
            f"{DATA}/{wildcards.query_set}/degraded/{{n}}.csv",
            n=partition_lists(asked_tracks(wildcards.query_set)),
        ),
        tracks=lambda wildcards: corpus_table(asked_tracks(wildcards.query_set)),
    output:
        provenance=f"{DATA}/{{query_set}}/provenance.csv",
        clean=update(f"{DATA}/{{query_set}}_clean/tracks.csv"),
        clean_shifted=update(f"{DATA}/{{query_set}}_clean_shifted/tracks.csv"),
        degraded=update(f"{DATA}/{{query_set}}_degraded/tracks.csv"),
        degraded_shifted=update(f"{DATA}/{{query_set}}_degraded_shifted/tracks.csv"),
    log:
        f"{LOGS}/queries/{{query_set}}.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        version=CODE["queries"],
        listed=lambda wildcards: listed(asked_tracks(wildcards.query_set)),
        data=lambda wildcards: DATA,
    script:
        "../workflow/scripts/queries.py"
