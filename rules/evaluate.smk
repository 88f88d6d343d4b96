"""Search every query, align, score, and count hits.

INPUTS   index/<model>/<index>/, fingerprints/<model>/{database,<queries>}/, data/{queries,unknown}/provenance.csv
OUTPUTS  evaluation/<model>/<index>/<queries>/{analysis.csv,hit_rates.csv}
"""


rule search:
    input:
        index=f"{INDEX}/{{model}}/{{index}}/index.faiss",
        index_info=f"{INDEX}/{{model}}/{{index}}/index.json",
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
        provenance=lambda wildcards: f"{DATA}/{wildcards.corpus.split('_')[0]}/provenance.csv",
        query_tracks=f"{DATA}/{{corpus}}/tracks.csv",
        database_tracks=f"{DATA}/database/tracks.csv",
    output:
        analysis=f"{EVALUATION}/{{model}}/{{index}}/{{corpus}}/analysis.csv",
    log:
        f"{LOGS}/search/{{model}}/{{index}}/{{corpus}}.log",
    benchmark:
        f"{BENCHMARKS}/search/{{model}}/{{index}}/{{corpus}}.tsv"
    conda:
        "../envs/cpu.yaml"
    threads: 8
    resources:
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        version=VERSION["search"],
        database=lambda wildcards: f"{FINGERPRINTS}/{wildcards.model}/database",
        queries=lambda wildcards: f"{FINGERPRINTS}/{wildcards.model}/{wildcards.corpus}",
        nprobe=lambda wildcards: config["indexes"][wildcards.index]["nprobe"],
        search_parameters=lambda wildcards: config["indexes"][wildcards.index].get(
            "parameters", ""
        ),
        evaluation={
            k: config["evaluation"][k]
            for k in ("query_segments", "start_every", "candidates")
        },
    script:
        "../workflow/scripts/search.py"


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
        version=VERSION["hit_rates"],
        seed=config["seed"],
        resamples=config["evaluation"]["resamples"],
    script:
        "../workflow/scripts/hit_rates.py"
