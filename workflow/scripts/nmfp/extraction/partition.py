"""One extraction job: a list of tracks in, their fingerprints, flags, table and description out.

Batches are filled across tracks, so that short ones cost no more than long ones, but what is kept and
resumed is the track. Decoding, packing and the network overlap: processes decode ahead, one batch is filled
while another is computed.
"""

import hashlib
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd

from nmfp.database.fingerprints import TRACK_COLUMNS, full_disk_explained, unit_length
from nmfp.errors import NmfpError
from nmfp.extraction.decoding import Decoders
from nmfp.extraction.progress import PART_ROWS, Unit, WorkLog, unit_name
from nmfp.extraction.segmenting import Segmenter
from nmfp.files import atomic, digest, progress, read_csv, write_csv, write_json, write_npy
from nmfp.model.engines import Engine
from nmfp.segments import HOP_SAMPLES, SEGMENT_SAMPLES, count_segments

log = logging.getLogger("nmfp")


def read_partition_tracks(tracks: str | Path, partition: str | Path) -> pd.DataFrame:
    """The rows of tracks.csv that a partition's list names, in the list's order.

    Ids that are no longer in tracks.csv are tombstones and left out; so is, where the list has a column
    sha256, an id whose file has other content by now (it stands again in a later list).

    Raises:
        NmfpError: a table is unreadable, or the list names an id twice.
    """
    listed = read_csv(partition, ["id"], text=("id", "sha256"))
    if listed["id"].duplicated().any():
        raise NmfpError(f"{partition} lists {listed['id'][listed['id'].duplicated()].iloc[0]!r} twice.")
    columns = ["id", "path", "samples", "sha256"]
    table = read_csv(tracks, columns, text=("id", "path", "sha256", "reason"))[columns]
    keys = ["id", "sha256"] if "sha256" in listed.columns else ["id"]
    return listed[keys].merge(table, on=keys, how="inner", validate="one_to_one")


def work_key(model_digest: str, engine: Engine, hop: int, version: int | list[str]) -> str:
    """Name of everything that would change a track's fingerprints; rows of two keys never meet."""
    return digest(model_digest, engine.name, engine.version, engine.dimension, hop, version)


def fingerprint_tracks(
    tracks: pd.DataFrame, engine: Engine, done: WorkLog, processes: int = 1, hop: int = HOP_SAMPLES
) -> None:
    """Fingerprint what `done` does not hold yet, and write it there.

    Args:
        tracks: columns id, path, samples (0 where unknown), sha256.
        engine: see `nmfp.model.engines`.
        done: the partition's log of finished tracks.
        processes: how many decode.
        hop: samples between the starts of segments.

    Raises:
        NmfpError: the engine answers with vectors that are not of length 1. Broken audio is no error here
            but a unit with a reason.
    """
    new = np.array([unit_name(row) not in done.units for row in tracks.itertuples()], bool)
    missing = tracks[new]
    total = int(sum(count_segments(n, SEGMENT_SAMPLES, hop).n_segments for n in missing["samples"]))
    known = f", {total} segments" if total else ""  # lengths are known where tracks were converted
    log.info("%d of %d tracks to fingerprint%s", len(missing), len(tracks), known)
    if missing.empty:
        return
    rows = list(missing.itertuples())
    with ExitStack() as stack:
        decoders = stack.enter_context(Decoders(missing["path"], min(processes, len(rows))))
        bar = stack.enter_context(progress(total=total or None, unit=" segments", label="fingerprints"))
        packer = stack.enter_context(_Packer(engine, done, bar.update))
        under_way: dict[int, _Track] = {}
        for message in decoders:
            row = rows[message.item]
            track = under_way.get(message.item)
            if track is None:
                track = under_way[message.item] = _Track(unit_name(row), int(row.samples), hop)
            if message.ended:
                track.end(under_way.pop(message.item).reason or message.reason)
                packer.check(track)
            elif not track.reason:
                packer.add(track, *track.segmenter.feed(message.samples))
        packer.flush()
    done.commit()


class _Track:
    """A track under way: what has been cut, what has come back from the network."""

    def __init__(self, name: str, samples: int, hop: int):
        self.name, self.expected, self.segmenter = name, samples, Segmenter(hop=hop)
        self.vectors: list[np.ndarray] = []
        self.silent: list[np.ndarray] = []
        self.held = self.outstanding = 0
        self.sounds = self.ended = False
        self.reason = ""

    def end(self, reason: str) -> None:
        """No more samples will come; decide whether the track is good."""
        samples = self.segmenter.samples
        self.ended = True
        if reason:
            self.reason = reason
        elif self.expected and samples != self.expected:
            what = "truncated" if samples < self.expected else "changed"
            self.reason = f"{what}, {samples} of {self.expected} samples are there"
        elif samples < self.segmenter.length:
            self.reason = f"too short, {samples} of {self.segmenter.length} samples"
        elif not self.sounds:
            self.reason = "silent"


