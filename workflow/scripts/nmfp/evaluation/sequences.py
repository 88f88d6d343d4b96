"""Queries whose place is known against a database: one row a sequence, with the answer and the truth."""

from collections.abc import Iterator
from typing import NamedTuple

import faiss
import numpy as np
import pandas as pd

from nmfp.database.fingerprints import Fingerprints
from nmfp.errors import NmfpError
from nmfp.search import index as nn
from nmfp.search.matching import Bounds, Match, match
from nmfp.search.shards import merge_neighbours
from nmfp.segments import HOP_SAMPLES, SAMPLE_RATE, true_row

BATCH_SEGMENTS = 1 << 13
HOP_SECONDS = HOP_SAMPLES / SAMPLE_RATE
ANALYSIS_COLUMNS = [
    "query_audio_path", "query_start_segment", "seq_start_idx", "query_chunk_bound", "seq_len",
    "gt_track_path", "pred_track_path", "pred_start_segment", "score", "query_id", "true_start_seconds",
    "pred_start_seconds",
    "runner_up_track_path", "runner_up_score", "true_track_rank",
]  # fmt: skip


class Plan(NamedTuple):
    """Which sequences are cut from a query and how many neighbours each of their segments asks for."""

    lengths: tuple[int, ...]
    start_every: int
    candidates: int


class Truth(NamedTuple):
    """What is known of each query: arrays of one length, in the order of the query fingerprints."""

    id: np.ndarray
    audio_path: np.ndarray
    track: np.ndarray  # int64: index into the bounds of the database, -1 where the track is in no database
    start_sample: np.ndarray  # float64: first sample of the query in its track, NaN where it is not known


def bounds_of(database: Fingerprints) -> tuple[Bounds, pd.DataFrame]:
    """Row bounds of the tracks that hold rows, and their table.

    Raises:
        NmfpError: no track holds any.
    """
    tracks = database.tracks[database.tracks["row_end"] > database.tracks["row_start"]].reset_index(drop=True)
    if tracks.empty:
        raise NmfpError(f"{database.folder} holds no fingerprints; see its failures.csv.")
    return Bounds(tracks["row_start"].to_numpy(np.int64), tracks["row_end"].to_numpy(np.int64)), tracks


def truth_of(
    queries: pd.DataFrame,
    provenance: pd.DataFrame,
    paths: dict[str, str],
    database_ids: pd.Series,
    shifted: bool,
) -> Truth:
    """Join query fingerprints with where they were cut from.

    Args:
        queries: tracks of the query fingerprints, column id.
        provenance: columns id, track_id and, where places are known, start_sample and start_sample_shifted.
        paths: audio path of every query id.
        database_ids: ids of the database's tracks, in the order of its bounds.
        shifted: whether the second cut, shifted by up to 0.25 s, was fingerprinted.

    Raises:
        NmfpError: a query has no provenance.
    """
    column = "start_sample_shifted" if shifted else "start_sample"
    if not queries["id"].isin(provenance["id"]).all():
        lost = queries["id"][~queries["id"].isin(provenance["id"])].iloc[0]
        raise NmfpError(f"provenance.csv has no row for the query {lost}; make the queries again.")
    known = provenance.set_index("id").loc[queries["id"]]
    starts = known[column] if column in known else pd.Series(np.nan, known.index)
    return Truth(
        id=queries["id"].to_numpy(object),
        audio_path=queries["id"].map(paths).fillna(queries["id"]).to_numpy(object),
        track=pd.Index(database_ids).get_indexer(known["track_id"]).astype(np.int64),
        start_sample=pd.to_numeric(starts, errors="coerce").to_numpy(np.float64),
    )


def batches(row_start: np.ndarray, row_end: np.ndarray, segments: int = BATCH_SEGMENTS) -> Iterator[slice]:
    """Slices of consecutive queries of about `segments` rows, at least one query each."""
    rows = np.cumsum(row_end - row_start)
    first = 0
    while first < len(rows):
        done = rows[first - 1] if first else 0
        last = max(int(np.searchsorted(rows, done + segments, side="right")), first + 1)
        yield slice(first, last)
        first = last


