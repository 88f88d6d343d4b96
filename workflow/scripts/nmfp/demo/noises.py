"""Background noise as it is met where music is played: streets, rain, machines, talk, bars.

Every generator returns float64 (samples,) at SAMPLE_RATE with about unit RMS. Talk is made voice by voice: a
pitch that wanders, vowels as formants, syllables and pauses; crowds are many voices in a reverberant room.
"""

import numpy as np
from scipy.signal import butter, fftconvolve, sosfilt

from nmfp.demo.harmony import pick

SAMPLE_RATE = 8000


def _unit(signal: np.ndarray) -> np.ndarray:
    return signal / (np.sqrt(np.mean(np.square(signal))) + 1e-12)


def _curve(rng: np.random.Generator, samples: int, every: float, depth: float) -> np.ndarray:
    """A slowly wandering gain around 1: deviates of `depth` nepers every `every` seconds, joined smoothly."""
    knots = max(4, int(samples / SAMPLE_RATE / every) + 3)
    values = depth * rng.standard_normal(knots)
    place = np.linspace(0, knots - 1.001, samples)
    index, part = place.astype(int), place % 1
    part = part * part * (3 - 2 * part)
    return np.exp(values[index] * (1 - part) + values[index + 1] * part)


def _shaped(rng: np.random.Generator, samples: int, slope_db: float, bumps: int = 3) -> np.ndarray:
    """Gaussian noise whose spectrum falls by `slope_db` dB an octave, with a few broad bumps."""
    frequency = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    octaves = np.log2(np.maximum(frequency, 40) / 1000)
    gain_db = -slope_db * octaves
    for _ in range(bumps):
        centre, width = rng.uniform(-3.5, 1.8), rng.uniform(0.15, 0.8)
        gain_db += rng.uniform(-8, 10) * np.exp(-0.5 * ((octaves - centre) / width) ** 2)
    gain = 10 ** (gain_db / 20) * (frequency > 30)
    return _unit(np.fft.irfft(np.fft.rfft(rng.standard_normal(samples)) * gain, samples))


def _band(rng: np.random.Generator, samples: int, low: float, high: float) -> np.ndarray:
    sos = butter(2, [low, min(high, 3900)], "bandpass", fs=SAMPLE_RATE, output="sos")
    return _unit(sosfilt(sos, rng.standard_normal(samples)))


def _scatter(rng: np.random.Generator, samples: int, rate: float, spread: float) -> np.ndarray:
    """Impulses at random places, `rate` a second, with log-normal heights."""
    count = rng.poisson(rate * samples / SAMPLE_RATE)
    signal = np.zeros(samples)
    heights = np.exp(spread * rng.standard_normal(count)) * rng.choice([-1.0, 1.0], count)
    np.add.at(signal, rng.integers(0, samples, count), heights)
    return signal


