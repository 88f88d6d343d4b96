"""Partitions become one memmap with a table.

INPUTS   fingerprints/<model>/{corpus}/partitions/; data/{corpus}/tracks.csv says which tracks still exist
OUTPUTS  fingerprints/<model>/{corpus}/{database.npy,silent.npy,tracks.csv,failures.csv,database.json}
COMPACT  `snakemake compact` takes the rows of removed tracks out of the partitions and deletes their WAVs; the next run
         merges what is left
"""


rule merge:
    input:
        lists=f"{DATA}/{{corpus}}/partitions",
        fingerprints=fingerprint_partitions("npy"),
        silent=fingerprint_partitions("silent.npy"),
        tables=fingerprint_partitions("csv"),
        infos=fingerprint_partitions("json"),
        tracks=lambda wildcards: corpus_table(wildcards.corpus),
        model=f"{MODELS}/{{model}}/model.json",
    output:
        fingerprints=f"{FINGERPRINTS}/{{model}}/{{corpus}}/database.npy",
        silent=f"{FINGERPRINTS}/{{model}}/{{corpus}}/silent.npy",
        tracks=f"{FINGERPRINTS}/{{model}}/{{corpus}}/tracks.csv",
        failures=f"{FINGERPRINTS}/{{model}}/{{corpus}}/failures.csv",
        info=update(f"{FINGERPRINTS}/{{model}}/{{corpus}}/database.json"),
    log:
        f"{LOGS}/merge/{{model}}/{{corpus}}.log",
    benchmark:
        f"{BENCHMARKS}/merge/{{model}}/{{corpus}}.tsv"
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        version=CODE["merge"],
        listed=lambda wildcards: listed(wildcards.corpus),
        dtype=config["fingerprints"]["dtype"],
        failure_budget=config["dataset"]["failure_budget"],
        work=f"{FINGERPRINTS}/{{model}}/{{corpus}}/progress/merge",
    script:
        "../workflow/scripts/merge.py"


# snakemake compact && snakemake
rule compact:
    input:
        fingerprints=lambda wildcards: expand(
            f"{FINGERPRINTS}/{{model}}/database/partitions/{{n}}.npy",
            model=config["models"],
            n=partition_lists("database"),
        ),
        tracks=f"{DATA}/database/tracks.csv",
    log:
        f"{LOGS}/compact.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        folders=expand(
            f"{FINGERPRINTS}/{{model}}/database/partitions", model=config["models"]
        ),
        registry=f"{DATA}/database/partitions.registry.csv",
        collections=expand(f"{DATA}/{{collection}}", collection=COLLECTIONS),
    script:
        "../workflow/scripts/compact.py"
