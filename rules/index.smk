"""FAISS: quantisers are trained once on a seeded sample; filling needs no retraining.

INPUTS   fingerprints/<model>/database/
OUTPUTS  index/<model>/<index>/{trained.faiss,trained.json}, and index.faiss, index.json or, where the configuration asks
         for several shards, shards/N.faiss, shards/N.json
"""


rule train_index:
    input:
        # ancient: quantisers serve a grown database; another model, seed or factory trains them again. The fingerprints
        # stand beside; they are too large for an update() output (common.smk), of which Snakemake keeps a copy
        info=ancient(f"{FINGERPRINTS}/{{model}}/database/database.json"),
        model=f"{MODELS}/{{model}}/model.json",
    output:
        index=f"{INDEX}/{{model}}/{{index}}/trained.faiss",
        info=f"{INDEX}/{{model}}/{{index}}/trained.json",
    log:
        f"{LOGS}/train_index/{{model}}/{{index}}.log",
    benchmark:
        f"{BENCHMARKS}/train_index/{{model}}/{{index}}.tsv"
    conda:
        "../envs/cpu.yaml"
    threads: 8
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        version=CODE["train_index"],
        seed=config["seed"],
        factory=lambda wildcards: config["indexes"][wildcards.index]["factory"],
        every=index_setting("every", 1),
    script:
        "../workflow/scripts/train_index.py"


rule fill_index:
    input:
        trained=f"{INDEX}/{{model}}/{{index}}/trained.faiss",
        trained_info=f"{INDEX}/{{model}}/{{index}}/trained.json",
        fingerprints=f"{FINGERPRINTS}/{{model}}/database/database.npy",
        info=f"{FINGERPRINTS}/{{model}}/database/database.json",
    output:
        index=f"{INDEX}/{{model}}/{{index}}/index.faiss",
        info=f"{INDEX}/{{model}}/{{index}}/index.json",
    log:
        f"{LOGS}/fill_index/{{model}}/{{index}}.log",
    benchmark:
        f"{BENCHMARKS}/fill_index/{{model}}/{{index}}.tsv"
    conda:
        "../envs/cpu.yaml"
    threads: 8
    resources:
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        version=CODE["fill_index"],
    script:
        "../workflow/scripts/fill_index.py"


rule fill_shard:
    input:
        trained=f"{INDEX}/{{model}}/{{index}}/trained.faiss",
        trained_info=f"{INDEX}/{{model}}/{{index}}/trained.json",
        fingerprints=f"{FINGERPRINTS}/{{model}}/database/database.npy",
        info=f"{FINGERPRINTS}/{{model}}/database/database.json",
    output:
        index=f"{INDEX}/{{model}}/{{index}}/shards/{{shard}}.faiss",
        info=f"{INDEX}/{{model}}/{{index}}/shards/{{shard}}.json",
    log:
        f"{LOGS}/fill_shard/{{model}}/{{index}}/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/fill_shard/{{model}}/{{index}}/{{shard}}.tsv"
    wildcard_constraints:
        shard="[0-9]+",
    conda:
        "../envs/cpu.yaml"
    threads: 8
    resources:
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        version=CODE["fill_shard"],
        shards=index_setting("shards", 1),
    script:
        "../workflow/scripts/fill_shard.py"
