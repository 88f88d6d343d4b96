"""Partitions become one memmap with a table.

INPUTS   fingerprints/<model>/{corpus}/partitions/
OUTPUTS  fingerprints/<model>/{corpus}/{database.npy,silent.npy,tracks.csv,failures.csv,database.json}
"""


def partition_files_of(suffix):
    def names(wildcards):
        return expand(
            f"{FINGERPRINTS}/{wildcards.model}/{wildcards.corpus}/partitions/{{n}}.{suffix}",
            n=partition_lists(wildcards.corpus),
        )

    return names


rule merge:
    input:
        fingerprints=partition_files_of("npy"),
        silent=partition_files_of("silent.npy"),
        tables=partition_files_of("csv"),
        infos=partition_files_of("json"),
        model=f"{MODELS}/{{model}}/model.json",
    output:
        fingerprints=f"{FINGERPRINTS}/{{model}}/{{corpus}}/database.npy",
        silent=f"{FINGERPRINTS}/{{model}}/{{corpus}}/silent.npy",
        tracks=f"{FINGERPRINTS}/{{model}}/{{corpus}}/tracks.csv",
        failures=f"{FINGERPRINTS}/{{model}}/{{corpus}}/failures.csv",
        info=f"{FINGERPRINTS}/{{model}}/{{corpus}}/database.json",
    log:
        f"{LOGS}/merge/{{model}}/{{corpus}}.log",
    benchmark:
        f"{BENCHMARKS}/merge/{{model}}/{{corpus}}.tsv"
    resources:
        mem_mb=1000,
        runtime=240,
    params:
        version=VERSION["merge"],
        dtype=config["fingerprints"]["dtype"],
        failure_budget=config["dataset"]["failure_budget"],
        work=f"{FINGERPRINTS}/{{model}}/{{corpus}}/work/merge",
    script:
        "../workflow/scripts/merge.py"
