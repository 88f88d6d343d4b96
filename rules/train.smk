"""Training: one network a model configuration; or the import of one whose weights exist already.

INPUTS   data/{train,validation}/audio.npy, data/degradations/train/, config/models/<model>.yaml
OUTPUTS  models/<model>/: config.yaml, model.json (digest), fingerprinter.weights.h5, fingerprinter.xml/.bin (OpenVINO),
         history.csv; checkpoints and TensorBoard logs in models/<model>/progress/<key>/, which survive a kill;
         of an imported model no history, but origin.json
"""


rule train:
    input:
        audio=f"{DATA}/train/audio.npy",
        chunks=f"{DATA}/train/chunks.csv",
        validation=f"{DATA}/validation/audio.npy",
        validation_chunks=f"{DATA}/validation/chunks.csv",
        degradations=training_recordings,
    output:
        config=f"{MODELS}/{{model}}/config.yaml",
        info=f"{MODELS}/{{model}}/model.json",
        weights=f"{MODELS}/{{model}}/fingerprinter.weights.h5",
        graph=f"{MODELS}/{{model}}/fingerprinter.xml",
        graph_weights=f"{MODELS}/{{model}}/fingerprinter.bin",
        history=report(
            f"{MODELS}/{{model}}/history.csv",
            caption="../workflow/report/history.rst",
            category="Training",
            labels={"model": "{model}", "table": "history"},
        ),
    log:
        f"{LOGS}/train/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{model}}.tsv"
    wildcard_constraints:
        model=one_of(TRAINED),
    priority: 10
    conda:
        GPU_ENVIRONMENT
    threads: 16
    resources:
        gpu=1,
        mem_mb=lambda wildcards, attempt: 12000 * attempt,
        runtime=lambda wildcards, attempt: 1440 * attempt,
    params:
        version=CODE["train"],
        seed=config["seed"],
        model=training_model,
        degradations=lambda wildcards: f"{degradation_folder(training_set(wildcards))}/train",
        work=f"{MODELS}/{{model}}/progress",
    script:
        "../workflow/scripts/train.py"


rule import_model:
    input:
        published_weights,
    output:
        config=f"{MODELS}/{{model}}/config.yaml",
        info=f"{MODELS}/{{model}}/model.json",
        weights=f"{MODELS}/{{model}}/fingerprinter.weights.h5",
        graph=f"{MODELS}/{{model}}/fingerprinter.xml",
        graph_weights=f"{MODELS}/{{model}}/fingerprinter.bin",
        origin=f"{MODELS}/{{model}}/origin.json",
    log:
        f"{LOGS}/import_model/{{model}}.log",
    wildcard_constraints:
        model=one_of(IMPORTED),
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        version=CODE["import_weights"],
        source=weights_source,
        checkpoint=lambda wildcards: MODEL_CONFIGS[wildcards.model]["checkpoint"],
        # the names in it, so that other weights in the same place are noticed
        state=weights_state,
    script:
        "../workflow/scripts/import_weights.py"
