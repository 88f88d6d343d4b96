"""All commands of `nmfp` as one argparse tree; importing it costs argparse and nothing else."""

import argparse

from nmfp import __version__
from nmfp.cli import completion, database, evaluate, fingerprint, identify, monitor, retrieve, weights
from nmfp.cli.options import Formatter

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


def build_parser() -> argparse.ArgumentParser:
    """The complete parser; the chosen command's function is `arguments.run`, its own parser `arguments.parser`,
    and this one `arguments.whole`."""
    parser = argparse.ArgumentParser(
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