def place_queries(
    queries: Fingerprints, database: Fingerprints, neighbours, plan: Plan, threads: int = 1
) -> Iterator[tuple[slice, Match]]:
    """Match all queries, a bounded batch at a time, by the rule of the paper's figures.

    Args:
        neighbours: function of a slice of query rows and their vectors (m, d) float32 that returns database
            rows (m, k).
    """
    bounds, _ = bounds_of(database)
    starts = queries.tracks["row_start"].to_numpy(np.int64)
    ends = queries.tracks["row_end"].to_numpy(np.int64)
    for part in batches(starts, ends):
        # Removed queries leave gaps between the others, so rows are gathered and not sliced.
        lengths = (ends - starts)[part]
        query_rows = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.repeat(starts[part] - query_rows[:-1], lengths) + np.arange(query_rows[-1])
        vectors = np.ascontiguousarray(queries.vectors[rows], dtype=np.float32)
        found = neighbours(rows, vectors)
        yield (
            part,
            match(
                vectors,
                query_rows,
                found,
                database.vectors,
                bounds,
                plan.lengths,
                plan.start_every,
                threads=threads,
            ),
        )


def by_index(index: faiss.Index, candidates: int, threads: int, every: int = 1):
    """Neighbours by one search of the index, which holds the rows 0, every, 2 every ... of the database."""

    def neighbours(rows: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        return nn.search(index, vectors, candidates, threads, every=every)[1]

    return neighbours


def by_shards(distances: list[np.ndarray], rows: list[np.ndarray], candidates: int):
    """Neighbours that jobs have already found in the shards of an index, merged.

    Args:
        distances: per shard (query rows, k) float32; rows: per shard (query rows, k) int64; may be memmaps.
    """

    def neighbours(wanted: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        return merge_neighbours([d[wanted] for d in distances], [r[wanted] for r in rows], candidates)

    return neighbours


def analyse(part: slice, found: Match, truth: Truth, bounds: Bounds, track_paths: np.ndarray) -> pd.DataFrame:
    """The rows of analysis.csv of one batch, ordered by query, start and length.

    A sequence without an answer keeps its row, with empty pred_* and score.
    """
    windows, count = found.windows, len(found.lengths)
    asked = (found.lengths <= windows.room[:, None]).ravel()
    query = np.repeat(windows.query, count)[asked] + part.start
    start = np.repeat(windows.start, count)[asked]
    length = np.tile(found.lengths, len(windows.query))[asked]
    track, place, score = (a.ravel()[asked] for a in (found.track, found.place, found.score))
    runner_up, runner_up_score = (a.ravel()[asked] for a in (found.runner_up_track, found.runner_up_score))
    true_track = truth.track[query]
    rank = found.ranked.rank_of(truth.track[windows.query + part.start], len(windows.query)).ravel()[asked]
    answered = track >= 0
    predicted = np.where(answered, place - bounds.start[track], 0)
    bound = _nullable(
        true_row(np.nan_to_num(truth.start_sample)).astype(np.int64), np.isfinite(truth.start_sample)
    )
    paths = np.append(track_paths.astype(object), "")  # index -1: no track
    return pd.DataFrame(
        {
            "query_audio_path": truth.audio_path[query],
            "query_start_segment": bound[query] + start,
            "seq_start_idx": start,
            "query_chunk_bound": bound[query],
            "seq_len": length,
            "gt_track_path": paths[true_track],
            "pred_track_path": paths[track],
            "pred_start_segment": _nullable(predicted, answered),
            "score": score,
            "query_id": truth.id[query],
            "true_start_seconds": truth.start_sample[query] / SAMPLE_RATE + start * HOP_SECONDS,
            "pred_start_seconds": np.where(answered, predicted * HOP_SECONDS, np.nan),
            "runner_up_track_path": paths[runner_up],
            "runner_up_score": runner_up_score,
            "true_track_rank": _nullable(rank, (true_track >= 0) & (rank > 0)),
        }
    )[ANALYSIS_COLUMNS]


def _nullable(values: np.ndarray, known: np.ndarray) -> pd.arrays.IntegerArray:
    """Integers of which some are not known: written as whole numbers or empty."""
    return pd.arrays.IntegerArray(values.astype(np.int64), ~known)
