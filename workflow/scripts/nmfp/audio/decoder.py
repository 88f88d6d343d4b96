"""FFmpeg (through PyAV) as a decoder that gives samples or a short reason.

Damaged packets are left out as players do; empty, cut, damaged and foreign files are told apart.
"""

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, NamedTuple

import av
import numpy as np

from nmfp.audio.lengths import ends_inside_ogg_page, stated_seconds
from nmfp.errors import NmfpError

log = logging.getLogger("nmfp")

AUDIO_SUFFIXES = frozenset(
    ".wav .wave .w64 .rf64 .flac .mp3 .mp2 .ogg .oga .opus .spx .aac .m4a .m4b .mp4 .mka .mkv .webm .wma "
    ".aif .aiff .aifc .au .snd .caf .wv .ape .ac3 .amr .3gp".split()
)
# A text file must never make FFmpeg open what it names (playlists, concat scripts, network addresses).
CONTAINERS = (
    "wav,w64,flac,mp3,ogg,aac,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,aiff,au,caf,wv,ape,ac3,eac3,amr,"
    "amrnb,amrwb"
)
OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": CONTAINERS,
    "max_size": "65536",  # a WAV's packets, or reading it costs five times as much
}
TRUNCATED_SECONDS, TRUNCATED_SHARE = 0.25, 0.01
CORRUPT_SHARE = 0.1
NOT_AUDIO = "not audio, or its beginning is missing"
# Beyond these a header is damaged, and resampling would produce endless samples.
LOWEST_RATE, HIGHEST_RATE = 1000, 768_000
# Floats may pass full scale a little; astronomic ones are damage that would spread through the resampler.
LOUDEST = 4.0


class AudioError(NmfpError):
    """A file that is not, or not wholly, usable as audio; `reason` is short enough for a table's cell."""

    def __init__(self, path: str | Path, reason: str):
        path = path if isinstance(path, str | Path) else "standard input"
        super().__init__(f"{path} cannot be used: {reason}.")
        self.path = str(path)
        self.reason = reason

    def __reduce__(self):  # a decoding process sends it to its parent
        return type(self), (self.path, self.reason)


class TruncatedAudio(AudioError):
    """A file that ends before its header says; raised after everything that could be decoded was yielded."""


class Header(NamedTuple):
    """What a file says of itself: Hz, channels, and seconds (None where the format states no length)."""

    sample_rate: int
    channels: int
    seconds: float | None


def read_header(path: str | Path) -> Header:
    """Rate, channels and stated length, without decoding.

    Raises:
        AudioError: the file cannot be opened as audio.
    """
    with closing(_open(path)) as container:
        stream = _audio_stream(path, container)
        context = stream.codec_context
        return Header(
            context.sample_rate, context.channels, stated_seconds(path, container.format.name, stream)
        )


