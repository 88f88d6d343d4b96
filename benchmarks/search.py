"""Seconds a query, recall and memory of index types, end
to end: search, alignment, scores, all starts and lengths.

    python benchmarks/search.py --rows 187465 --indexes flat,paper,auto
    python benchmarks/search.py --rows 2000000 --indexes all --output search.json
    python benchmarks/search.py --experiment results/demo --model demo-ntxent --indexes all

A made-up database: tracks wander on a curved surface of few dimensions inside the 128 of a fingerprint, as
fingerprints of music do; queries of 59 segments are cut from it and disturbed. Every index answers the same
queries; hits and recall are counted against exact search. `--loop 6` also times a straightforward loop (a
search for each sequence, one candidate at a time) on that many queries, alternating with the vectorised
search, so that the ratio holds on a busy machine.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow/scripts"))

import numpy as np
import pandas as pd
from nmfp.database.fingerprints import open_fingerprints
from nmfp.evaluation.sequences import bounds_of
from nmfp.files import generator
from nmfp.search import index as nn
from nmfp.search.matching import Bounds, match
from nmfp.segments import true_row

DIMENSION, LATENT, TRACK_ROWS, QUERY_ROWS = 128, 24, 240, 59
LENGTHS, EVERY, CANDIDATES = (1, 3, 5, 9, 19), 7, 20
INDEXES = {
    "flat": ("Flat", 1, ""),
    "ivf": ("IVF256,Flat", 40, ""),
    "paper": ("IVF256,PQ64x8", 40, ""),
    "pq64": ("PQ64x8", 1, ""),
    "ivfpq32": ("IVF256,PQ32x8", 40, ""),
    "ivfpq16": ("IVF256,PQ16x8", 40, ""),
    "fastscan": ("PQ64x4fs_64,RFlat", 1, "k_factor_rf=4"),
    "ivffastscan": ("IVF1024,PQ64x4fs,RFlat", 32, "k_factor_rf=4"),
    "fastscan_fp16": ("PQ64x4fs,Refine(SQfp16)", 1, "k_factor_rf=4"),
    "hnsw": ("HNSW32", 1, "efSearch=64"),
    "auto": ("auto", None, ""),
}


def surface(seed: int):
    """A fixed smooth map of the latent space onto unit vectors."""
    rng = generator(seed, "surface")
    inner = rng.normal(size=(LATENT, 96)).astype(np.float32) / LATENT**0.5
    outer = rng.normal(size=(96, DIMENSION)).astype(np.float32)

    def embed(latent: np.ndarray) -> np.ndarray:
        x = np.sin(1.5 * latent @ inner) @ outer
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    return embed


def make_database(rows: int, seed: int) -> tuple[np.ndarray, Bounds]:
    """Vectors (rows, 128) float32 and the bounds of tracks of 240 rows."""
    embed = surface(seed)
    start = np.arange(0, rows, TRACK_ROWS)
    end = np.minimum(start + TRACK_ROWS, rows)
    vectors = np.empty((rows, DIMENSION), np.float32)
    for i in range(0, len(start), 256):
        rng = generator(seed, "tracks", i)
        tracks = len(start[i : i + 256])
        latent = rng.normal(size=(tracks, 1, LATENT)) + 0.3 * np.cumsum(
            rng.normal(size=(tracks, TRACK_ROWS, LATENT)), axis=1
        )
        made = embed(latent.astype(np.float32)).reshape(-1, DIMENSION)
        vectors[start[i] : end[min(i + 256, len(start)) - 1]] = made[
            : end[min(i + 256, len(start)) - 1] - start[i]
        ]
    return vectors, Bounds(start, end)


def make_queries(vectors, bounds, count: int, noise: float, seed: int):
    """Disturbed cuts: vectors (count * 59, 128) and the database row where each begins."""
    rng = generator(seed, "queries")
    whole = np.flatnonzero(bounds.end - bounds.start >= QUERY_ROWS)
    track = rng.choice(whole, count)
    place = bounds.start[track] + rng.integers(0, bounds.end[track] - bounds.start[track] - QUERY_ROWS + 1)
    x = vectors[place[:, None] + np.arange(QUERY_ROWS)].reshape(-1, DIMENSION)
    # Noise that changes slowly, as that of a room does, and as much again that does not
    steady = np.repeat(rng.normal(size=(count, DIMENSION)), QUERY_ROWS, axis=0)
    x = x + noise / DIMENSION**0.5 * (steady + rng.normal(size=x.shape))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), place


def read_experiment(folder: Path, model: str, corpus: str):
    """Database, bounds, queries of 59 segments and their true rows of a finished run."""
    database = open_fingerprints(folder / "fingerprints" / model / "database")
    asked = open_fingerprints(folder / "fingerprints" / model / corpus)
    bounds, tracks = bounds_of(database)
    provenance = pd.read_csv(folder / "data/queries/provenance.csv", dtype={"id": str, "track_id": str})
    provenance = provenance.set_index("id").loc[asked.tracks["id"]]
    column = "start_sample_shifted" if corpus.endswith("_shifted") else "start_sample"
    whole = (asked.tracks["row_end"] - asked.tracks["row_start"]).to_numpy() == QUERY_ROWS
    track = pd.Index(tracks["id"]).get_indexer(provenance["track_id"])
    place = bounds.start[track] + true_row(provenance[column].to_numpy())
    rows = asked.tracks["row_start"].to_numpy()[whole][:, None] + np.arange(QUERY_ROWS)
    queries = np.asarray(asked.vectors[rows.ravel()], dtype=np.float32)
    return np.asarray(database.vectors, dtype=np.float32), bounds, queries, place[whole]


def hop_of_one_second(vectors, bounds, queries, place, threads: int) -> dict:
    """Half the rows: every second of each track, searched exactly by every second segment of the queries."""
    kept = [np.arange(a, b, 2) for a, b in zip(bounds.start, bounds.end, strict=True)]
    end = np.cumsum([len(rows) for rows in kept])
    sparse = Bounds(np.concatenate([[0], end[:-1]]), end)
    kept = np.concatenate(kept)
    count = len(queries) // QUERY_ROWS
    even = queries.reshape(count, QUERY_ROWS, -1)[:, ::2]
    segments = even.shape[1]
    flat, _ = nn.train(vectors[kept], "Flat", 1, threads)
    nn.fill(flat, vectors[kept], threads=threads)
    even = np.ascontiguousarray(even.reshape(-1, even.shape[2]))
    lengths = tuple((n + 1) // 2 for n in LENGTHS)

    def search():
        rows = nn.search(flat, even, CANDIDATES, threads)[1]
        return match(
            even, np.arange(count + 1) * segments, rows, vectors[kept], sparse, lengths, 4, threads=threads
        )

    found, wall, _ = timed(search, 1)
    answered = kept[np.maximum(found.place, 0)]
    true = place[found.windows.query] + 2 * found.windows.start
    near = (np.abs(answered - true[:, None]) <= 1) & (found.track >= 0)
    return {
        "index": "flat, hop of 1 s",
        "rows": len(kept),
        "bytes_per_fingerprint": 4.0 * vectors.shape[1],
        "queries_per_second": round(count / wall, 1),
        "near_hit_rates": {
            f"{(n + 1) / 2:g}": round(float(r), 4) for n, r in zip(LENGTHS, near.mean(axis=0), strict=True)
        },
    }


def answer(index, queries, vectors, bounds, threads: int):
    """All sequences of all queries by one search: the pipeline's search stage without its files."""
    count = len(queries) // QUERY_ROWS
    found = nn.search(index, queries, CANDIDATES, threads)[1]
    return match(
        queries, np.arange(count + 1) * QUERY_ROWS, found, vectors, bounds, LENGTHS, EVERY, threads=threads
    ), found


