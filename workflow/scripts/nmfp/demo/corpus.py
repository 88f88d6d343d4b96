"""What the embedded corpus consists of and where it lies; files made in parallel, kept when complete."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import soundfile

from nmfp.demo import microphones, noises, rooms
from nmfp.demo.composer import compose
from nmfp.demo.harmony import pick
from nmfp.demo.renderer import SAMPLE_RATE, render, write_audio
from nmfp.files import digest, generator, progress

PIECE_SECONDS = 30.0
UNKNOWN_SECONDS = (32.0, 48.0)
_MUSIC_ROLES = ("train", "validation", "database", "unknown")
_COUNTS = ("training_pieces", "validation_pieces", "database_tracks", "unknown_tracks")


class Item(NamedTuple):
    """One file of the corpus: where it lies in its collection's folder, and all that determines it."""

    id: str
    collection: str
    role: str
    place: int
    count: int
    number: int
    seconds: float
    seed: int


def music_items(seed: int, demo: dict) -> list[Item]:
    """The pieces of music: names as in FMA (000/000123.mp3), mp3, ogg and flac mixed.

    Number, suffix and length of a piece depend on the seed, its role and its place only, so that another
    count leaves the others as they are.
    """
    shortest, longest = demo["track_seconds"]
    items = []
    for which, (role, key) in enumerate(zip(_MUSIC_ROLES, _COUNTS, strict=True)):
        for place in range(demo[key]):
            # 104,729 is prime to 160,000: no two pieces share a number
            number = ((4 * place + which) * 104729 + 7919 * seed) % 160000
            rng = generator(seed, "demo piece", number)
            suffix = pick(rng, ("mp3", "ogg", "flac"), (3, 3, 4))
            seconds = PIECE_SECONDS
            if role == "database":
                # squared: many songs of ordinary length, few long ones
                seconds = shortest + (longest - shortest) * rng.random() ** 2
            elif role == "unknown":
                seconds = UNKNOWN_SECONDS[0] + (UNKNOWN_SECONDS[1] - UNKNOWN_SECONDS[0]) * rng.random()
            name = f"{number // 1000:03d}/{number:06d}.{suffix}"
            items.append(Item(name, "music", role, place, demo[key], number, round(seconds, 3), seed))
    return items


def degradation_items(seed: int, demo: dict) -> list[Item]:
    """Noises (30 s), rooms and microphones, for training and for the queries."""
    items = []
    for collection, suffix in (("noise", "flac"), ("room", "wav"), ("microphone", "wav")):
        for role, count in zip(("train", "test"), demo[f"{collection}s"], strict=True):
            for place in range(count):
                name = f"{role}/{collection}_{place:03d}.{suffix}"
                items.append(Item(name, collection, role, place, count, place, PIECE_SECONDS, seed))
    return items


def make(job: tuple[str, Item]) -> None:
    """Make one file below a folder, unless it is there and complete. Every draw is keyed by seed and item."""
    folder, item = job
    path = Path(folder) / item.collection / item.id
    if _complete(path, item):
        return
    if item.collection == "music":
        midi = compose(item.seed, item.number, item.seconds)
        write_audio(path, render(item.seed, item.number, midi, item.seconds))
        return
    rng = generator(item.seed, "demo", item.collection, item.role, item.place)
    if item.collection == "noise":
        write_audio(path, noises.noise(rng, item.role, item.place, item.seconds), noises.SAMPLE_RATE)
    elif item.collection == "room":
        write_audio(path, rooms.room_response(rng, item.place, item.count), rooms.SAMPLE_RATE)
    else:
        write_audio(
            path, microphones.microphone_response(rng, item.role, item.place), microphones.SAMPLE_RATE
        )


def _complete(path: Path, item: Item) -> bool:
    """True for a file that can be read to its end and has the length that it should, where that is known."""
    try:
        with soundfile.SoundFile(path) as f:
            # headers promise lengths that a truncated file does not keep
            f.seek(max(0, f.frames - 64))
            if not len(f.read(64)) or f.tell() != f.frames:
                return False
            rate, frames = f.samplerate, f.frames
    except soundfile.LibsndfileError:
        return False
    if item.collection in ("room", "microphone"):
        return True
    expected = SAMPLE_RATE if item.collection == "music" else noises.SAMPLE_RATE
    return rate == expected and abs(frames - item.seconds * rate) <= 0.1 * rate


def run(function: Callable, jobs: list, workers: int, label: str) -> None:
    """Call `function` for every job in up to `workers` processes (never more than this machine lends us)."""
    workers = min(workers, len(os.sched_getaffinity(0)), len(jobs))
    if workers <= 1:
        for job in progress(jobs, unit="file", label=label):
            function(job)
        return
    # spawn: a forked child of a process with threads may hang
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for _ in progress(pool.map(function, jobs), total=len(jobs), unit="file", label=label):
            pass


def build(
    items: list[Item], folder: str | Path, version: str, workers: int, label: str
) -> dict[str, pd.DataFrame]:
    """Make all files and return the table `id, path, role, reason` of each collection.

    Args:
        folder: the files go to `<folder>/<key>/<collection>/<id>`, key a digest of the
            items and of what the stage's code means.
        workers: processes; the result does not depend on it.
    """
    home = Path(folder) / digest("demo", version, [list(item) for item in items])
    # the longest first: no worker is left with a long piece at the end
    jobs = [(str(home), item) for item in sorted(items, key=lambda item: -item.seconds)]
    run(make, jobs, workers, label)
    tables = {}
    for collection in dict.fromkeys(item.collection for item in items):
        mine = [item for item in items if item.collection == collection]
        tables[collection] = pd.DataFrame(
            {
                "id": [item.id for item in mine],
                "path": [str(home / collection / item.id) for item in mine],
                "role": [item.role for item in mine],
                "reason": "",
            }
        )
    return tables
