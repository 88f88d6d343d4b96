"""Search every query, align, score, and count hits.

INPUTS   index/<model>/<index>/, fingerprints/<model>/{database,<queries>}/, data/{queries,unknown}/provenance.csv
OUTPUTS  evaluation/<model>/<index>/<queries>/{analysis.csv,hit_rates.csv}, evaluation/<model>/<index>/recall.csv,
         fingerprints/<model>/database/calibration.json, models/<model>/decision.json
STEPS    one search, or one a shard (scatter) whose neighbours search merges (gather); then align, score and count;
         beside it the index against exact search
"""


rule search:
    input:
        index=whole_index("faiss"),
        index_info=whole_index("json"),
        shard_distances=shard_neighbours("distances.npy"),
        shard_rows=shard_neighbours("rows.npy"),
        database=multiext(
            f"{FINGERPRINTS}/{{model}}/database/",
            "database.npy",
            "silent.npy",
            "tracks.csv",
            "database.json",
        ),
        queries=multiext(
            f"{FINGERPRINTS}/{{model}}/{{corpus}}/",
            "database.npy",
            "silent.npy",
            "tracks.csv",
            "database.json",
        ),
        provenance=lambda wildcards: f"{DATA}/{QueryCorpus.parse(wildcards.corpus).query_set}/provenance.csv",
        query_tracks=f"{DATA}/{{corpus}}/tracks.csv",
        database_tracks=corpus_table("database"),
    output:
        analysis=f"{EVALUATION}/{{model}}/{{index}}/{{corpus}}/analysis.csv",
    log:
        f"{LOGS}/search/{{model}}/{{index}}/{{corpus}}.log",
    benchmark:
        f"{BENCHMARKS}/search/{{model}}/{{index}}/{{corpus}}.tsv"
    conda:
        GPU_ENVIRONMENT
    threads: 8
    resources:
        gpu=search_gpu,
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=lambda wildcards, attempt: 480 * attempt,
    params:
        version=CODE["search"],
        listed=lambda wildcards: listed("database"),
        database=lambda wildcards: f"{FINGERPRINTS}/{wildcards.model}/database",
        queries=lambda wildcards: f"{FINGERPRINTS}/{wildcards.model}/{wildcards.corpus}",
        nprobe=index_setting("nprobe", None),
        search_parameters=index_setting("parameters", ""),
        on_disk=index_setting("on_disk", False),
        evaluation={
            k: config["evaluation"][k]
            for k in ("query_segments", "start_every", "candidates")
        },
    script:
        "../workflow/scripts/search.py"


rule search_shard:
    input:
        index=f"{INDEX}/{{model}}/{{index}}/shards/{{shard}}.faiss",
        index_info=f"{INDEX}/{{model}}/{{index}}/shards/{{shard}}.json",
        database_info=f"{FINGERPRINTS}/{{model}}/database/database.json",
        queries=multiext(
            f"{FINGERPRINTS}/{{model}}/{{corpus}}/",
            "database.npy",
            "silent.npy",
            "tracks.csv",
            "database.json",
        ),
    output:
        distances=temp(
            f"{EVALUATION}/{{model}}/{{index}}/{{corpus}}/shards/{{shard}}.distances.npy"
        ),
        rows=temp(
            f"{EVALUATION}/{{model}}/{{index}}/{{corpus}}/shards/{{shard}}.rows.npy"
        ),
    log:
        f"{LOGS}/search_shard/{{model}}/{{index}}/{{corpus}}/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/search_shard/{{model}}/{{index}}/{{corpus}}/{{shard}}.tsv"
    wildcard_constraints:
        shard="[0-9]+",
    conda:
        GPU_ENVIRONMENT
    threads: 8
    resources:
        gpu=search_gpu,
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=lambda wildcards, attempt: 480 * attempt,
    params:
        version=CODE["search_shard"],
        queries=lambda wildcards: f"{FINGERPRINTS}/{wildcards.model}/{wildcards.corpus}",
        nprobe=index_setting("nprobe", None),
        search_parameters=index_setting("parameters", ""),
        on_disk=index_setting("on_disk", False),
        candidates=config["evaluation"]["candidates"],
    script:
        "../workflow/scripts/search_shard.py"