def loop(index, queries, vectors, bounds, threads: int):
    """The same, written straightforwardly: {(query, start, length): place}."""
    places = {}
    for query in range(len(queries) // QUERY_ROWS):
        for start in range(0, QUERY_ROWS - LENGTHS[-1] + 1, EVERY):
            for length in LENGTHS:
                first = query * QUERY_ROWS + start
                sequence = queries[first : first + length]
                _, rows = nn.search(index, sequence, CANDIDATES, threads)
                best, best_score = -1, -np.inf
                for place in np.unique(rows - np.arange(length)[:, None]):
                    track = np.searchsorted(bounds.start, place, side="right") - 1
                    if place < 0 or place + length > bounds.end[track]:
                        continue
                    score = np.mean(np.diag(sequence @ vectors[place : place + length].T))
                    if score > best_score:
                        best, best_score = place, score
                places[query, start, length] = best
    return places


def hit_rates(found, place) -> dict:
    """Share of sequences whose row is right or next to it, by length in seconds."""
    true = place[found.windows.query] + found.windows.start
    right = (np.abs(found.place - true[:, None]) <= 1) & (found.track >= 0)
    return {f"{(n + 1) / 2:g}": round(float(r), 4) for n, r in zip(LENGTHS, right.mean(axis=0), strict=True)}


def timed(function, repeats: int):
    """Result, least wall-clock and least processor seconds of several calls."""
    wall, processor = [], []
    for _ in range(repeats):
        start, cpu = time.perf_counter(), time.process_time()
        result = function()
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - cpu)
    return result, min(wall), min(processor)


