"""How high music scores that is not in the database: what a decision "no match" rests on.

Two sources of such scores. A database can be its own background: an excerpt of one of its tracks, compared with all
other tracks, is music that they do not hold. Or the user names recordings that are known not to be in it; if they
were made as the queries will be (a telephone in a bar), so much the better.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from nmfp.database.fingerprints import open_fingerprints
from nmfp.files import generator, write_json
from nmfp.identification.reference import CANDIDATES, Reference, open_files
from nmfp.search.matching import Overhang, match

log = logging.getLogger("nmfp")

LENGTHS = (1, 3, 5, 9, 19)
WINDOWS = 600
NAME = "calibration.json"
# Excerpts of ten seconds that fit another track so well are
# the same music there (a duplicate, a medley), not unknown.
SAME_MUSIC = 0.9
SEED = 27


def calibrate_files(folder: Path, threads: int | None = None) -> None:
    """Write calibration.json into a folder of database files, with the database as its own background.

    Nothing is written where its tracks cannot tell what is not in it.

    Args:
        threads: CPU threads that search, by default all.
    """
    opened = open_fingerprints(folder)
    if (opened.tracks["row_end"] > opened.tracks["row_start"]).sum() < 2:
        return  # nothing to compare with
    database = open_files(folder)
    database.threads = threads or database.threads
    scores, tracks = scores_of_own_tracks(database)
    same = scores[:, -1] >= SAME_MUSIC
    if same.all():
        why = (
            "every excerpt is like another track's music"
            if same.size
            else "no track holds ten seconds of music"
        )
        log.warning("the database's own tracks cannot calibrate it: %s", why)
        return
    if same.any():
        log.info(
            "calibration: %d of %d excerpts stand in another track too and are left out",
            same.sum(),
            len(same),
        )
    write_background(folder, "the database's own tracks", scores[~same], tracks[~same])


def scores_of_own_tracks(reference: Reference) -> tuple[np.ndarray, np.ndarray]:
    """Best scores in other tracks of excerpts of tracks: (w, lengths) float64, and the track (w,) of each."""
    bounds, longest = reference.bounds, LENGTHS[-1]
    room = bounds.end - bounds.start - longest + 1
    usable = np.flatnonzero(room > 0)
    draw = generator(SEED, "background", len(usable))
    if len(usable) > WINDOWS:
        usable = np.sort(draw.choice(usable, WINDOWS, replace=False))
    tracks = np.repeat(usable, max(1, WINDOWS // max(len(usable), 1)))
    starts = bounds.start[tracks] + np.floor(draw.random(len(tracks)) * room[tracks]).astype(np.int64)
    rows = starts[:, None] + np.arange(longest)
    sounding = ~reference.silent[rows].any(axis=1)
    tracks, rows = tracks[sounding], rows[sounding]
    vectors = np.asarray(reference.vectors[rows.ravel()], np.float32)
    # an excerpt's own track fills the first places: ask for more, and keep those of other tracks
    found = reference.neighbours(vectors, 10 * CANDIDATES)
    own = np.repeat(tracks, longest)[:, None]
    found[(found >= bounds.start[own]) & (found < bounds.end[own])] = -1
    order = np.argsort(found < 0, axis=1, kind="stable")[:, :CANDIDATES]
    return best_scores(vectors, np.take_along_axis(found, order, axis=1), reference), tracks


def scores_of_recordings(
    recordings: Iterable[tuple[np.ndarray, np.ndarray]], reference: Reference
) -> tuple[np.ndarray, np.ndarray]:
    """The same of recordings that are not in the database, given as (vectors, silent); and the number of each."""
    parts, numbers = [], []
    for number, (vectors, silent) in enumerate(recordings):
        longest = LENGTHS[-1]
        starts = np.arange(0, len(vectors) - longest + 1, longest)
        starts = starts[[not silent[s : s + longest].any() for s in starts]] if len(starts) else starts
        if not len(starts):
            continue
        draw = generator(SEED, "background", number)
        starts = np.sort(draw.choice(starts, min(len(starts), 5), replace=False))
        rows = (starts[:, None] + np.arange(longest)).ravel()
        parts.append(best_scores(vectors[rows], reference.neighbours(vectors[rows]), reference))
        numbers.append(np.full(len(starts), number))
    if not parts:
        return np.zeros((0, len(LENGTHS))), np.zeros(0, np.int64)
    return np.concatenate(parts), np.concatenate(numbers)


def best_scores(vectors: np.ndarray, neighbours: np.ndarray, reference: Reference) -> np.ndarray:
    """Best score of every excerpt of LENGTHS[-1] segments, at every length: (w, lengths), NaN without an answer."""
    longest = LENGTHS[-1]
    answers = match(
        vectors,
        np.arange(0, len(vectors) + 1, longest),
        neighbours,
        reference.vectors,
        reference.bounds,
        LENGTHS,
        longest,
        Overhang(np.zeros(len(vectors), bool), reference.silent),
        reference.threads,
    )
    return answers.score


def write_background(folder: Path, source: str, scores: np.ndarray, recordings: np.ndarray) -> None:
    """Write the scores of unknown music, sorted, with the number of recordings they come from."""
    values = {}
    for n, length in enumerate(LENGTHS):
        known = scores[:, n][np.isfinite(scores[:, n])]
        values[str(length)] = np.sort(known).round(6).tolist()
    described = {"source": source, "recordings": len(np.unique(recordings)), "scores": values}
    write_json(folder / NAME, {"background": described})
