"""Room responses: image sources for the first reflections, a diffuse tail that decays as RT60 says."""

import numpy as np
import pyroomacoustics
from scipy.signal import butter, sosfilt

SAMPLE_RATE = 8000
RT60_RANGE = (0.2, 1.5)
_ORDER = 8
_BANDS = (125, 250, 500, 1000, 2000, 4000)


def _early(rng: np.random.Generator, rt60: float) -> tuple[np.ndarray, float]:
    """Image-source response up to order 8 and the mean time between two reflections in seconds.

    The response starts 2 ms before the direct sound.
    """
    # long reverberation wants a large room, or its walls would have to be mirrors
    scale = np.clip(rt60, 0.35, 1.2) ** 0.6
    size = np.array([rng.uniform(3.5, 9), rng.uniform(3, 7), rng.uniform(2.4, 4)]) * scale * (1.0, 1.0, 0.9)
    size = np.maximum(size, (2.4, 2.2, 2.2))
    volume, surface = np.prod(size), 2 * (size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
    mean = min(0.9, 1 - np.exp(-0.161 * volume / (surface * rt60)))  # Eyring
    walls = ("east", "west", "north", "south", "ceiling", "floor")
    absorption = np.clip(mean * np.exp(0.35 * rng.standard_normal(6)), 0.02, 0.97)
    room = pyroomacoustics.ShoeBox(
        size,
        fs=SAMPLE_RATE,
        materials={
            wall: pyroomacoustics.Material(float(a)) for wall, a in zip(walls, absorption, strict=True)
        },
        max_order=_ORDER,
    )
    # from a table's width to half the room's diagonal, both away from the walls
    wanted = rng.uniform(1.0, 0.5 * np.linalg.norm(size))
    sources, microphones = rng.uniform(0.4, size - 0.4, (2, 64, 3))
    distances = np.linalg.norm(sources - microphones, axis=1)
    best = int(np.argmin(np.abs(distances - wanted)))
    source, microphone = sources[best], microphones[best]
    room.add_source(source)
    room.add_microphone(microphone)
    room.compute_rir()
    # pyroomacoustics delays everything by half the length of its fractional delay filters
    filters = pyroomacoustics.constants.get("frac_delay_length") // 2
    arrival = int(distances[best] / pyroomacoustics.constants.get("c") * SAMPLE_RATE) + filters
    response = np.asarray(room.rir[0][0], dtype=float)
    return response[max(0, arrival - 16) :], 4 * volume / surface / 343


def _tail(rng: np.random.Generator, rt60: float, samples: int) -> np.ndarray:
    """Gaussian noise in octave bands, each with its own decay: 60 dB in RT60, treble sooner, bass later."""
    time = np.arange(samples) / SAMPLE_RATE
    tilt = rng.uniform(0.0, 0.22)
    total = np.zeros(samples)
    for centre in _BANDS:
        decay = rt60 * (centre / 1000) ** -tilt * rng.uniform(0.93, 1.07)
        edges = [centre / 2**0.5, min(centre * 2**0.5, 3950)]
        sos = butter(2, edges, "bandpass", fs=SAMPLE_RATE, output="sos")
        total += sosfilt(sos, rng.standard_normal(samples)) * 10 ** (-3 * time / decay)
    return total


def room_response(rng: np.random.Generator, place: int, count: int) -> np.ndarray:
    """Response number `place` of `count`: float32 (samples,), peak 0.95, direct sound 2 ms after the start.

    RT60 is stratified over 0.2 to 1.5 s, so that a handful of rooms covers the range.
    """
    pyroomacoustics.constants.set("num_threads", 1)  # sums in one order: same bytes on any machine load
    low, high = RT60_RANGE
    rt60 = low * (high / low) ** ((place + rng.random()) / count)
    early, free_time = _early(rng, rt60)
    samples = int(min(1.15 * rt60, 1.9) * SAMPLE_RATE)
    # image sources thin out where the order ends; the tail takes over well before, over 20 ms
    joint = int(min(0.6 * _ORDER * free_time, 0.08) * SAMPLE_RATE) + 16
    early = np.pad(early, (0, max(0, samples - len(early))))[:samples]
    tail = _tail(rng, rt60, samples)
    window = slice(max(16, joint - 120), joint + 120)
    tail *= np.sqrt(np.mean(early[window] ** 2) / np.mean(tail[window] ** 2))
    blend = np.clip((np.arange(samples) - joint + 80) / 160, 0, 1)
    response = early * np.sqrt(1 - blend) + tail * np.sqrt(blend)
    return (0.95 * response / np.abs(response).max()).astype(np.float32)
