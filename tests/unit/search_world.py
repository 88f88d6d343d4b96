"""A small made-up world for tests of search and evaluation: databases, queries and all files around them."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from nmfp.files import generator, write_csv, write_json, write_npy


def walk(rng, rows, dimension, step=0.35):
    """Unit vectors that wander, as fingerprints of overlapping segments do."""
    x = np.cumsum(rng.normal(size=(rows, dimension)) * step, axis=0) + rng.normal(size=dimension)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def noisy(rng, vectors, amount):
    """The same vectors, disturbed and of unit length again."""
    x = vectors + rng.normal(size=vectors.shape) * amount / vectors.shape[1] ** 0.5
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def write_fingerprints(folder, ids, rows, vectors, digest="m1", silent=None, end=None):
    """A merged folder as docs/formats.md has it; tracks lie one after another unless their ends say otherwise."""
    folder = Path(folder)
    end = np.cumsum(rows) if end is None else end
    write_npy(folder / "database.npy", vectors)
    write_npy(folder / "silent.npy", np.zeros(len(vectors), bool) if silent is None else silent)
    tracks = pd.DataFrame(
        {"id": ids, "row_start": end - rows, "row_end": end, "samples": (np.array(rows) + 1) * 4000}
    )
    tracks["sha256"], tracks["status"], tracks["reason"] = "", "ok", ""
    write_csv(folder / "tracks.csv", tracks)
    info = {
        "rows": len(vectors),
        "dimension": vectors.shape[1],
        "dtype": str(vectors.dtype),
        "model": "test",
        "model_digest": digest,
        "hop_samples": 4000,
        "tracks": len(ids),
        "sha256": hashlib.sha256(np.ascontiguousarray(vectors).tobytes()).hexdigest(),
    }
    write_json(folder / "database.json", info)
    return info


def write_world(root, tracks=12, queries=6, unknown=4, dimension=16, noise=0.8, query_rows=59, seed=0):
    """Database, known and unknown queries with provenance, below `root` as the pipeline lays them out."""
    root, rng = Path(root), generator(seed, "world")
    rows = rng.integers(60, 90, tracks)
    ids = [f"00{i}/{i:06d}.mp3" for i in range(tracks)]
    vectors = np.concatenate([walk(rng, n, dimension) for n in rows])
    start = np.cumsum(rows) - rows
    write_fingerprints(root / "fingerprints/test/database", ids, rows, vectors)
    write_csv(
        root / "data/database/tracks.csv",
        pd.DataFrame({"id": ids, "path": [f"audio/{i}.wav" for i in ids], "reason": ""}),
    )
    for name, count in (("queries", queries), ("unknown", unknown)):
        known = name == "queries"
        owner = np.arange(count) % tracks
        at = np.array([rng.integers(0, rows[t] - query_rows + 1) for t in owner], dtype=int)
        parts = [
            vectors[start[t] + a : start[t] + a + query_rows] if known else walk(rng, query_rows, dimension)
            for t, a in zip(owner, at, strict=True)
        ]
        query_ids = [f"{name}{i}" for i in range(count)]
        corpus = f"{name}_degraded_shifted"
        write_fingerprints(
            root / f"fingerprints/test/{corpus}",
            query_ids,
            [query_rows] * count,
            noisy(rng, np.concatenate(parts), noise),
        )
        provenance = pd.DataFrame(
            {"id": query_ids, "track_id": [ids[t] if known else f"u{t}" for t in owner]}
        )
        provenance["start_sample"] = at * 4000 + 100
        provenance["start_sample_shifted"] = at * 4000 - 1900 * (at > 0)
        provenance["samples"] = 240_000
        provenance["noise_id"], provenance["room_id"], provenance["microphone_id"] = "n1", "r1", "m1"
        provenance["noise_start_sample"] = 0
        provenance["snr_db"] = rng.uniform(0, 10, count).round(3)
        provenance["room_gain"] = provenance["microphone_gain"] = 1.0
        write_csv(root / f"data/{name}/provenance.csv", provenance)
        write_csv(
            root / f"data/{corpus}/tracks.csv",
            pd.DataFrame({"id": query_ids, "path": [f"audio/{i}.wav" for i in query_ids], "reason": ""}),
        )
    return root


class Files(dict):
    """Named inputs or outputs of a rule."""

    __getattr__ = dict.__getitem__


def rule(tmp, inputs, outputs, params=None, wildcards=None, threads=1):
    """What a script gets as `snakemake`."""
    return SimpleNamespace(
        input=Files(inputs),
        output=Files(outputs),
        params=Files(params or {}),
        wildcards=SimpleNamespace(**(wildcards or {})),
        threads=threads,
        log=[str(Path(tmp) / "log.txt")],
    )


EVALUATION = {"query_segments": [1, 3, 5, 9, 19], "start_every": 7, "candidates": 20}


def build_index(root, factory="Flat", name="test", threads=1, every=1, shards=1):
    """Run train_index and fill_index, or fill_shard for each of several shards."""
    import fill_index
    import fill_shard
    import train_index

    database, index = root / "fingerprints/test/database", root / f"index/test/{name}"
    inputs = {"fingerprints": database / "database.npy", "info": database / "database.json"}
    outputs = {"index": index / "trained.faiss", "info": index / "trained.json"}
    train_index.main(
        rule(root, inputs, outputs, {"seed": 1, "factory": factory, "every": every}, threads=threads)
    )
    inputs |= {"trained": index / "trained.faiss", "trained_info": index / "trained.json"}
    for shard in range(shards):
        name = f"shards/{shard}" if shards > 1 else "index"
        outputs = {"index": index / f"{name}.faiss", "info": index / f"{name}.json"}
        if shards == 1:
            fill_index.main(rule(root, inputs, outputs, threads=threads))
        else:
            wildcards = {"shard": str(shard)}
            fill_shard.main(rule(root, inputs, outputs, {"shards": shards}, wildcards, threads))
    return index


def search_shards(root, index, corpus, evaluation, threads=1, nprobe=40):
    """Run search_shard for each; the inputs that search has of them."""
    import search_shard

    found = {"shard_distances": [], "shard_rows": []}
    for path in sorted((index / "shards").glob("*.faiss")):
        folder = root / f"evaluation/test/{index.name}/{corpus}/shards"
        outputs = {name: folder / f"{path.stem}.{name}.npy" for name in ("distances", "rows")}
        inputs = {
            "index": path,
            "index_info": path.with_suffix(".json"),
            "database_info": root / "fingerprints/test/database/database.json",
        }
        params = {
            "queries": root / f"fingerprints/test/{corpus}",
            "nprobe": nprobe,
            "search_parameters": "",
            "on_disk": False,
            "candidates": evaluation["candidates"],
        }
        search_shard.main(rule(root, inputs, outputs, params, {"shard": path.stem}, threads))
        found["shard_distances"].append(outputs["distances"])
        found["shard_rows"].append(outputs["rows"])
    return found


def run_search(root, index, corpus="queries_degraded_shifted", threads=1, nprobe=40, evaluation=EVALUATION):
    """Run search; returns the path of analysis.csv."""
    import search

    analysis = root / f"evaluation/test/{index.name}/{corpus}/analysis.csv"
    search.main(
        rule(
            root,
            {
                **(
                    search_shards(root, index, corpus, evaluation, threads, nprobe)
                    if (index / "shards").exists()
                    else {"index": index / "index.faiss", "index_info": index / "index.json"}
                ),
                "provenance": root / f"data/{corpus.split('_')[0]}/provenance.csv",
                "query_tracks": root / f"data/{corpus}/tracks.csv",
                "database_tracks": root / "data/database/tracks.csv",
            },
            {"analysis": analysis},
            {
                "database": root / "fingerprints/test/database",
                "queries": root / f"fingerprints/test/{corpus}",
                "nprobe": nprobe,
                "search_parameters": "",
                "on_disk": False,
                "evaluation": evaluation,
            },
            {"corpus": corpus, "model": "test", "index": index.name},
            threads,
        )
    )
    return analysis
