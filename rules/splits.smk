"""Who learns, who is searched, who asks: disjoint corpora from one seed, and the memmaps that training reads.

INPUTS   data/{collection}/tracks.csv
OUTPUTS  data/{train,validation,database,queries,unknown}/tracks.csv, data/{train,validation}/{audio.npy,chunks.csv},
         data/degradations/{train,test}/{noise,room,microphone}.{npy,csv}
"""


# a checkpoint, so that its readers are looked at again when it is done (corpus_table in common.smk)
checkpoint split_music:
    input:
        tracks=f"{DATA}/music/tracks.csv",
    output:
        train=update(f"{DATA}/train/tracks.csv"),
        validation=update(f"{DATA}/validation/tracks.csv"),
        database=update(f"{DATA}/database/tracks.csv"),
        queries=update(f"{DATA}/queries/tracks.csv"),
        unknown=update(f"{DATA}/unknown/tracks.csv"),
    log:
        f"{LOGS}/split_music.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        version=CODE["split_music"],
        seed=config["seed"],
        registry=f"{DATA}/split.registry.csv",
        shares=config["dataset"]["folder"],
        reduced_database=config["dataset"]["reduced_database"],
        queries={
            k: config["queries"][k]
            for k in ("count", "unknown_count", "seconds", "max_shift_seconds")
        },
    script:
        "../workflow/scripts/split_music.py"


rule pack_chunks:
    input:
        tracks=lambda wildcards: corpus_table(wildcards.training_corpus),
    output:
        audio=f"{DATA}/{{training_corpus}}/audio.npy",
        chunks=f"{DATA}/{{training_corpus}}/chunks.csv",
    log:
        f"{LOGS}/pack_chunks/{{training_corpus}}.log",
    benchmark:
        f"{BENCHMARKS}/pack_chunks/{{training_corpus}}.tsv"
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        version=[CODE["convert"], CODE["pack_chunks"]],
        listed=lambda wildcards: listed(wildcards.training_corpus),
        seed=config["seed"],
        chunks_per_track=config["dataset"]["training_chunks_per_track"],
    script:
        "../workflow/scripts/pack_chunks.py"


rule pack_degradations:
    input:
        tracks=f"{DATA}/{{degradation}}{{of}}/tracks.csv",
    output:
        train_audio=f"{DATA}/degradations{{of}}/train/{{degradation}}.npy",
        train_table=f"{DATA}/degradations{{of}}/train/{{degradation}}.csv",
        test_audio=f"{DATA}/degradations{{of}}/test/{{degradation}}.npy",
        test_table=f"{DATA}/degradations{{of}}/test/{{degradation}}.csv",
    log:
        f"{LOGS}/pack_degradations/{{degradation}}{{of}}.log",
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        version=CODE["pack_degradations"],
        seed=config["seed"],
        test_share=config["dataset"]["folder"]["test_share"],
    script:
        "../workflow/scripts/pack_degradations.py"