rule recall:
    input:
        index=index_files,
        database=multiext(
            f"{FINGERPRINTS}/{{model}}/database/",
            "database.npy",
            "silent.npy",
            "tracks.csv",
            "database.json",
        ),
        queries=multiext(
            f"{FINGERPRINTS}/{{model}}/queries_{config['queries']['evaluate'][0]}/",
            "database.npy",
            "silent.npy",
            "tracks.csv",
            "database.json",
        ),
    output:
        # holds times, which differ from run to run: nothing but the report may read it
        table=f"{EVALUATION}/{{model}}/{{index}}/recall.csv",
    log:
        f"{LOGS}/recall/{{model}}/{{index}}.log",
    benchmark:
        f"{BENCHMARKS}/recall/{{model}}/{{index}}.tsv"
    conda:
        GPU_ENVIRONMENT
    threads: 8
    resources:
        gpu=search_gpu,
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        version=CODE["recall"],
        seed=config["seed"],
        database=lambda wildcards: f"{FINGERPRINTS}/{wildcards.model}/database",
        queries=lambda wildcards: f"{FINGERPRINTS}/{wildcards.model}/queries_{config['queries']['evaluate'][0]}",
        nprobe=index_setting("nprobe", None),
        search_parameters=index_setting("parameters", ""),
        on_disk=index_setting("on_disk", False),
        candidates=config["evaluation"]["candidates"],
    script:
        "../workflow/scripts/recall.py"


rule hit_rates:
    input:
        analysis=f"{EVALUATION}/{{model}}/{{index}}/{{corpus}}/analysis.csv",
    output:
        table=f"{EVALUATION}/{{model}}/{{index}}/{{corpus}}/hit_rates.csv",
    log:
        f"{LOGS}/hit_rates/{{model}}/{{index}}/{{corpus}}.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        version=CODE["hit_rates"],
        seed=config["seed"],
        resamples=config["evaluation"]["resamples"],
    script:
        "../workflow/scripts/hit_rates.py"


rule learn_decision:
    input:
        model=f"{MODELS}/{{model}}/model.json",
        # ancient: what was learnt serves a grown database and other queries; another network learns again
        database=ancient(f"{FINGERPRINTS}/{{model}}/database/database.json"),
        queries=ancient(
            expand(
                f"{FINGERPRINTS}/{{{{model}}}}/{{query_set}}_{config['queries']['evaluate'][0]}/database.json",
                query_set=QUERY_SETS,
            )
        ),
    output:
        decision=f"{MODELS}/{{model}}/decision.json",
    log:
        f"{LOGS}/learn_decision/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/learn_decision/{{model}}.tsv"
    conda:
        "../envs/cpu.yaml"
    threads: 8
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        version=CODE["learn_decision"],
        seed=config["seed"],
        # no inputs: they are there before the queries' fingerprints, and their times say nothing
        provenances=[f"{DATA}/{query_set}/provenance.csv" for query_set in QUERY_SETS],
    script:
        "../workflow/scripts/learn_decision.py"


rule calibrate:
    input:
        known=expand(
            f"{EVALUATION}/{{{{model}}}}/{{index}}/queries_{config['queries']['evaluate'][0]}/analysis.csv",
            index=config["evaluation"]["indexes"],
        ),
        unknown=expand(
            f"{EVALUATION}/{{{{model}}}}/{{index}}/unknown_{config['queries']['evaluate'][0]}/analysis.csv",
            index=config["evaluation"]["indexes"],
        ),
        database_info=f"{FINGERPRINTS}/{{model}}/database/database.json",
    output:
        calibration=f"{FINGERPRINTS}/{{model}}/database/calibration.json",
    log:
        f"{LOGS}/calibrate/{{model}}.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        version=CODE["calibrate"],
        seed=config["seed"],
        indexes=config["evaluation"]["indexes"],
        queries=f"queries_{config['queries']['evaluate'][0]}",
        rates=config["evaluation"]["false_accept_rates"],
    script:
        "../workflow/scripts/calibrate.py"
