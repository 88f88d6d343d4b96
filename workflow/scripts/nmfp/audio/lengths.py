"""How long an audio file claims to be, so that one that was cut short can be told from a short one.

FFmpeg reads to the end of what is there and takes that for the length wherever a header allows it.
"""

import struct
from pathlib import Path

# Containers whose header states a length that FFmpeg reports
# as it stands; elsewhere it guesses from the bit rate.
TRUSTED = {"flac", "mov,mp4,m4a,3gp,3g2,mj2", "aiff", "wv", "ape"}
# What writes a WAV to a pipe cannot go back and states 0, 2 or 4 GiB.
UNKNOWN_WAV_BYTES = 0x7F000000
LARGEST_OGG_PAGE = 65307


def stated_seconds(path: str | Path, container: str, stream) -> float | None:
    """The length in seconds that the header claims; None where there is only an estimate.

    Args:
        container: FFmpeg's name of the format.
        stream: PyAV's audio stream.
    """
    if container in ("wav", "w64"):
        return _wav_seconds(Path(path))
    if stream.duration is None:
        return None
    if container in TRUSTED or (container == "mp3" and _counts_frames(Path(path))):
        return float(stream.duration * stream.time_base)
    return None


def ends_inside_ogg_page(path: str | Path) -> bool:
    """Whether the last page of an Ogg file says that it goes on beyond the file's end; False for other formats."""
    with Path(path).open("rb") as f:
        if f.read(4) != b"OggS":
            return False
        f.seek(max(0, f.seek(0, 2) - 2 * LARGEST_OGG_PAGE))
        tail = f.read()
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + 27:
        return True
    segments = tail[page + 26]
    lengths = tail[page + 27 : page + 27 + segments]
    return page + 27 + segments + sum(lengths) > len(tail)


def _wav_seconds(path: Path) -> float | None:
    """From the byte rate and the size of the data chunk of a RIFF, RF64 or Wave64 file."""
    with path.open("rb") as f:
        form = f.read(4)
        if form == b"riff":
            # Wave64: a chunk's name has 16 bytes, its size 8, which count the 24 of both
            return _walk_chunks(f, 40, "<4s12xQ", 24, 8)
        return _walk_chunks(f, 12, "<4sI", 0, 2) if form in (b"RIFF", b"RF64", b"BW64") else None


def _walk_chunks(f, start: int, header: str, counted: int, alignment: int) -> float | None:
    length = f.seek(0, 2)
    f.seek(start)
    byte_rate = long_size = None
    while len(head := f.read(struct.calcsize(header))) == struct.calcsize(header):
        name, size = struct.unpack(header, head)
        size -= counted
        if name == b"data":
            if long_size and size == 0xFFFFFFFF:
                return long_size / byte_rate if byte_rate else None
            known = counted or size < UNKNOWN_WAV_BYTES
            return size / byte_rate if byte_rate and size > 0 and known else None
        here = f.tell()
        if not 0 <= size <= length - here:
            return None
        content = f.read(min(size, 64))
        if name == b"fmt " and len(content) >= 16:
            byte_rate = struct.unpack("<I", content[8:12])[0]
        if name == b"ds64" and len(content) >= 16:
            long_size = struct.unpack("<Q", content[8:16])[0]
        f.seek(here + size + -size % alignment)
    return None


def _counts_frames(path: Path) -> bool:
    """Whether an mp3 begins with a Xing, Info or VBRI frame, which holds the number of frames."""
    with path.open("rb") as f:
        head = f.read(10)
        tagged = head[:3] == b"ID3" and len(head) == 10
        # its size: four bytes of seven bits
        f.seek(
            10 + sum(b << shift for b, shift in zip(head[6:], (21, 14, 7, 0), strict=True)) if tagged else 0
        )
        frame = f.read(4096)
    return any(tag in frame for tag in (b"Xing", b"Info", b"VBRI"))
