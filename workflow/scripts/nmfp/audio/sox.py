"""The paper's 8 kHz mono 16-bit WAVs, made by SoX: `-R -G --norm=0`, channels averaged.

A wrong length in the header is ignored. SoX keeps the encoder's delay of an mp3 (about 51 ms),
which `nmfp.audio.wav` trims. What SoX cannot read (m4a, aac, opus) is decoded by
`nmfp.audio.wav` and piped in, so that resampling, dither and normalisation are the same for all.
"""

import contextlib
import math
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from nmfp.audio import decoder
from nmfp.audio import wav as audio
from nmfp.audio.decoder import AudioError, Header
from nmfp.errors import NmfpError
from nmfp.files import atomic
from nmfp.segments import SAMPLE_RATE

INSTALL = "sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends sox libsox-fmt-mp3'"
# Headroom for what lossy formats decode to beyond full scale; --norm takes it back.
PIPE_GAIN = 0.25
SILENCE_DBFS = -60.0
# SoX's dither alone moves a silent file by a step or two.
SILENT_PEAK = 2
TIMEOUT_SECONDS, TIMEOUT_SECONDS_PER_MB = 300, 2


class _SoxError(Exception):
    """SoX ended with another status than 0; the message is its own."""


def find_sox() -> str:
    """Path of the program.

    Raises:
        NmfpError: SoX is not installed.
    """
    path = shutil.which("sox")
    if path is None:
        raise NmfpError(f"SoX is not installed: run  {INSTALL}  and start again.")
    return path


def convert_with_sox(
    source: str | Path, target: str | Path, channel: int | None = None, quiet_is_silent: bool = True
) -> int:
    """Convert a file of any format to an 8 kHz mono 16-bit WAV, peak at full scale; returns its samples.

    Args:
        channel: None averages all channels (music, noise); a number, from 1, takes that one (responses).
        quiet_is_silent: refuse what never passes -60 dBFS, instead of blowing its hiss up to full scale.
            Digital silence is refused in any case.

    The target appears whole or not at all.

    Raises:
        AudioError: unreadable, corrupt, truncated, silent, or too slow to be sound.
        NmfpError: SoX, or its support of mp3, is missing.
    """
    header = decoder.read_header(source)
    with atomic(target) as temporary:
        try:
            peak_dbfs = _convert_file(source, temporary, channel)
            if header.seconds is None:
                decoder.check_whole(source)
        except _SoxError:
            peak_dbfs = _convert_decoded(source, temporary, channel, header)
        samples = audio.wav_samples(temporary)
        seconds = samples / SAMPLE_RATE
        if decoder.is_short(seconds, header.seconds):
            raise AudioError(source, f"truncated, {seconds:.1f} s of {header.seconds:.1f} s are there")
        level = SILENCE_DBFS if quiet_is_silent else -float("inf")
        if peak_dbfs < level or audio.wav_peak(temporary) <= SILENT_PEAK:
            raise AudioError(source, "silent")
    return samples


def _convert_file(source: str | Path, target: Path, channel: int | None) -> float:
    """Let SoX read the file; returns the peak before normalisation in dBFS."""
    # An absolute path: SoX takes a leading - for an option, a leading | for a command, http: for an address.
    with _sox(source, ["--ignore-length", str(Path(source).absolute())], target, channel) as result:
        pass
    return result["peak_dbfs"]


def _convert_decoded(source: str | Path, target: Path, channel: int | None, header: Header) -> float:
    """Decode here and pipe 32-bit floats into SoX; returns the peak before normalisation in dBFS."""
    form = ["-t", "f32", "-r", str(header.sample_rate), "-c", str(header.channels), "-"]
    try:
        with _sox(source, form, target, channel) as result:
            for rate, block in decoder.decode(source):
                if (rate, len(block)) != (header.sample_rate, header.channels):
                    raise AudioError(source, "its sampling rate or channels change on the way")
                result["stdin"].write((block.T * PIPE_GAIN).astype("<f4").tobytes())
    except _SoxError as error:
        raise AudioError(source, f"SoX failed, {error}") from None
    return result["peak_dbfs"] - _decibel(PIPE_GAIN)


@contextlib.contextmanager
def _sox(source: str | Path, form: list[str], target: Path, channel: int | None) -> Iterator[dict]:
    """Run SoX while the block feeds `stdin`; afterwards `peak_dbfs` holds the level before normalisation."""
    effects = ["remix", "-" if channel is None else str(channel), "stats"]
    result: dict = {}
    # SoX's own temporary files go where the result must fit anyway, and vanish with a killed process
    with (
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".part-") as folder,
        tempfile.TemporaryFile() as said,
    ):
        process = subprocess.Popen(
            [find_sox(), "-R", "-G", "--norm=0", "--temp", folder, *form]
            + [
                "-r",
                str(SAMPLE_RATE),
                "-b",
                "16",
                "-e",
                "signed-integer",
                "-t",
                "wav",
                str(target),
                *effects,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        limit = TIMEOUT_SECONDS + TIMEOUT_SECONDS_PER_MB * Path(source).stat().st_size / 2**20
        expired = threading.Event()

        def stop():
            expired.set()  # before the end that it is the reason of
            process.kill()

        guard = threading.Timer(limit, stop)
        guard.start()
        try:
            result["stdin"] = process.stdin
            with contextlib.suppress(BrokenPipeError):  # SoX ended early; its status says why
                yield result
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            guard.cancel()
        said.seek(0)
        message = said.read().decode(errors="replace")
    if process.returncode and expired.is_set():
        raise AudioError(source, f"SoX did not finish in {limit:.0f} s")
    if process.returncode:
        if re.search(r"no handler for .*mp3", message):
            raise NmfpError(f"SoX cannot read mp3: run  {INSTALL}  and start again.")
        failures = re.findall(r"^sox FAIL (.*)$", message, re.MULTILINE) or [f"status {process.returncode}"]
        raise _SoxError(failures[-1].strip().rstrip(":"))
    result["peak_dbfs"] = float(re.search(r"^Pk lev dB\s+(\S+)", message, re.MULTILINE).group(1))


def _decibel(ratio: float) -> float:
    return 20 * math.log10(ratio)
