"""nmfp monitor: the track list of a long recording or of a stream."""

import contextlib
import csv
import itertools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from nmfp.cli.audio_input import AudioInput
from nmfp.cli.messages import clock, complain, printable, set_up_logging
from nmfp.cli.models import add_model_option, find_model
from nmfp.cli.options import add_common, add_database_option, add_engine, add_rate_option, new_command
from nmfp.cli.status import INTERRUPTED, OK

if TYPE_CHECKING:
    import numpy as np

COLUMNS = ["begin_seconds", "end_seconds", "track", "track_begin_seconds", "score", "confidence"]
# Of a stream, which is waited for; and of a file, where all threads compute at once
BLOCK_SECONDS, FILE_BLOCK_SECONDS = 2, 32
# Shorter stretches without a track are gaps, not unknown music
UNKNOWN_SECONDS = 5


def add_parser(commands) -> None:
    """Describe the command."""
    command = new_command(
        commands,
        "monitor",
        run,
        "list the tracks in a long recording, from when to when",
        "  nmfp monitor radio.mp3 --database songs.db\n"
        "  nmfp monitor mix.flac --database songs.db --format cue -o mix.cue\n"
        "  curl -s http://radio.example/stream.mp3 | nmfp monitor - --database songs.db --format csv\n"
        "  arecord -f S16_LE -r 8000 | nmfp monitor - --database songs.db\n",
        "A line comes as soon as it is certain that its track is over, about ten seconds later. BEGIN and END are places\n"
        "in the recording, IN TRACK is the place in the track where it begins. Ctrl-C ends a stream: the list up to\n"
        "there is written.\n",
    )
    command.add_argument("recording", help="an audio file, or - for audio on standard input")
    add_database_option(command)
    add_model_option(command, required=False)
    add_rate_option(command)
    command.add_argument(
        "--window",
        type=_seconds,
        default=10.0,
        metavar="S",
        help="seconds of it identified at once, 2 to 60 (default: 10)",
    )
    command.add_argument(
        "--format",
        choices=["table", "csv", "json", "cue"],
        default="table",
        help="table for people, csv or json for programs, cue for players (default: table)",
    )
    command.add_argument(
        "-o", "--output", metavar="FILE", help="write the list there instead of standard output"
    )
    add_engine(command)
    add_common(command)


def _seconds(text: str) -> float:
    import argparse

    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 2 <= value <= 60:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 2 to 60")
    return value


def run(arguments) -> int:
    """Stream the recording through the network and the database."""
    set_up_logging(arguments)
    model = find_model(arguments.model) if arguments.model else None
    from nmfp.cli.results import output
    from nmfp.identification.decision import DEFAULT_RATE
    from nmfp.identification.fingerprinting import fingerprint_blocks
    from nmfp.identification.session import Session
    from nmfp.identification.stream import Settings, monitor

    settings = Settings(window=round(2 * arguments.window) - 1)
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(Session(arguments.database, model, arguments.engine, arguments.threads))
        # of 1,800 windows an hour, one in a hundred would be too many
        session.decide_at(arguments.false_accept_rate, default=DEFAULT_RATE / 10)
        f = stack.enter_context(output(arguments.output))
        piped = stack.enter_context(AudioInput()) if arguments.recording == "-" else None
        recording = _Recording(arguments.recording, piped)
        fingerprints = fingerprint_blocks(recording.blocks(), session.engine)
        # nothing is written before it is certain that there is something to listen to
        begun = list(itertools.islice(fingerprints, 1))
        fingerprints = itertools.chain(begun, fingerprints)
        found = monitor(fingerprints, session.reference, session.decision.judge, settings)
        write = {"table": _table, "csv": _csv, "json": _json, "cue": _cue}[arguments.format]
        write(f, found, recording)
    if piped and piped.interrupted:
        complain("interrupted; the list goes up to there.")
        return INTERRUPTED
    return OK


