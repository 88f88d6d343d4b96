"""Names and helpers that all rule files share; no rule lives here.

Collections are sets of source files as they come (music, noise, room, microphone).
Corpora are sets of 8 kHz tracks with one purpose: train, validation, database, queries, unknown, and the four variants of
each query set (queries_clean, queries_clean_shifted, queries_degraded, queries_degraded_shifted, unknown_...).
"""

EXPERIMENT = f"results/{config['experiment']}"
DATA = f"{EXPERIMENT}/data"
MODELS = f"{EXPERIMENT}/models"
FINGERPRINTS = f"{EXPERIMENT}/fingerprints"
INDEX = f"{EXPERIMENT}/index"
EVALUATION = f"{EXPERIMENT}/evaluation"
REPORT = f"{EXPERIMENT}/report"
LOGS = f"{EXPERIMENT}/logs"
BENCHMARKS = f"{EXPERIMENT}/benchmarks"

COLLECTIONS = ["music", "noise", "room", "microphone"]
DEGRADATIONS = ["noise", "room", "microphone"]
QUERY_SETS = ["queries", "unknown"]
VARIANTS = ["clean", "clean_shifted", "degraded", "degraded_shifted"]
QUERY_CORPORA = [f"{s}_{v}" for s in QUERY_SETS for v in VARIANTS]


wildcard_constraints:
    collection="|".join(COLLECTIONS),
    degradation="|".join(DEGRADATIONS),
    query_set="|".join(QUERY_SETS),
    training_corpus="train|validation",
    corpus="|".join(["database", *QUERY_SETS, *QUERY_CORPORA]),
    model="|".join(config["models"]),
    index="|".join(config["indexes"]),
    split="train|test",
    n="[0-9]+",


def batch_lists(wildcards):
    """The lists of source files that are converted together, one job each."""
    folder = checkpoints.partition_files.get(
        collection=wildcards.collection
    ).output.lists
    return sorted(glob_wildcards(f"{folder}/{{n}}.csv").n)


def partition_lists(corpus):
    """The lists of tracks that are degraded or fingerprinted together, one job each."""
    folder = checkpoints.partition_tracks.get(corpus=corpus).output.lists
    return sorted(glob_wildcards(f"{folder}/{{n}}.csv").n)


def fingerprint_partitions(suffix):
    """Input function: the files with this suffix of all partitions of a corpus."""

    def names(wildcards):
        return expand(
            f"{FINGERPRINTS}/{wildcards.model}/{wildcards.corpus}/partitions/{{n}}.{suffix}",
            n=partition_lists(wildcards.corpus),
        )

    return names


def partition_size(corpus):
    """Tracks a job: query sets are degraded, everything else is fingerprinted."""
    section = "queries" if corpus in QUERY_SETS else "fingerprints"
    return config[section]["partition_tracks"]


def evaluated_runs(query_set):
    """model/index/queries of each evaluation asked for, models first."""
    return expand(
        "{model}/{index}/{query_set}_{variant}",
        model=config["models"],
        index=config["evaluation"]["indexes"],
        query_set=query_set,
        variant=config["queries"]["evaluate"],
    )
