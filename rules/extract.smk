"""Fingerprints of every segment of every track, one job a partition, resumable inside it.

INPUTS   data/{corpus}/tracks.csv + partitions/NNNN.csv, models/<model>/
OUTPUTS  fingerprints/<model>/{corpus}/partitions/NNNN.{npy,csv,json} and NNNN.silent.npy
"""


rule extract:
    input:
        # ancient: a track that comes, goes or changes is a matter of the lists, and earlier ones keep their bytes
        tracks=ancient(f"{DATA}/{{corpus}}/tracks.csv"),
        list=f"{DATA}/{{corpus}}/partitions/{{n}}.csv",
        config=f"{MODELS}/{{model}}/config.yaml",
        info=f"{MODELS}/{{model}}/model.json",
        weights=f"{MODELS}/{{model}}/fingerprinter.weights.h5",
        graph=f"{MODELS}/{{model}}/fingerprinter.xml",
        graph_weights=f"{MODELS}/{{model}}/fingerprinter.bin",
    output:
        fingerprints=f"{FINGERPRINTS}/{{model}}/{{corpus}}/partitions/{{n}}.npy",
        silent=f"{FINGERPRINTS}/{{model}}/{{corpus}}/partitions/{{n}}.silent.npy",
        table=f"{FINGERPRINTS}/{{model}}/{{corpus}}/partitions/{{n}}.csv",
        info=f"{FINGERPRINTS}/{{model}}/{{corpus}}/partitions/{{n}}.json",
    log:
        f"{LOGS}/extract/{{model}}/{{corpus}}/{{n}}.log",
    benchmark:
        f"{BENCHMARKS}/extract/{{model}}/{{corpus}}/{{n}}.tsv"
    conda:
        GPU_ENVIRONMENT
    threads: 4
    resources:
        gpu=1,
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        version=[CODE["convert"], CODE["extract"]],
        engine=config["fingerprints"]["engine"],
        batch=config["fingerprints"]["batch"],
        work=f"{FINGERPRINTS}/{{model}}/{{corpus}}/progress/{{n}}",
    script:
        "../workflow/scripts/extract.py"
