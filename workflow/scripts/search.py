"""Search all queries, align, score; one row a sequence in analysis.csv."""

import logging

import numpy as np
import pandas as pd
from nmfp.database.fingerprints import open_fingerprints
from nmfp.datasets.corpora import QueryCorpus
from nmfp.errors import NmfpError
from nmfp.evaluation.sequences import (
    ANALYSIS_COLUMNS,
    Plan,
    analyse,
    bounds_of,
    by_index,
    by_shards,
    place_queries,
    truth_of,
)
from nmfp.files import progress, read_csv, script_log, write_csv
from nmfp.model.devices import claim, requested
from nmfp.search import index

log = logging.getLogger("nmfp")


def nearest(snakemake, database, candidates, devices):
    """Where neighbours come from: an index, or what was found in its shards."""
    inputs, params = snakemake.input, snakemake.params
    if inputs.get("shard_rows"):
        distances = [np.load(path, mmap_mode="r") for path in inputs.shard_distances]
        return by_shards(distances, [np.load(path, mmap_mode="r") for path in inputs.shard_rows], candidates)
    fitting = {key: database.info[key] for key in ("model_digest", "dimension", "rows")}
    fitting["database_sha256"] = database.info["sha256"]
    searched, info = index.read(inputs.index, fitting, params.on_disk)
    index.set_search_parameters(searched, params.nprobe, params.search_parameters)
    searched, device = index.to_gpu(searched, info["resolved"], devices)
    log.info("searched on %s", device)
    return by_index(searched, candidates, snakemake.threads, info["every"])


def main(snakemake):
    """Contract: rules/evaluate.smk."""
    with script_log(snakemake.log[0]), claim(requested(snakemake)) as devices:
        params, threads = snakemake.params, snakemake.threads
        corpus = QueryCorpus.parse(snakemake.wildcards.corpus)
        database, queries = open_fingerprints(params.database), open_fingerprints(params.queries)
        if queries.info["model_digest"] != database.info["model_digest"]:
            raise NmfpError(
                f"{params.queries} and {params.database} come from different models; extract both again."
            )
        evaluation = params.evaluation
        plan = Plan(
            tuple(sorted(evaluation["query_segments"])), evaluation["start_every"], evaluation["candidates"]
        )
        bounds, tracks = bounds_of(database)
        names = ["id", "path"]
        track_paths = read_csv(snakemake.input.database_tracks, names).set_index("id")["path"]
        query_paths = read_csv(snakemake.input.query_tracks, names).set_index("id")["path"]
        truth = truth_of(
            queries.tracks,
            read_csv(snakemake.input.provenance, ["id", "track_id"], text=("id", "track_id")),
            query_paths.to_dict(),
            tracks["id"],
            corpus.shifted,
        )
        paths = tracks["id"].map(track_paths).fillna(tracks["id"]).to_numpy(object)
        neighbours = nearest(snakemake, database, plan.candidates, devices)
        tables = []
        found = place_queries(queries, database, neighbours, plan, threads)
        for part, answers in progress(found, unit="batch", label="search"):
            tables.append(analyse(part, answers, truth, bounds, paths))
        if not tables and not corpus.unknown:
            raise NmfpError(f"{params.queries} holds no queries; see its failures.csv.")
        # an experiment may do without unknown tracks
        empty = pd.DataFrame(columns=ANALYSIS_COLUMNS)
        analysis = pd.concat(tables, ignore_index=True) if tables else empty
        write_csv(snakemake.output.analysis, analysis)
        log.info("%d sequences, %d without an answer", len(analysis), int(analysis["score"].isna().sum()))


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
