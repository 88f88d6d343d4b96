"""All commands of `nmfp` as one argparse tree; importing it costs argparse and nothing else."""

import argparse
import re
import sys
from typing import NoReturn

from nmfp import __version__
from nmfp.cli import completion, database, evaluate, fingerprint, identify, monitor, retrieve, weights
from nmfp.cli.options import Formatter
from nmfp.cli.status import USAGE

DESCRIPTION = """\
Identify music by fingerprints: from a few seconds of a noisy recording to the song and the place in it.

A model, which is a trained network, makes a fingerprint of every half second of a recording. A database holds
the fingerprints of your recordings and a copy of the model; `identify` and `monitor` ask it."""
EPILOG = """\
examples:
  nmfp weights fetch nmfp-triplet                         the paper's trained network
  nmfp database create songs.db MUSIC/ --model nmfp-triplet
  nmfp identify clip.m4a --database songs.db              which song, and where in it?
  nmfp monitor radio.mp3 --database songs.db              the track list of a long recording
  nmfp evaluate truth.csv results/ --database songs.db    how often are my queries found?
  nmfp fingerprint MUSIC/ -o fingerprints/ --model results/demo/models/demo-ntxent

`nmfp COMMAND --help` explains a command. Exit status: 0 done, 1 some files failed or the work could not be
done, 2 wrong usage, 130 interrupted.
"""


# What argparse calls them where they are missing
_UNKNOWN_TO_BEGINNERS = {"database", "-d/--database", "-m/--model"}
_BEGINNING = """\
A database holds the fingerprints of your recordings; a model, a trained network, makes fingerprints. To get both:
  nmfp weights fetch nmfp-triplet
  nmfp database create songs.db MUSIC/ --model nmfp-triplet"""


class Parser(argparse.ArgumentParser):
    """argparse's, which says what a database and a model are where one is missing."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and what is wrong, and end with status 2."""
        missing = re.fullmatch(r"the following arguments are required: (.*)", message)
        names = missing[1].split(", ") if missing else []
        if not _UNKNOWN_TO_BEGINNERS & set(names):
            super().error(message)
        self.print_usage(sys.stderr)
        verb = "is" if len(names) == 1 else "are"
        self.exit(USAGE, f"nmfp: {', '.join(names)} {verb} missing. {_BEGINNING}\n")


def build_parser() -> argparse.ArgumentParser:
    """The complete parser; the chosen command's function is `arguments.run`, its own parser `arguments.parser`,
    and this one `arguments.whole`."""
    parser = Parser(
        prog="nmfp",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"nmfp {__version__}")
    parser.set_defaults(parser=parser, whole=parser)
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for group in (identify, monitor, database, fingerprint, retrieve, evaluate, weights, completion):
        group.add_parser(commands)
    return parser