class _Recording:
    """A file, or standard input, and how much of it has been heard.

    Attributes:
        name: as it was typed.
        samples: that have come, at 8 kHz.
    """

    def __init__(self, name: str, piped: AudioInput | None):
        self.name, self.samples, self._piped = name, 0, piped

    @property
    def seconds(self) -> float:
        """How much of it has been heard."""
        from nmfp.segments import SAMPLE_RATE

        return self.samples / SAMPLE_RATE

    def blocks(self) -> "Iterator[np.ndarray]":
        """The samples as they come, int16 (n,) at 8 kHz.

        Raises:
            AudioError: not audio, or shorter than a segment.
        """
        from nmfp.audio.wav import AudioError, TruncatedAudio, stream
        from nmfp.identification.fingerprinting import too_short
        from nmfp.segments import SAMPLE_RATE, SEGMENT_SAMPLES

        piped = self._piped
        source = piped or self.name
        seconds = BLOCK_SECONDS if piped else FILE_BLOCK_SECONDS
        try:
            for block in stream(source, block_samples=seconds * SAMPLE_RATE):
                self.samples += len(block)
                yield block
                if piped and piped.interrupted:
                    return
        except AudioError as error:
            if piped and piped.interrupted:  # cut off wherever that was
                return
            if self.samples < SEGMENT_SAMPLES or not isinstance(error, TruncatedAudio):
                raise
            complain(error)
        if self.samples < SEGMENT_SAMPLES:
            raise too_short(source, self.samples)


def _table(f: TextIO, found: Iterator, recording: _Recording) -> None:
    print(f"{'BEGIN':>9}  {'END':>9}  {'SCORE':>5}  {'IN TRACK':>9}  TRACK", file=f, flush=True)
    before = 0.0
    for s in found:
        if s.begin - before >= UNKNOWN_SECONDS:
            _unknown(f, before, s.begin)
        line = f"{clock(s.begin):>9}  {clock(s.end):>9}  {s.score:>5.3f}  {clock(s.track_begin):>9}"
        print(f"{line}  {printable(s.track)}", file=f, flush=True)
        before = max(before, s.end)
    if recording.seconds - before >= UNKNOWN_SECONDS or not before:
        _unknown(f, before, recording.seconds)


def _unknown(f: TextIO, begin: float, end: float) -> None:
    print(f"{clock(begin):>9}  {clock(end):>9}  {'':>5}  {'':>9}  (nothing known)", file=f, flush=True)


def _values(s) -> dict:
    confidence = None if s.confidence is None else round(s.confidence, 4)
    values = (s.begin, s.end, s.track, s.track_begin, round(s.score, 6), confidence)
    return dict(zip(COLUMNS, values, strict=True))


def _csv(f: TextIO, found: Iterator, recording: _Recording) -> None:
    writer = csv.DictWriter(f, COLUMNS, lineterminator="\n")
    writer.writeheader()
    f.flush()
    for s in found:
        writer.writerow(_values(s))
        f.flush()


def _json(f: TextIO, found: Iterator, recording: _Recording) -> None:
    f.write("[")
    try:
        for n, s in enumerate(found):
            f.write((",\n" if n else "\n") + json.dumps(_values(s), ensure_ascii=False))
            f.flush()
    finally:
        f.write("\n]\n")


def _cue(f: TextIO, found: Iterator, recording: _Recording) -> None:
    """A cue sheet (https://wiki.hydrogenaud.io/index.php?title=Cue_sheet): places in frames of 1/75 s."""
    kind = {"mp3": "MP3", "aif": "AIFF", "aiff": "AIFF"}.get(
        recording.name.rsplit(".", 1)[-1].lower(), "WAVE"
    )
    print(f"FILE {_quoted(recording.name)} {kind}", file=f)
    for n, s in enumerate(sorted(found, key=lambda s: s.begin), 1):
        frames = round(s.begin * 75)
        print(f"  TRACK {n:02d} AUDIO", file=f)
        print(f"    TITLE {_quoted(s.track)}", file=f)
        print(f"    REM END {clock(s.end)} IN_TRACK {clock(s.track_begin)} SCORE {s.score:.3f}", file=f)
        print(f"    INDEX 01 {frames // 4500:02d}:{frames // 75 % 60:02d}:{frames % 75:02d}", file=f)


def _quoted(text: str) -> str:
    """The format has no escape for quotes."""
    return '"' + printable(text).replace('"', "'") + '"'