class _Packer:
    """Fills batches with segments of any tracks, has them computed, and gives every track its rows back."""

    def __init__(self, engine: Engine, done: WorkLog, advance):
        self.engine, self.done, self.advance = engine, done, advance
        self._buffers = [np.zeros((engine.batch, SEGMENT_SAMPLES), np.int16) for _ in range(2)]
        self._filled = 0
        self._spans: list[tuple[_Track, np.ndarray]] = []
        self._running: tuple[Future, list] | None = None
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> "_Packer":
        return self

    def __exit__(self, *_) -> None:
        self._pool.shutdown(cancel_futures=True)

    def add(self, track: _Track, segments: np.ndarray, silent: np.ndarray) -> None:
        """Put int16 (n, 8000) and bool (n,) of a track into the current batch and those after it."""
        track.sounds |= bool((~silent).any())
        track.outstanding += len(segments)
        while len(segments):
            n = min(len(segments), self.engine.batch - self._filled)
            self._buffers[0][self._filled : self._filled + n] = segments[:n]
            self._spans.append((track, silent[:n]))
            self._filled += n
            segments, silent = segments[n:], silent[n:]
            if self._filled == self.engine.batch:
                self._submit()

    def flush(self) -> None:
        """Compute what is left in the last batch."""
        if self._filled:
            self._submit()
        self._collect()

    def check(self, track: _Track) -> None:
        """Write a track down as finished if it is."""
        if track.ended and not track.outstanding:
            self._write(track)
            self.done.finish(track.name, track.segmenter.samples if not track.reason else 0, track.reason)

    def _submit(self) -> None:
        future = self._pool.submit(self.engine, self._buffers[0][: self._filled])
        self._collect()
        self._running = future, self._spans
        self._buffers.reverse()
        self._filled, self._spans = 0, []

    def _collect(self) -> None:
        """Take the rows of the batch before the one in the making."""
        if self._running is None:
            return
        future, spans = self._running
        self._running = None
        vectors = future.result()
        if not unit_length(vectors):
            raise NmfpError(
                "the model answers with vectors that are not finite and of length 1; train it again."
            )
        at = 0
        for track, silent in spans:
            track.vectors.append(vectors[at : at + len(silent)])
            track.silent.append(silent)
            at += len(silent)
            track.held += len(silent)
            track.outstanding -= len(silent)
            if track.held >= PART_ROWS:
                self._write(track)
            self.check(track)
        self.advance(at)

    def _write(self, track: _Track) -> None:
        if track.held and not track.reason:
            self.done.add_part(track.name, np.concatenate(track.vectors), np.concatenate(track.silent))
        track.vectors, track.silent, track.held = [], [], 0


def write_partition(
    outputs: dict[str, Path], tracks: pd.DataFrame, done: WorkLog, info: dict
) -> pd.DataFrame:
    """Assemble NNNN.npy, .silent.npy, .csv and, last, .json from a finished log; return the table.

    Args:
        outputs: paths by the keys fingerprints, silent, table, info.
        tracks: the partition's tracks in their order.
        done: holds all of them.
        info: what NNNN.json says besides rows, dimension and sha256.

    Raises:
        NmfpError: the disk is full; nothing half-written keeps its name.
    """
    units: list[Unit] = [done.units[unit_name(row)] for row in tracks.itertuples()]
    rows = np.array([unit.rows for unit in units], np.int64)
    end = np.cumsum(rows)
    table = pd.DataFrame(
        {
            "id": tracks["id"].to_numpy(),
            "row_start": end - rows,
            "row_end": end,
            "samples": [unit.samples for unit in units],
            "sha256": tracks["sha256"].to_numpy(),
            "status": ["failed" if unit.reason else "ok" for unit in units],
            "reason": [unit.reason for unit in units],
        },
        columns=TRACK_COLUMNS,
    )
    total = int(rows.sum())
    state = hashlib.sha256()
    flags = np.zeros(total, bool)
    with full_disk_explained(outputs["fingerprints"]):
        with atomic(outputs["fingerprints"]) as temporary, temporary.open("wb") as f:
            header = {"descr": "<f4", "fortran_order": False, "shape": (total, done.dimension)}
            np.lib.format.write_array_header_1_0(f, header)
            at = 0
            for unit in units:
                for vectors, silent in done.read(unit):
                    f.write(vectors.data)
                    state.update(vectors.data)
                    flags[at : at + len(silent)] = silent
                    at += len(silent)
        write_npy(outputs["silent"], flags)
        write_csv(outputs["table"], table)
        write_json(
            outputs["info"],
            {"rows": total, "dimension": done.dimension, **info, "sha256": state.hexdigest()},
        )
    return table
