"""Audio in: one streaming decoder for every format, and our own 8 kHz mono 16-bit WAV files.

FFmpeg (`nmfp.audio.decoder`) decodes, soxr (SoX's own resampler) changes the rate, channels are averaged. Memory
does not depend on a recording's length. Extraction, the command line and the conversion of what SoX cannot
read all come through here, so that references and queries agree.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from nmfp.audio.decoder import AUDIO_SUFFIXES, AudioError, TruncatedAudio, decode
from nmfp.files import atomic
from nmfp.segments import SAMPLE_RATE

__all__ = [
    "AUDIO_SUFFIXES", "AudioError", "TruncatedAudio", "read", "read_wav", "stream", "to_float", "to_int16",
    "wav_peak", "wav_rms", "wav_samples", "write_wav",
]  # fmt: skip

log = logging.getLogger("nmfp")

BLOCK_SECONDS = 10


def to_int16(signal: np.ndarray) -> np.ndarray:
    """Floats in [-1, 1] as int16 of the same shape; what lies outside is clipped, never wrapped around."""
    return np.clip(np.rint(signal * 32768.0), -32768, 32767).astype(np.int16)


def to_float(samples: np.ndarray, dtype: type = np.float64) -> np.ndarray:
    """int16 samples as floats in [-1, 1)."""
    return samples.astype(dtype) / 32768


def stream(
    path: str | Path | BinaryIO,
    sample_rate: int = SAMPLE_RATE,
    block_samples: int = BLOCK_SECONDS * SAMPLE_RATE,
) -> Iterator[np.ndarray]:
    """Decode any audio file, or a stream of bytes such as standard input, to mono at `sample_rate` (Hz).

    Yields int16 arrays (block_samples,), the last one shorter. Channels are averaged; values outside [-1, 1]
    are clipped. A rate below 8 kHz is accepted with a warning.

    Raises:
        AudioError: not audio, nothing decodable, or more than a tenth of its packets corrupt.
        TruncatedAudio: after the last block, where the file ends before its header says.
    """
    pending: list[np.ndarray] = []
    held = 0
    problem = None
    try:
        for block in _resampled(path, sample_rate):
            pending.append(to_int16(block))
            held += len(block)
            if held >= block_samples:
                joined = np.concatenate(pending)
                whole = held - held % block_samples
                yield from joined[:whole].reshape(-1, block_samples)
                pending, held = [joined[whole:].copy()], held - whole
    except AudioError as error:  # what came before it is sound: hand it out first
        problem = error
    if held:
        yield np.concatenate(pending)
    if problem:
        raise problem


def read(path: str | Path, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """The whole of a short file as int16 (samples,); see `stream`, whose errors it raises."""
    return np.concatenate(list(stream(path, sample_rate)))


def read_wav(path: str | Path, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Samples [start, stop) of one of our own 8 kHz mono 16-bit WAVs as int16.

    Raises:
        AudioError: the file is missing, unreadable, or not in that format.
    """
    try:
        with soundfile.SoundFile(os.fsencode(path)) as f:
            if (f.samplerate, f.channels, f.subtype) != (SAMPLE_RATE, 1, "PCM_16"):
                raise AudioError(path, "not 8 kHz mono 16-bit")
            f.seek(min(start, f.frames))
            return f.read(-1 if stop is None else max(stop - start, 0), dtype="int16")
    except soundfile.LibsndfileError as error:
        raise AudioError(path, f"{error.error_string.rstrip('.')}") from None


def wav_samples(path: str | Path) -> int:
    """Length in samples of one of our own WAVs, from its header.

    Raises:
        AudioError: the file is missing, unreadable, or not in that format.
    """
    try:
        info = soundfile.info(os.fsencode(path))
    except soundfile.LibsndfileError as error:
        raise AudioError(path, f"{error.error_string.rstrip('.')}") from None
    if (info.samplerate, info.channels, info.subtype) != (SAMPLE_RATE, 1, "PCM_16"):
        raise AudioError(path, "not 8 kHz mono 16-bit")
    return info.frames


def wav_peak(path: str | Path) -> int:
    """Largest absolute sample of one of our own WAVs, read in blocks."""
    blocks = soundfile.blocks(os.fsencode(path), blocksize=SAMPLE_RATE * BLOCK_SECONDS, dtype="int16")
    return max((int(np.abs(block.astype(np.int32)).max()) for block in blocks), default=0)


def wav_rms(path: str | Path) -> float:
    """RMS of one of our own WAVs, full scale 1, read in blocks."""
    squares = samples = 0
    for block in soundfile.blocks(os.fsencode(path), blocksize=SAMPLE_RATE * BLOCK_SECONDS, dtype="int16"):
        signal = to_float(block)
        squares += float(signal @ signal)
        samples += len(signal)
    return (squares / samples) ** 0.5 if samples else 0.0


def write_wav(path: str | Path, samples: np.ndarray) -> None:
    """Write int16 samples atomically as 8 kHz mono 16-bit WAV."""
    if samples.dtype != np.int16 or samples.ndim != 1:
        raise ValueError(f"expected one-dimensional int16, got {samples.dtype} {samples.shape}")
    with atomic(path) as temporary:
        soundfile.write(temporary, samples, SAMPLE_RATE, subtype="PCM_16", format="WAV")


def _resampled(path: str | Path, sample_rate: int) -> Iterator[np.ndarray]:
    """Mono float32 blocks at `sample_rate`; rate and channels may change on the way (chained Ogg)."""
    resampler, rate, problem = None, None, None
    try:
        for block_rate, block in decode(path):
            if block_rate != rate:
                if resampler is not None:
                    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
                if block_rate < sample_rate:
                    log.warning(
                        "%s has only %d samples a second: its upper frequencies are silent", path, block_rate
                    )
                rate, resampler = block_rate, None
                if rate != sample_rate:
                    resampler = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality="HQ")
            mono = block.mean(axis=0)
            yield mono if resampler is None else resampler.resample_chunk(mono)
    except AudioError as error:
        problem = error
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
    if problem:
        raise problem
