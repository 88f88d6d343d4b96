"""Names and helpers that all rule files share; no rule lives here.

Collections are sets of source files as they come (music, noise, room, microphone).
Corpora are sets of 8 kHz tracks with one purpose: train, validation, database, queries, unknown, and the four variants of
each query set (queries_clean, queries_clean_shifted, queries_degraded, queries_degraded_shifted, unknown_...).

An input is ancient() where its content is a matter of lists, digests or versions and its time says nothing. Snakemake
keeps that promise only while the file exists, and removes outputs before they are made again: should the lists be looked
at in that moment, all partitions would be fingerprinted anew. Whatever is read as ancient is therefore an update()
output, which stays until its successor takes its name.
"""

import os
import re
from pathlib import Path

from snakemake.logging import logger

from nmfp.datasets.corpora import QUERY_SETS, VARIANTS, QueryCorpus
from nmfp.datasets.partitions import in_order
from nmfp.files import sha256_file
from nmfp.search.gpu_form import gpu_form

# for envs/*.post-deploy.sh, which Snakemake runs from a copy in another folder
os.environ.update(NMFP_ENVS=f"{workflow.basedir}/envs")

# A rule that fails in its first run has no earlier outputs to restore; Snakemake's five lines that say so bury the reason
logger.addFilter(
    lambda record: not re.match(
        "Cannot restore .*: no backup found", record.getMessage()
    )
)

# the rules that a GPU makes faster name this one; a path for Snakemake's conda directive, from the rule files' folder
GPU_ENVIRONMENT = f"../envs/{config['conda_environment']}.yaml"

EXPERIMENT = f"results/{config['experiment']}"
DATA = f"{EXPERIMENT}/data"
MODELS = f"{EXPERIMENT}/models"
FINGERPRINTS = f"{EXPERIMENT}/fingerprints"
INDEX = f"{EXPERIMENT}/index"
EVALUATION = f"{EXPERIMENT}/evaluation"
REPORT = f"{EXPERIMENT}/report"
LOGS = f"{EXPERIMENT}/logs"
BENCHMARKS = f"{EXPERIMENT}/benchmarks"

# models by where their weights come from
IMPORTED = [m for m in config["models"] if "weights" in MODEL_CONFIGS[m]]
TRAINED = [m for m in config["models"] if m not in IMPORTED]

COLLECTIONS = ["music", "noise", "room", "microphone"]
DEGRADATIONS = ["noise", "room", "microphone"]
SPLIT_CORPORA = ["train", "validation", "database", *QUERY_SETS]
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


def one_of(names):
    """A pattern for a wildcard that may be any of these names; nothing fits where there is none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def batch_lists(wildcards):
    """The lists of source files that are converted together, one job each."""
    folder = checkpoints.partition_files.get(
        collection=wildcards.collection
    ).output.lists
    return in_order(glob_wildcards(f"{folder}/{{n,[0-9]+}}.csv").n)


def partition_lists(corpus):
    """The lists of tracks that are degraded or fingerprinted together, one job each."""
    folder = checkpoints.partition_tracks.get(corpus=corpus).output.lists
    return in_order(glob_wildcards(f"{folder}/{{n,[0-9]+}}.csv").n)


def fingerprint_partitions(suffix):
    """Input function: the files with this suffix of all partitions of a corpus."""

    def names(wildcards):
        return expand(
            f"{FINGERPRINTS}/{wildcards.model}/{wildcards.corpus}/partitions/{{n}}.{suffix}",
            n=partition_lists(wildcards.corpus),
        )

    return names


def corpus_table(corpus):
    """The table of a corpus as an input; whoever takes an ancient one has params.listed as well.

    split_music writes all its tables again whenever music comes, goes or changes. Their time therefore says nothing, and
    their content does: Snakemake looks at the params of all who read them when split_music, a checkpoint, is done.
    """
    table = f"{DATA}/{corpus}/tracks.csv"
    return ancient(table) if corpus in SPLIT_CORPORA else table


def listed(corpus):
    """Digest of the table of one of SPLIT_CORPORA; None for another corpus, and where it is still to be made."""
    table = Path(f"{DATA}/{corpus}/tracks.csv")
    known = corpus in SPLIT_CORPORA and table.exists()
    return sha256_file(table) if known else None


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


def index_setting(key, default):
    """Input or params function: a setting of the index at hand."""
    return lambda wildcards: config["indexes"][wildcards.index].get(key, default)


def search_gpu(wildcards):
    """GPUs that a search asks for: one where FAISS has a GPU form of the index, which must then fit into memory."""
    index = config["indexes"][wildcards.index]
    return int(gpu_form(index["factory"]) != "none" and not index.get("on_disk"))


def shards_of(index):
    """Numbers of an index's shards; none where it is one file."""
    shards = config["indexes"][index].get("shards", 1)
    return list(range(shards)) if shards > 1 else []


def shard_neighbours(suffix):
    """Input function: what was found in each shard of the index; nothing where it has none."""

    def names(wildcards):
        return expand(
            f"{EVALUATION}/{wildcards.model}/{wildcards.index}/{wildcards.corpus}/shards/{{shard}}.{suffix}",
            shard=shards_of(wildcards.index),
        )

    return names


def whole_index(suffix):
    """Input function: the index in one file; nothing where it has shards."""

    def name(wildcards):
        folder = f"{INDEX}/{wildcards.model}/{wildcards.index}"
        return [] if shards_of(wildcards.index) else f"{folder}/index.{suffix}"

    return name


def index_files(wildcards):
    """The files of a finished index: one, or its shards."""
    folder = f"{INDEX}/{wildcards.model}/{wildcards.index}"
    shards = expand(
        f"{folder}/shards/{{shard}}.faiss", shard=shards_of(wildcards.index)
    )
    return shards or [f"{folder}/index.faiss"]


def identification_database(wildcards):
    """What the database holds now: a change of it makes the answers stale.

    Its absolute path is no output, so that a database of this workflow is asked as it is. The experiment's section of
    queries is not known here, since the command line has put a folder in its place, and music would be split anew.
    """
    if not IDENTIFICATION:
        raise WorkflowError(
            "identify needs two keys: snakemake identify --config queries=DIR database=DB"
        )
    return os.path.abspath(f"{IDENTIFICATION['database']}/database.json")