def decode(path: str | Path | BinaryIO) -> Iterator[tuple[int, np.ndarray]]:
    """Decode at the file's own rate: yields (Hz, float32 (channels, samples)) in short blocks.

    Packets that cannot be decoded are left out, as players do. Not-a-number becomes 0,
    floats are clipped at four times full scale.

    Raises:
        AudioError, TruncatedAudio: as `stream`.
    """
    with closing(_open(path)) as container:
        audio = _audio_stream(path, container)
        # a stream of bytes cannot be read twice: it states no length
        piped = hasattr(path, "read")
        stated = None if piped else stated_seconds(path, container.format.name, audio)
        packets = bad = 0
        seconds, held = 0.0, 0
        frames: list[np.ndarray] = []
        form = None
        for packet in _packets(container, audio, stopped := []):
            packets += 1
            try:
                decoded = packet.decode()
            except (av.error.FFmpegError, ValueError):
                bad += 1
                continue
            for frame in decoded:
                if not LOWEST_RATE <= frame.sample_rate <= HIGHEST_RATE:
                    bad += 1
                    continue
                raw = _raw(frame)
                if held and (form != (frame.sample_rate, len(raw), raw.dtype) or held >= form[0] // 2):
                    yield form[0], _floats(np.concatenate(frames, axis=1))
                    frames, held = [], 0
                form = frame.sample_rate, len(raw), raw.dtype
                frames.append(raw)
                held += raw.shape[1]
                seconds += raw.shape[1] / frame.sample_rate
        if held:
            yield form[0], _floats(np.concatenate(frames, axis=1))
    if bad > CORRUPT_SHARE * packets:
        raise AudioError(path, f"corrupt, {bad} of {packets} packets cannot be decoded")
    if not seconds:
        raise AudioError(path, "no samples in it")
    if is_short(seconds, stated):
        raise TruncatedAudio(path, f"truncated, {seconds:.1f} s of {stated:.1f} s are there")
    if stated is None and stopped:
        raise TruncatedAudio(path, f"unreadable after {seconds:.1f} s ({stopped[0]})")
    if stated is None and not piped and ends_inside_ogg_page(path):
        raise TruncatedAudio(path, f"truncated after {seconds:.1f} s")


def check_whole(path: str | Path) -> None:
    """Decode a file to its end and keep nothing; raises what `decode` raises."""
    for _ in decode(path):
        pass


def is_short(seconds: float, stated: float | None) -> bool:
    """Whether a recording lacks more of its stated length than rounding and an encoder's padding explain."""
    return stated is not None and stated - seconds > max(TRUNCATED_SECONDS, TRUNCATED_SHARE * stated)


def _open(path: str | Path | BinaryIO) -> av.container.InputContainer:
    av.logging.set_level(None)  # errors come as exceptions; FFmpeg's own lines would fill the logs
    if hasattr(path, "read"):
        return _open_piped(path)
    path = Path(path)
    try:
        if path.is_dir():
            raise AudioError(path, "a folder, not a file")
        with path.open("rb") as f:
            if not f.read(1):
                raise AudioError(path, "empty file")
    except OSError as error:
        raise AudioError(path, error.strerror or type(error).__name__) from None
    try:
        return av.open(
            f"file:{path}",  # keeps a name such as "http:..." a name
            options=OPTIONS,
            metadata_errors="ignore",
        )
    except (av.error.FFmpegError, OSError, ValueError):
        raise AudioError(path, NOT_AUDIO) from None


class _Piped:
    """A stream of bytes that knows whether any came."""

    def __init__(self, source: BinaryIO):
        self._source, self.empty = source, True

    def read(self, size: int) -> bytes:
        """As the stream's own."""
        data = self._source.read(size)
        self.empty = self.empty and not data
        return data

    def __getattr__(self, name: str):
        """Its other abilities are the stream's: a file on standard input can be sought in."""
        return getattr(self._source, name)


def _open_piped(source: BinaryIO) -> av.container.InputContainer:
    piped = _Piped(source)
    try:
        return av.open(piped, options={"format_whitelist": CONTAINERS}, metadata_errors="ignore")
    except (av.error.FFmpegError, OSError, ValueError):
        raise AudioError(source, "nothing came" if piped.empty else NOT_AUDIO) from None


def _audio_stream(path: str | Path, container: av.container.InputContainer) -> av.AudioStream:
    audio = container.streams.best("audio")
    if audio is None:
        raise AudioError(path, "no audio in it")
    context = audio.codec_context
    if context is None:
        raise AudioError(path, "in a coding that is not supported")
    if not context.channels or not context.sample_rate:
        raise AudioError(path, NOT_AUDIO)
    if not LOWEST_RATE <= context.sample_rate <= HIGHEST_RATE:
        raise AudioError(path, f"corrupt, a sampling rate of {context.sample_rate} Hz")
    return audio


def _packets(container, audio, stopped: list[str]) -> Iterator[av.Packet]:
    """The packets of one stream up to its end or to a read error, whose text is left in `stopped`."""
    try:
        yield from container.demux(audio)
    except (av.error.FFmpegError, OSError) as error:
        stopped.append(error.strerror or type(error).__name__)


def _raw(frame: av.AudioFrame) -> np.ndarray:
    """A frame as (channels, samples) in its own number format."""
    raw = frame.to_ndarray()
    return raw if frame.format.is_planar else raw.reshape(-1, frame.layout.nb_channels).T


def _floats(raw: np.ndarray) -> np.ndarray:
    """Samples of any number format as float32 in [-1, 1]."""
    if raw.dtype == np.uint8:
        return (raw.astype(np.float32) - 128) / 128
    if raw.dtype.kind == "i":
        return (raw / 2.0 ** (8 * raw.itemsize - 1)).astype(np.float32)
    numbers = np.nan_to_num(raw, nan=0.0) if np.isnan(raw).any() else raw
    return np.clip(numbers, -LOUDEST, LOUDEST).astype(np.float32)
