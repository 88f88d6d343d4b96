"""nmfp monitor: the track list of a long recording or of a stream."""

import contextlib
import csv
import json
import sys
from collections.abc import Iterator
from typing import TextIO

from nmfp.cli.identify import add_database_option, add_rate_option
from nmfp.cli.messages import clock, printable, say, set_up_logging
from nmfp.cli.models import add_model_option, find_model
from nmfp.cli.parser import add_common, add_engine, new_command
from nmfp.cli.status import OK

COLUMNS = ["begin_seconds", "end_seconds", "track", "track_begin_seconds", "score", "confidence"]
BLOCK_SECONDS = 2


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
        "  arecord -f S16_LE -r 8000 | nmfp monitor - --database songs.db\n"
        "A line comes as soon as it is certain that its track is over, about ten seconds later.\n",
    )
    command.add_argument("recording", help="an audio file, or - for audio on standard input")
    add_database_option(command)
    add_model_option(command, required=False)
    add_rate_option(command)
    command.add_argument(
        "--window", type=_seconds, default=10.0, metavar="S", help="seconds identified at once (default: 10)"
    )
    command.add_argument(
        "--format", choices=["table", "csv", "json", "cue"], default="table", help="of the list"
    )
    command.add_argument(
        "-o", "--output", metavar="FILE", help="write the list there, not to standard output"
    )
    add_engine(command)
    add_common(command)


def _seconds(text: str) -> float:
    import argparse

    value = float(text)
    if not 2 <= value <= 60:
        raise argparse.ArgumentTypeError("must lie between 2 and 60 seconds")
    return value


def run(arguments) -> int:
    """Stream the recording through the network and the database."""
    set_up_logging(arguments)
    model = find_model(arguments.model) if arguments.model else None
    from nmfp.audio import TruncatedAudio, stream
    from nmfp.cli.results import output
    from nmfp.identification.fingerprinting import fingerprint_blocks
    from nmfp.identification.session import Session
    from nmfp.identification.stream import Settings, monitor
    from nmfp.segments import SAMPLE_RATE

    settings = Settings(window=round(2 * arguments.window) - 1)
    with contextlib.ExitStack() as stack:
        source = arguments.recording
        if source == "-":
            # unbuffered: what has come is used, though more may come later
            source = stack.enter_context(open(sys.stdin.fileno(), "rb", buffering=0, closefd=False))
        session = stack.enter_context(Session(arguments.database, model, arguments.engine, arguments.threads))
        session.decide_at(arguments.false_accept_rate)

        def blocks():
            try:
                yield from stream(source, block_samples=BLOCK_SECONDS * SAMPLE_RATE)
            except TruncatedAudio as error:
                say(f"nmfp: {error}")

        fingerprints = fingerprint_blocks(blocks(), session.engine)
        found = monitor(fingerprints, session.reference, session.decision.judge, settings)
        f = stack.enter_context(output(arguments.output))
        write = {"table": _table, "csv": _csv, "json": _json, "cue": _cue}[arguments.format]
        write(f, found, arguments.recording)
    return OK


def _table(f: TextIO, found: Iterator, recording: str) -> None:
    print(f"{'BEGIN':>9}  {'END':>9}  {'SCORE':>5}  {'IN TRACK':>9}  TRACK", file=f, flush=True)
    before = 0.0
    for s in found:
        if s.begin - before >= 5:
            print(f"{clock(before):>9}  {clock(s.begin):>9}  {'':>5}  {'':>9}  (nothing known)", file=f)
        line = f"{clock(s.begin):>9}  {clock(s.end):>9}  {s.score:>5.3f}  {clock(s.track_begin):>9}"
        print(f"{line}  {printable(s.track)}", file=f, flush=True)
        before = max(before, s.end)


def _values(s) -> dict:
    confidence = None if s.confidence is None else round(s.confidence, 4)
    values = (s.begin, s.end, s.track, s.track_begin, round(s.score, 6), confidence)
    return dict(zip(COLUMNS, values, strict=True))


def _csv(f: TextIO, found: Iterator, recording: str) -> None:
    writer = csv.DictWriter(f, COLUMNS, lineterminator="\n")
    writer.writeheader()
    f.flush()
    for s in found:
        writer.writerow(_values(s))
        f.flush()


def _json(f: TextIO, found: Iterator, recording: str) -> None:
    f.write("[")
    try:
        for n, s in enumerate(found):
            f.write((",\n" if n else "\n") + json.dumps(_values(s), ensure_ascii=False))
            f.flush()
    finally:
        f.write("\n]\n")


def _cue(f: TextIO, found: Iterator, recording: str) -> None:
    """A cue sheet (https://wiki.hydrogenaud.io/index.php?title=Cue_sheet): places in frames of 1/75 s."""
    kind = {"mp3": "MP3", "aif": "AIFF", "aiff": "AIFF"}.get(recording.rsplit(".", 1)[-1].lower(), "WAVE")
    print(f"FILE {_quoted(recording)} {kind}", file=f)
    for n, s in enumerate(sorted(found, key=lambda s: s.begin), 1):
        frames = round(s.begin * 75)
        print(f"  TRACK {n:02d} AUDIO", file=f)
        print(f"    TITLE {_quoted(s.track)}", file=f)
        print(f"    REM END {clock(s.end)} IN_TRACK {clock(s.track_begin)} SCORE {s.score:.3f}", file=f)
        print(f"    INDEX 01 {frames // 4500:02d}:{frames // 75 % 60:02d}:{frames % 75:02d}", file=f)


def _quoted(text: str) -> str:
    """The format has no escape for quotes."""
    return '"' + printable(text).replace('"', "'") + '"'
