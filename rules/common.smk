"""Names and helpers that all rule files share; no rule lives here.

Collections are sets of source files as they come (music, noise, room, microphone).
Those of another set of degradations than the experiment's own have its name behind them (noise-nafp).
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

from nmfp import experiment
from nmfp.datasets.corpora import QUERY_SETS, VARIANTS, QueryCorpus
from nmfp.datasets.partitions import in_order
from nmfp.datasets.sources import set_folder
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

DEGRADATIONS = list(experiment.KINDS)
# where the source files of each collection come from (nmfp.experiment.recordings_of)
RECORDINGS = {
    kind + experiment.suffix(config, name): origin
    for name in experiment.used_sets(config, MODEL_CONFIGS)
    for kind, origin in experiment.recordings_of(config, name).items()
}
if config["dataset"]["source"] == "folder":
    RECORDINGS["music"] = config["dataset"]["folder"]["music"]
FOLDER_COLLECTIONS = [c for c, origin in RECORDINGS.items() if isinstance(origin, str)]
FETCHED_COLLECTIONS = [
    c for c, origin in RECORDINGS.items() if isinstance(origin, list) and origin
]
COLLECTIONS = list(dict.fromkeys(["music", *RECORDINGS]))
SUFFIXES = [
    experiment.suffix(config, name)
    for name in experiment.used_sets(config, MODEL_CONFIGS)
]

KNOWN_SETS = experiment.query_sets(config)
SPLIT_CORPORA = ["train", "validation", "database", *QUERY_SETS]
QUERY_CORPORA = [
    f"{s}_{v}" for s in dict.fromkeys([*QUERY_SETS, *KNOWN_SETS]) for v in VARIANTS
]
# what is searched for, the experiment's own query set first
KNOWN_CORPORA = [
    f"{s}_{v}" for s, chosen in KNOWN_SETS.items() for v in chosen["evaluate"]
]
UNKNOWN_CORPORA = [f"unknown_{v}" for v in config["queries"]["evaluate"]]


wildcard_constraints:
    collection="|".join(COLLECTIONS),
    degradation="|".join(DEGRADATIONS),
    of="(?:" + "|".join(SUFFIXES) + ")",
    query_set="|".join(dict.fromkeys([*QUERY_SETS, *KNOWN_SETS])),
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


def evaluated_runs(corpora):
    """model/index/queries of each evaluation of these corpora, models first."""
    return expand(
        "{model}/{index}/{corpus}",
        model=config["models"],
        index=config["evaluation"]["indexes"],
        corpus=corpora,
    )


def kind_of(collection):
    """noise of noise-nafp."""
    return collection.split("-")[0]


def asked_tracks(query_set):
    """The corpus that queries are cut from: all query sets but the unknown one share theirs, and its partitions."""
    return query_set.split("-")[0]


def degradation_of(query_set):
    """Set of degradations, switches and SNR of a query set; unknown tracks are treated as the experiment's own set."""
    return KNOWN_SETS["queries" if query_set == "unknown" else query_set]


def degradation_folder(name):
    """Where the recordings of a set of degradations are packed."""
    return f"{DATA}/degradations{experiment.suffix(config, name)}"


def test_recordings(wildcards):
    """Input function, to be unpacked: the recordings that a query set is made bad with, by kind."""
    chosen = degradation_of(wildcards.query_set)
    folder, files = degradation_folder(chosen["degradations"]), {}
    for kind in experiment.recordings_of(config, chosen["degradations"]):
        files[kind] = f"{folder}/test/{kind}.npy"
        files[f"{kind}_table"] = f"{folder}/test/{kind}.csv"
    return files


def room_recordings():
    """Packed rooms of the query sets that have any, without suffix, by query set."""
    return {
        query_set: f"{degradation_folder(chosen['degradations'])}/test/room"
        for query_set, chosen in KNOWN_SETS.items()
        if "room" in experiment.recordings_of(config, chosen["degradations"])
    }


def training_set(wildcards):
    """Set of degradations of a model that is trained here."""
    return experiment.model_set(config, MODEL_CONFIGS[wildcards.model])


def training_model(wildcards):
    """The model's configuration, kinds of degradation that its set lacks switched off."""
    model = MODEL_CONFIGS[wildcards.model]
    kinds = experiment.recordings_of(config, training_set(wildcards))
    return model | {"degradation": experiment.switched(model["degradation"], kinds)}


def training_recordings(wildcards):
    """Input function: the recordings that a model's positives are made bad with."""
    name = training_set(wildcards)
    return expand(
        f"{degradation_folder(name)}/train/{{kind}}.{{suffix}}",
        kind=experiment.recordings_of(config, name),
        suffix=["npy", "csv"],
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


def published_weights(wildcards):
    """Input function: the receipt of a model's published weights; nothing where they lie on this disk already."""
    name = MODEL_CONFIGS[wildcards.model]["entry"]
    return [] if name is None else [f"{RECEIPTS}/{name}.unpacked.json"]


def weights_source(wildcards):
    """Where the weights to import lie."""
    model = MODEL_CONFIGS[wildcards.model]
    if model["entry"] is None:
        return model["weights"]
    return str(set_folder(DOWNLOADS, SOURCES[model["entry"]].set))


def weights_state(wildcards):
    """A digest of the files of weights that lie on this disk already; None of published ones."""
    model = MODEL_CONFIGS[wildcards.model]
    if model["entry"] is not None:
        return None
    path = Path(model["weights"])
    return folder_state(str(path if path.is_dir() else path.parent))


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
