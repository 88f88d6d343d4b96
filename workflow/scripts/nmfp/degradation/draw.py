"""What a degradation is made of, drawn by seed and item; applying it is another module's business.

Every number has a generator of its own, keyed by (seed, item, what is drawn): switching one degradation off,
or adding recordings to another, leaves the other draws as they are, and neither order nor workers matter.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nmfp.files import generator

GAIN_RANGE = (0.1, 1.0)


class Cut(NamedTuple):
    """Where a query and its shifted twin start in their track, in samples."""

    start_sample: int
    start_sample_shifted: int


class Degradation(NamedTuple):
    """Rows of the recordings' tables (None: off), the noise's first sample, SNR in dB, linear gains.

    The gains have no effect on the sound: the chain is linear and ends in a peak normalisation. They are recorded.
    """

    noise: int | None
    noise_start_sample: int | None
    snr_db: float | None
    room: int | None
    room_gain: float | None
    microphone: int | None
    microphone_gain: float | None


def draw_cut(samples: int, length: int, max_shift: int, *key: object) -> Cut:
    """A cut of `length` samples anywhere in a track of `samples`, and a second one within ± `max_shift`.

    Both lie inside the track.

    Raises:
        ValueError: the track is shorter than the cut.
    """
    room = samples - length
    if room < 0:
        raise ValueError(f"a track of {samples} samples is too short for a cut of {length}")
    start = int(generator(*key, "start").integers(0, room, endpoint=True))
    low, high = max(-max_shift, -start), min(max_shift, room - start)
    return Cut(start, start + int(generator(*key, "shift").integers(low, high, endpoint=True)))


def draw_snr(
    rng: np.random.Generator, snr_db: Sequence[float], size: int | None = None
) -> np.ndarray | float:
    """Signal-to-noise ratios in dB, uniform between the two ends."""
    return rng.uniform(snr_db[0], snr_db[1], size)


def draw_gain(rng: np.random.Generator, size: int | None = None) -> np.ndarray | float:
    """Linear gains, log-uniform in [0.1, 1]."""
    return np.exp(rng.uniform(np.log(GAIN_RANGE[0]), np.log(GAIN_RANGE[1]), size))


def draw_noise_start(rng: np.random.Generator, noise_samples: int, kept_samples: int) -> int:
    """Where in a recording the noise starts: so that it lasts, if it is long enough; anywhere if it must loop."""
    last = noise_samples - kept_samples
    return int(rng.integers(0, last if last >= 0 else noise_samples - 1, endpoint=True))


def draw_degradation(
    settings: dict,
    noise_samples: Sequence[int],
    rooms: int,
    microphones: int,
    kept_samples: int,
    *key: object,
) -> Degradation:
    """Draw one degradation for the item `key`, of which `kept_samples` samples are kept.

    Args:
        settings: `snr_db` (two numbers) and the switches `noise, room, microphone` (queries.degradation).
        noise_samples: lengths of the noise recordings.
        rooms, microphones: how many responses there are.
    """
    noise = noise_start = snr_db = room = room_gain = microphone = microphone_gain = None
    if settings["noise"]:
        noise = int(generator(*key, "noise").integers(len(noise_samples)))
        noise_start = draw_noise_start(generator(*key, "noise start"), noise_samples[noise], kept_samples)
        snr_db = float(draw_snr(generator(*key, "snr"), settings["snr_db"]))
    if settings["room"]:
        room = int(generator(*key, "room").integers(rooms))
        room_gain = float(draw_gain(generator(*key, "room gain")))
    if settings["microphone"]:
        microphone = int(generator(*key, "microphone").integers(microphones))
        microphone_gain = float(draw_gain(generator(*key, "microphone gain")))
    return Degradation(noise, noise_start, snr_db, room, room_gain, microphone, microphone_gain)