def _reverberate(rng: np.random.Generator, signal: np.ndarray, seconds: float) -> np.ndarray:
    time = np.arange(int(1.1 * seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    wet = fftconvolve(signal, tail)[: len(signal)]
    return 0.5 * _unit(signal) + _unit(wet)


def coloured(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Pink to brown: ventilation, a distant city, tape."""
    return _shaped(rng, samples, rng.uniform(2.5, 6.5)) * _curve(rng, samples, 2.0, rng.uniform(0.0, 0.35))


def hum(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Mains hum with its harmonics over a fan."""
    time = np.arange(samples) / SAMPLE_RATE
    mains = pick(rng, (50.0, 60.0)) * (1 + 0.002 * rng.standard_normal())
    order = np.arange(1, 25)
    amplitude = rng.exponential(1.0, len(order)) / order ** rng.uniform(0.3, 0.8)
    tone = sum(
        a * np.sin(2 * np.pi * mains * k * time + rng.uniform(0, 6.28))
        for k, a in zip(order, amplitude, strict=True)
    )
    return _unit(tone) * rng.uniform(0.5, 1.0) + _shaped(rng, samples, rng.uniform(2, 5))


def rain(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Thousands of drops on something that rings a little, over a hiss."""
    drops = _scatter(rng, samples, rng.uniform(300, 2500), 0.7)
    low = rng.uniform(300, 1200)
    sos = butter(1, [low, min(3900, rng.uniform(2, 4) * low + 300)], "bandpass", fs=SAMPLE_RATE, output="sos")
    hiss = _shaped(rng, samples, rng.uniform(-1.5, 1.5))
    gutter = _scatter(rng, samples, 6, 0.8)
    ring = butter(1, [500, 650], "bandpass", fs=SAMPLE_RATE, output="sos")
    drizzle = _unit(sosfilt(sos, drops)) + rng.uniform(0.4, 1.0) * hiss
    return (drizzle + 0.3 * _unit(sosfilt(ring, gutter))) * _curve(rng, samples, 3.0, 0.2)


def traffic(rng: np.random.Generator, samples: int) -> np.ndarray:
    """A rumble and vehicles that come, pass and go, each with an engine note that falls as it passes."""
    time = np.arange(samples) / SAMPLE_RATE
    signal = 0.7 * _shaped(rng, samples, rng.uniform(4, 6))
    for _ in range(pick(rng, (4, 6, 9))):
        centre, width = rng.uniform(0, time[-1]), rng.uniform(0.8, 3.0)
        passing = 1 / (1 + ((time - centre) / width) ** 2)
        pitch = rng.uniform(45, 130) * (1 - 0.04 * np.tanh((time - centre) / width))
        phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
        engine = sum(np.sin(k * phase + rng.uniform(0, 6.28)) * rng.exponential(1 / k) for k in range(1, 12))
        tyres = _shaped(rng, samples, rng.uniform(0.5, 3), 1)
        signal += rng.uniform(0.5, 1.6) * passing**1.5 * (0.6 * _unit(engine) + tyres)
    return signal


def wind(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Gusts on a microphone and in trees."""
    rumble = _shaped(rng, samples, 6.5, 1) * _curve(rng, samples, 0.7, 0.6)
    leaves = _band(rng, samples, rng.uniform(400, 900), rng.uniform(2000, 3800)) * _curve(
        rng, samples, 1.5, 0.6
    )
    return _unit(rumble) + rng.uniform(0.5, 1.0) * _unit(leaves)


# first three formants in Hz of English vowels, near the means of men in Peterson and Barney (1952)
_VOWELS = np.array(
    [[730, 1090, 2440], [530, 1840, 2480], [270, 2290, 3010], [570, 840, 2410], [300, 870, 2240],
     [490, 1350, 1690], [660, 1720, 2410], [440, 1020, 2240], [520, 1190, 2390]]
)  # fmt: skip


def _voice(rng: np.random.Generator, samples: int) -> np.ndarray:
    """One talker: harmonics of a wandering pitch under formants that move by syllable; hissed consonants."""
    syllables = int(samples / SAMPLE_RATE * 6) + 8
    lengths = rng.uniform(0.11, 0.28, syllables)
    starts = np.concatenate([[0], np.cumsum(lengths)])[:-1] * SAMPLE_RATE
    speaking = np.repeat(rng.random(syllables // 6 + 1) < 0.78, 6)[:syllables]
    tract = rng.uniform(0.92, 1.2)
    male = rng.random() < 0.5
    base = rng.uniform(85, 140) if male else rng.uniform(160, 250)
    control = np.arange(0, samples + 80, 80)  # a hundred times a second
    which = np.clip(np.searchsorted(starts, control, side="right") - 1, 0, syllables - 1)
    inside = np.clip((control - starts[which]) / (lengths[which] * SAMPLE_RATE), 0, 1)
    stress = rng.uniform(0.4, 1.0, syllables) * speaking
    level = stress[which] * np.sin(np.pi * np.clip(inside * 1.15, 0, 1)) ** 0.6
    vowels = _VOWELS[rng.integers(0, len(_VOWELS), syllables)] * tract
    following = np.roll(vowels, -1, axis=0)
    formants = vowels[which] + (following - vowels)[which] * (inside[:, None] ** 3)
    accent = np.exp(0.12 * rng.standard_normal(syllables))
    pitch = base * accent[which] * (1.08 - 0.16 * inside)
    pitch = np.convolve(np.pad(pitch, 6, mode="edge"), np.ones(13) / 13, "valid")
    time = np.arange(samples)
    phase = 2 * np.pi * np.cumsum(np.interp(time, control, pitch)) / SAMPLE_RATE
    order = np.arange(1, int(3600 / base) + 1)
    frequency = order * pitch[:, None]
    response = np.zeros(frequency.shape)
    for place, (width, weight) in enumerate(((90, 1.0), (120, 0.6), (180, 0.3))):
        response += weight / (1 + ((frequency - formants[:, place : place + 1]) / width) ** 2)
    amplitude = level[:, None] * (response + 0.01) / order**0.4 * (frequency < 3900)
    signal = np.zeros(samples)
    for k in range(len(order)):
        signal += np.interp(time, control, amplitude[:, k]) * np.sin((k + 1) * phase)
    hiss = np.where((inside < 0.25) & (rng.random(syllables) < 0.45)[which], stress[which], 0.0)
    consonants = _band(rng, samples, 1800, 3900) * np.interp(time, control, hiss)
    return _unit(signal) + 0.35 * consonants


def babble(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Three to seven talkers near by, in a room."""
    voices = [rng.uniform(0.4, 1.0) * _voice(rng, samples) for _ in range(pick(rng, (3, 4, 5, 7)))]
    return _reverberate(rng, np.sum(voices, axis=0), rng.uniform(0.3, 0.8)) + 0.15 * _shaped(rng, samples, 4)


def crowd(rng: np.random.Generator, samples: int) -> np.ndarray:
    """A full bar: a handful of talkers, dozens behind them, laughter of glasses, a reverberant hall."""
    near = [_voice(rng, samples) for _ in range(5)]
    far = np.zeros(samples)
    for voice in near:
        for _ in range(6):
            # the same voice elsewhere in time and at another pitch is another guest
            speed = rng.uniform(0.8, 1.25)
            place = (np.arange(samples) * speed + rng.integers(0, samples)) % (samples - 1)
            far += rng.uniform(0.3, 1.0) * np.interp(place, np.arange(samples), voice)
    talk = _unit(_reverberate(rng, far, rng.uniform(0.6, 1.4))) + rng.uniform(0.2, 0.6) * _unit(
        near[0] + near[1]
    )
    return talk + 0.25 * _unit(_events(rng, samples, 1.5)) + 0.15 * _shaped(rng, samples, 5)


def _events(rng: np.random.Generator, samples: int, rate: float) -> np.ndarray:
    """Glasses, plates, steps and knocks: decaying modes struck at random."""
    signal = np.zeros(samples)
    time = np.arange(int(0.6 * SAMPLE_RATE)) / SAMPLE_RATE
    for _ in range(5):
        thud = rng.random() < 0.35
        modes = rng.uniform(70, 500, 4) if thud else rng.uniform(900, 3900, 5)
        decay = rng.uniform(0.02, 0.08) if thud else rng.uniform(0.03, 0.25)
        shape = sum(
            rng.uniform(0.2, 1)
            * np.sin(2 * np.pi * f * time + rng.uniform(0, 6.28))
            * np.exp(-time / (decay * rng.uniform(0.5, 1.2)))
            for f in modes
        )
        signal += fftconvolve(_scatter(rng, samples, rate / 5, 0.6), _unit(shape))[:samples]
    return signal


def clinking(rng: np.random.Generator, samples: int) -> np.ndarray:
    """A kitchen or a bar counter: things that are put down, over talk or ventilation."""
    events = _unit(_reverberate(rng, _events(rng, samples, rng.uniform(5, 14)), rng.uniform(0.2, 0.6)))
    bed = _shaped(rng, samples, rng.uniform(2, 5)) if rng.random() < 0.5 else _unit(babble(rng, samples))
    return events + rng.uniform(0.6, 1.2) * bed


def machine(rng: np.random.Generator, samples: int) -> np.ndarray:
    """A grinder or a train's floor: noise in the rhythm of something that turns, with whining gears."""
    time = np.arange(samples) / SAMPLE_RATE
    turning = 2 * np.pi * np.cumsum(rng.uniform(8, 30) * _curve(rng, samples, 4, 0.1)) / SAMPLE_RATE
    beat = 1 + 0.7 * np.sin(turning) + 0.3 * np.sin(3 * turning)
    whine = sum(np.sin(rng.uniform(9, 40) * turning + 0.3 * np.sin(7 * time)) for _ in range(4))
    return _shaped(rng, samples, rng.uniform(0, 4), 4) * beat + 0.6 * _unit(whine) * _curve(
        rng, samples, 3, 0.3
    )


def applause(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Hundreds of hands, swelling and dying away."""
    hands = np.zeros(samples)
    decay = np.exp(-np.arange(120) / rng.uniform(12, 30))
    for _ in range(16):
        # no two pairs of hands sound alike
        low = rng.uniform(300, 1100)
        sos = butter(
            1, [low, min(3800, rng.uniform(2, 4) * low + 200)], "bandpass", fs=SAMPLE_RATE, output="sos"
        )
        clap = sosfilt(sos, rng.standard_normal(120) * decay)
        hands += fftconvolve(_scatter(rng, samples, rng.uniform(10, 30), 0.5), _unit(clap))[:samples]
    hands = _reverberate(rng, hands, 0.8)
    return _unit(hands) * _curve(rng, samples, 4.0, 0.35) + 0.2 * _unit(crowd(rng, samples))


KINDS = {
    "train": (coloured, babble, traffic, crowd, rain, clinking, hum, babble, wind, crowd),
    "test": (crowd, coloured, babble, traffic, applause, babble, rain, clinking, machine, crowd),
}


def noise(rng: np.random.Generator, role: str, place: int, seconds: float = 30.0) -> np.ndarray:
    """Noise number `place` of a role ("train" or "test"): float32 (samples,), peak 0.9.

    Kinds take turns; two of the test kinds (machines and applause) do not occur in training.
    """
    kind = KINDS[role][place % len(KINDS[role])]
    signal = kind(rng, round(seconds * SAMPLE_RATE))
    return (0.9 * signal / np.abs(signal).max()).astype(np.float32)
