"""Queries: excerpts of tracks, clean and degraded as if the whole track had been, with what was drawn.

Only a window of the track is computed: the excerpt and as much past as its responses are long. What is kept
equals the degraded whole, but for a constant gain (the peak normalisation then concerns what is kept), and
memory does not depend on the track's length. Nor does time, unless the SNR refers to the whole track, whose
samples are then read once, in blocks, to sum their squares.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from nmfp.audio.wav import read_wav, to_float, to_int16, wav_rms, write_wav
from nmfp.datasets.columns import PROVENANCE_COLUMNS
from nmfp.datasets.conversion import wav_path
from nmfp.datasets.corpora import VARIANTS
from nmfp.datasets.journal import Journal
from nmfp.degradation.draw import Cut, Degradation, draw_cut, draw_degradation
from nmfp.degradation.offline import Levels, degrade, looped_rms, reverberation_samples, rms, take_noise
from nmfp.errors import NmfpError
from nmfp.files import progress, read_csv, sha256_file


class PackedRecordings(NamedTuple):
    """Recordings one after another in a memmap, and where each starts: ids, first samples, lengths."""

    samples: np.ndarray
    ids: list[str]
    starts: list[int]
    lengths: list[int]

    def get(self, row: int) -> np.ndarray:
        """One recording, int16 (samples,)."""
        return self.samples[self.starts[row] : self.starts[row] + self.lengths[row]]


# a kind of degradation that a set does not hold
NONE = PackedRecordings(np.empty(0, np.int16), [], [], [])


class Settings(NamedTuple):
    """How queries are cut, in samples, and queries.degradation: switches, SNR range and its reference."""

    seed: int
    per_track: int
    length: int
    max_shift: int
    degradation: dict


def open_packed(audio: str | Path, table: str | Path) -> PackedRecordings:
    """Open packed recordings for reading.

    Raises:
        NmfpError: array and table do not belong together, or one is missing.
    """
    rows = read_csv(table, ["id", "start_sample", "samples"])
    try:
        samples = np.load(audio, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise NmfpError(f"{audio} cannot be read ({error}); delete it and run again.") from None
    if samples.dtype != np.int16 or samples.ndim != 1 or len(samples) != rows["samples"].sum() or rows.empty:
        raise NmfpError(f"{audio} and {table} do not belong together; delete both and run again.")
    return PackedRecordings(
        samples, rows["id"].tolist(), rows["start_sample"].tolist(), rows["samples"].tolist()
    )


def draw_query(
    name: str, number: int, samples: int, settings: Settings, recordings: dict[str, PackedRecordings]
) -> tuple[Cut, Degradation]:
    """Excerpt and degradation number `number` of a track, from the seed and the track's id alone."""
    key = (settings.seed, "query", name, number)
    cut = draw_cut(samples, settings.length, settings.max_shift, *key)
    kept = settings.length + abs(cut.start_sample_shifted - cut.start_sample)
    degradation = draw_degradation(
        settings.degradation,
        recordings["noise"].lengths,
        len(recordings["room"].ids),
        len(recordings["microphone"].ids),
        kept,
        *key,
    )
    return cut, degradation


def render(
    path: str | Path,
    cut: Cut,
    length: int,
    degradation: Degradation,
    recordings: dict[str, PackedRecordings],
    whole: tuple[int, float] | None = None,
) -> tuple[dict[str, np.ndarray], Levels | None]:
    """The four variants of a query, int16 (length,) each, clean ones bit by bit as in the track.

    The noise's `noise_start_sample` sounds at the earlier of the two starts.

    Args:
        whole: samples and RMS of the whole track, where the SNR is that of the whole track to the noise looped to
            its length, as the paper's; None where it is that of the excerpt (both cuts together).

    Returns:
        The variants, and the levels between which the SNR holds (None without noise).
    """
    first = min(cut)
    last = max(cut) + length
    responses = {
        name: None if row is None else to_float(recordings[name].get(row))
        for name, row in (("room", degradation.room), ("microphone", degradation.microphone))
    }
    start = max(0, first - reverberation_samples(*responses.values()))
    window = read_wav(path, start, last)
    if len(window) != last - start:
        raise NmfpError(f"{path} is shorter than tracks.csv says; delete it and run again.")
    kept = slice(first - start, len(window))
    noise = levels = None
    if degradation.noise is not None:
        recording = recordings["noise"].get(degradation.noise)
        noise = to_float(take_noise(recording, degradation.noise_start_sample, first - start, len(window)))
        if whole:
            over_all = looped_rms(to_float(recording), degradation.noise_start_sample, first, whole[0])
            levels = Levels(whole[1], over_all)
        else:
            levels = Levels(rms(to_float(window[kept])), rms(noise[kept]))
    degraded = degrade(
        to_float(window), noise, degradation.snr_db or 0.0, **responses, kept=kept, levels=levels
    )
    degraded = to_int16(degraded * (32767 / 32768))
    clean = window[kept]
    variants = {}
    for suffix, begin in (("", cut.start_sample - first), ("_shifted", cut.start_sample_shifted - first)):
        variants[f"clean{suffix}"] = clean[begin : begin + length]
        variants[f"degraded{suffix}"] = degraded[begin : begin + length]
    return variants, levels