def measure(name, vectors, bounds, queries, place, exact, options) -> dict:
    """Build one index and time it."""
    factory, nprobe, parameters = INDEXES[name]
    factory = factory.replace("PQ64x4", f"PQ{vectors.shape[1] // 2}x4")
    count = len(queries) // QUERY_ROWS
    (index, resolved), train_wall, _ = timed(lambda: nn.train(vectors, factory, 1, options.threads), 1)
    _, add_wall, _ = timed(lambda: nn.fill(index, vectors, threads=options.threads), 1)
    nn.set_search_parameters(index, nprobe, parameters)
    (found, rows), wall, processor = timed(
        lambda: answer(index, queries, vectors, bounds, options.threads), options.repeats
    )
    _, alone, _ = timed(lambda: nn.search(index, queries, CANDIDATES, options.threads), options.repeats)
    row = {
        "index": name,
        "factory": resolved,
        "rows": len(vectors),
        "bytes_per_fingerprint": round(len(nn.faiss.serialize_index(index)) / len(vectors), 1),
        "train_s": round(train_wall, 2),
        "add_s": round(add_wall, 2),
        "seconds_per_query": round(wall / count, 5),
        "processor_seconds_per_query": round(processor / count, 5),
        "of_which_search": round(alone / count, 5),
        "queries_per_second": round(count / wall, 1),
        "recall_at_1": round(float((rows[:, 0] == exact["rows"][:, 0]).mean()), 4),
        "near_hit_rates": hit_rates(found, place),
        "answers_as_exact_search": round(float((found.place == exact["place"]).mean()), 5),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    if options.loop:
        some = queries[: options.loop * QUERY_ROWS]
        ratios = []
        for _ in range(3):
            places, slow, _ = timed(lambda: loop(index, some, vectors, bounds, options.threads), 1)
            (some_found, _), fast, _ = timed(lambda: answer(index, some, vectors, bounds, options.threads), 1)
            ratios.append(slow / fast)
        same = [
            places[q, s, n] == some_found.place[w, i]
            for w, (q, s) in enumerate(zip(some_found.windows.query, some_found.windows.start, strict=True))
            for i, n in enumerate(LENGTHS)
        ]
        row |= {
            "loop_seconds_per_query": round(slow / options.loop, 4),
            "times_faster_than_loop": [round(r, 1) for r in ratios],
            "same_answers_as_loop": round(float(np.mean(same)), 5),
        }
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=187_465)
    parser.add_argument("--queries", type=int, default=120)
    parser.add_argument("--indexes", default="flat,paper,auto", help="'all' or names: " + ", ".join(INDEXES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--noise", type=float, default=1.0)
    parser.add_argument("--loop", type=int, default=0)
    parser.add_argument("--experiment", type=Path, help="a finished run instead of a made-up database")
    parser.add_argument("--model", default="demo-ntxent")
    parser.add_argument("--corpus", default="queries_degraded_shifted")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if options.experiment:
        vectors, bounds, queries, place = read_experiment(options.experiment, options.model, options.corpus)
    else:
        vectors, bounds = make_database(options.rows, 27)
        queries, place = make_queries(vectors, bounds, options.queries, options.noise, 27)
    flat, _ = nn.train(vectors, "Flat", 1)
    nn.fill(flat, vectors)
    found, rows = answer(flat, queries, vectors, bounds, options.threads)
    exact = {"place": found.place, "rows": rows}
    del flat
    results = []
    for name in list(INDEXES) if options.indexes == "all" else options.indexes.split(","):
        results.append(measure(name, vectors, bounds, queries, place, exact, options))
        print(json.dumps(results[-1]), flush=True)
    if options.indexes == "all":
        results.append(hop_of_one_second(vectors, bounds, queries, place, options.threads))
        print(json.dumps(results[-1]), flush=True)
    if options.output:
        options.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
