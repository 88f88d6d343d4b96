"""Everything a reader wants to see, in one folder.

INPUTS   evaluation/**/{hit_rates,analysis,recall}.csv, models/<model>/history.csv, query and database audio
OUTPUTS  report/{hit_rates,accuracy,breakdowns,cross_table,indexes,models,recall}.csv,
         report/{hit_rates,training,match,scores,det,breakdowns,recall}.svg,
         report/{tables,misses}.html; report.html by `snakemake --report`
"""


rule report:
    input:
        hit_rates=expand(
            f"{EVALUATION}/{{run}}/hit_rates.csv", run=evaluated_runs(KNOWN_CORPORA)
        ),
        analyses=expand(
            f"{EVALUATION}/{{run}}/analysis.csv", run=evaluated_runs(KNOWN_CORPORA)
        ),
        unknown=expand(
            f"{EVALUATION}/{{run}}/analysis.csv", run=evaluated_runs(UNKNOWN_CORPORA)
        ),
        recalls=expand(
            f"{EVALUATION}/{{model}}/{{index}}/recall.csv",
            model=config["models"],
            index=config["evaluation"]["indexes"],
        ),
        histories=expand(f"{MODELS}/{{model}}/history.csv", model=TRAINED),
        origins=expand(f"{MODELS}/{{model}}/origin.json", model=IMPORTED),
        indexes=expand(
            f"{INDEX}/{{model}}/{{index}}/trained.json",
            model=config["models"],
            index=config["evaluation"]["indexes"],
        ),
        databases=expand(
            f"{FINGERPRINTS}/{{model}}/database/database.json", model=config["models"]
        ),
        provenances=expand(f"{DATA}/{{query_set}}/provenance.csv", query_set=KNOWN_SETS),
        tracks=corpus_table("database"),
        rooms=expand(
            "{room}.{suffix}", room=room_recordings().values(), suffix=["npy", "csv"]
        ),
        decisions=expand(f"{MODELS}/{{model}}/decision.json", model=config["models"]),
        calibrations=expand(
            f"{FINGERPRINTS}/{{model}}/database/calibration.json",
            model=config["models"],
        ),
    output:
        hit_rates=report(
            f"{REPORT}/hit_rates.csv",
            caption="../workflow/report/hit_rates_table.rst",
            category="Hit rates",
            labels={"what": "all hit rates (table)"},
        ),
        hit_rates_figure=report(
            f"{REPORT}/hit_rates.svg",
            caption="../workflow/report/hit_rates.rst",
            category="Hit rates",
            labels={"what": "hit rate by query length"},
        ),
        models=report(
            f"{REPORT}/models.csv",
            caption="../workflow/report/models.rst",
            category="Training",
            labels={"what": "trained here or imported (table)"},
        ),
        training=report(
            f"{REPORT}/training.svg",
            caption="../workflow/report/training.rst",
            category="Training",
            labels={"what": "training curves"},
        ),
        match=report(
            f"{REPORT}/match.svg",
            caption="../workflow/report/match.rst",
            category="Hit rates",
            labels={"what": "a query above its match"},
        ),
        scores=report(
            f"{REPORT}/scores.svg",
            caption="../workflow/report/scores.rst",
            category="Hit rates",
            labels={"what": "scores of right and wrong answers"},
        ),
        breakdowns_figure=report(
            f"{REPORT}/breakdowns.svg",
            caption="../workflow/report/breakdowns.rst",
            category="Hit rates",
            labels={"what": "hit rate by circumstance"},
        ),
        breakdowns=report(
            f"{REPORT}/breakdowns.csv",
            caption="../workflow/report/breakdowns.rst",
            category="Hit rates",
            labels={"what": "hit rate by circumstance (table)"},
        ),
        cross_table=report(
            f"{REPORT}/cross_table.csv",
            caption="../workflow/report/cross_table.rst",
            category="Hit rates",
            labels={"what": "models by query sets (table)"},
        ),
        accuracy=report(
            f"{REPORT}/accuracy.csv",
            caption="../workflow/report/accuracy.rst",
            category="Hit rates",
            labels={"what": "ranks and time errors (table)"},
        ),
        indexes=report(
            f"{REPORT}/indexes.csv",
            caption="../workflow/report/indexes.rst",
            category="Indexes",
            labels={"what": "how far the database has outgrown them (table)"},
        ),
        recall=report(
            f"{REPORT}/recall.csv",
            caption="../workflow/report/recall.rst",
            category="Indexes",
            labels={"what": "against exact search (table)"},
        ),
        recall_figure=report(
            f"{REPORT}/recall.svg",
            caption="../workflow/report/recall.rst",
            category="Indexes",
            labels={"what": "recall by size and by speed"},
        ),
        tables=report(
            f"{REPORT}/tables.html",
            caption="../workflow/report/tables.rst",
            category="Tables",
            labels={"what": "all tables, sortable"},
        ),
        misses=report(
            f"{REPORT}/misses.html",
            caption="../workflow/report/misses.rst",
            category="Hit rates",
            labels={"what": "the worst misses, to listen to"},
        ),
        det=report(
            f"{REPORT}/det.svg",
            caption="../workflow/report/det.rst",
            category="Not in the database",
            labels={"what": "false accepts against misses"},
        ),
    log:
        f"{LOGS}/report.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        version=CODE["report"],
        listed=lambda wildcards: listed("database"),
        runs=evaluated_runs(KNOWN_CORPORA),
        models={model: MODEL_CONFIGS[model] for model in config["models"]},
        trained_on={
            model: experiment.model_set(config, MODEL_CONFIGS[model])
            for model in TRAINED
        },
        asked_with={s: chosen["degradations"] for s, chosen in KNOWN_SETS.items()},
        rooms=room_recordings(),
        seed=config["seed"],
        resamples=config["evaluation"]["resamples"],
        data=lambda wildcards: DATA,
    script:
        "../workflow/scripts/report.py"