def make_queries(
    tracks: pd.DataFrame,
    folders: dict[str, Path],
    recordings: dict[str, PackedRecordings],
    settings: Settings,
    journal: Journal,
    threads: int,
    label: str,
) -> pd.DataFrame:
    """Write all queries of some tracks as WAVs; those finished before only once.

    Args:
        tracks: columns `id, path, samples, sha256`.
        folders: where each variant's WAVs go.
        recordings: noise, room and microphone.
        journal: finished queries with the digests of their WAVs.

    Returns:
        PROVENANCE_COLUMNS, the track's `track_sha256` and, for each variant, `<variant>_path` and
        `<variant>_sha256` (of the WAV), in the order of the tracks whatever the number of threads.

    Raises:
        NmfpError: a track is missing or shorter than its row says.
    """
    rms_of = lru_cache(maxsize=2 * threads)(wav_rms)  # the queries of one track follow one another
    jobs = [(track, number) for track in tracks.itertuples() for number in range(1, settings.per_track + 1)]

    def make(job: tuple) -> list:
        track, number = job
        return _make_query(track, number, folders, recordings, settings, journal, rms_of)

    with ThreadPoolExecutor(threads) as pool:
        rows = list(progress(pool.map(make, jobs), total=len(jobs), unit="query", label=label))
    return pd.DataFrame(rows, columns=degraded_columns())


def degraded_columns() -> list[str]:
    """Columns of data/{set}/degraded/NNNN.csv."""
    files = [f"{variant}_{what}" for variant in VARIANTS for what in ("path", "sha256")]
    return [*PROVENANCE_COLUMNS, "track_sha256", *files]


def _make_query(
    track,
    number: int,
    folders: dict[str, Path],
    recordings: dict,
    settings: Settings,
    journal: Journal,
    rms_of: Callable[[str], float],
) -> list:
    name = f"{track.id}~{number}"
    paths = {variant: wav_path(folders[variant], name) for variant in VARIANTS}
    cut, drawn = draw_query(track.id, number, int(track.samples), settings, recordings)
    before = journal.get(name)
    if before and before["track"] == track.sha256 and _still_there(paths, before["wavs"]):
        hashes, levels = before["wavs"], before["levels"]
    else:
        by_track = settings.degradation["snr_reference"] == "track" and drawn.noise is not None
        whole = (int(track.samples), rms_of(track.path)) if by_track else None
        variants, levels = render(track.path, cut, settings.length, drawn, recordings, whole)
        for variant in VARIANTS:
            write_wav(paths[variant], variants[variant])
        hashes = {variant: sha256_file(paths[variant]) for variant in VARIANTS}
        journal.add(name, {"track": track.sha256, "wavs": hashes, "levels": levels})
    row = [
        name, track.id, *cut, settings.length,
        _id(recordings["noise"], drawn.noise), drawn.noise_start_sample, _id(recordings["room"], drawn.room),
        _id(recordings["microphone"], drawn.microphone), drawn.snr_db, drawn.room_gain, drawn.microphone_gain,
        *(levels or (None, None)), track.sha256,
    ]  # fmt: skip
    for variant in VARIANTS:
        row += [str(paths[variant]), hashes[variant]]
    return row


def _id(recordings: PackedRecordings, row: int | None) -> str:
    return "" if row is None else recordings.ids[row]


def _still_there(paths: dict[str, Path], hashes: dict[str, str]) -> bool:
    return all(paths[v].is_file() and sha256_file(paths[v]) == hashes.get(v) for v in VARIANTS)


def gather(
    tables: Sequence[str | Path], tracks: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Join the tables of all partitions: provenance, and for each variant its tracks.csv.

    The `sha256` of a query's track row is that of its WAV: it changes when the degradation does.

    Args:
        tables: data/{set}/degraded/NNNN.csv. Queries in them whose track is gone, or has other content by now, are
            left out: partitions are not made again for that.
        tracks: columns `id, sha256` of the tracks that are asked for now.
    """
    text = tuple(name for name in degraded_columns() if name.endswith(("id", "path", "sha256")))
    parts = [read_csv(table, degraded_columns(), text=text) for table in tables]
    rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=degraded_columns())
    wanted = pd.MultiIndex.from_frame(tracks[["id", "sha256"]])
    made = pd.MultiIndex.from_frame(rows[["track_id", "track_sha256"]])
    rows = rows[made.isin(wanted)].reset_index(drop=True)
    corpora = {}
    for variant in VARIANTS:
        corpora[variant] = pd.DataFrame(
            {
                "id": rows["id"],
                "path": rows[f"{variant}_path"],
                "role": variant,
                "samples": rows["samples"],
                "sha256": rows[f"{variant}_sha256"],
                "status": "ok",
                "reason": "",
            }
        )
    return rows[PROVENANCE_COLUMNS], corpora
