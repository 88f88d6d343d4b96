"""Compare an index with exact search: recall, size and speed, one row in recall.csv."""

import logging
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from nmfp.database.fingerprints import open_fingerprints
from nmfp.errors import NmfpError
from nmfp.evaluation.recall import ANSWERS, COLUMNS, compare, nearest_rows, sample_rows, timed
from nmfp.files import script_log, write_csv
from nmfp.model.devices import claim, requested
from nmfp.search import index
from nmfp.search.shards import merge_neighbours

log = logging.getLogger("nmfp")


def search_files(snakemake, database, queries, devices):
    """Answers (n, k) of all files of an index, the seconds that searching them took, and what is known of the index."""
    params, k = snakemake.params, max(ANSWERS, snakemake.params.candidates)
    fitting = {key: database.info[key] for key in ("model_digest", "dimension", "rows")}
    fitting["database_sha256"] = database.info["sha256"]
    distances, rows, seconds = [], [], 0.0
    for path in snakemake.input.index:
        part, info = index.read(path, fitting, params.on_disk)
        index.set_search_parameters(part, params.nprobe, params.search_parameters)
        probes, first, every = index.probes(part), info.get("row_start", 0), info["every"]
        part, device = index.to_gpu(part, info["resolved"], devices)
        found, took = timed(partial(index.search, part, queries, k, snakemake.threads, first, every))
        distances.append(found[0])
        rows.append(found[1])
        seconds += took
    return merge_neighbours(distances, rows, k), seconds, {**info, "probes": probes, "device": device}


def main(snakemake):
    """Contract: rules/evaluate.smk."""
    with script_log(snakemake.log[0]), claim(requested(snakemake)) as devices:
        params, inputs, threads = snakemake.params, snakemake.input, snakemake.threads
        database, asked = open_fingerprints(params.database), open_fingerprints(params.queries)
        rows = sample_rows(asked.tracks, params.seed)
        if not len(rows):
            raise NmfpError(f"{params.queries} holds no queries; see its failures.csv.")
        queries = np.ascontiguousarray(asked.vectors[rows], dtype=np.float32)
        answers, seconds, info = search_files(snakemake, database, queries, devices)
        nearest = nearest_rows(database.vectors, queries, threads)
        recall = compare(database.vectors, queries, nearest, answers)
        size = sum(Path(path).stat().st_size for path in inputs.index)
        row = {
            "model": snakemake.wildcards.model,
            "index": snakemake.wildcards.index,
            "factory": info["resolved"],
            "probes": info["probes"],
            "every": info["every"],
            "rows": info["rows"],
            "bytes_per_fingerprint": round(size / info["rows"], 1),
            "segments": len(rows),
            **{name: round(share, 6) for name, share in recall._asdict().items()},
            "segments_per_second": round(len(rows) / seconds),
            "threads": threads,
            "device": info["device"],
        }
        write_csv(snakemake.output.table, pd.DataFrame([row], columns=COLUMNS))
        log.info(
            "%s: recall@1 %.3f, recall@10 %.3f, %.1f bytes a fingerprint, %d segments a second",
            row["factory"],
            recall.recall_1,
            recall.recall_10,
            row["bytes_per_fingerprint"],
            row["segments_per_second"],
        )


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
