"""All commands of `nmfp` as one argparse tree; importing it costs argparse and nothing else."""

import argparse

from nmfp import __version__

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
  nmfp fingerprint MUSIC/ -o fingerprints/ --model results/demo/models/demo-ntxent

`nmfp COMMAND --help` explains a command. Exit status: 0 done, 1 some files failed or the work could not be
done, 2 wrong usage, 130 interrupted.
"""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Line breaks of our own, and room for the longest command beside its explanation."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=26)

    def add_argument(self, action: argparse.Action) -> None:
        """argparse forgets the indent of commands when it looks for the longest name."""
        super().add_argument(action)
        if isinstance(action, argparse._SubParsersAction):
            self._action_max_length += self._indent_increment


def build_parser() -> argparse.ArgumentParser:
    """The complete parser; the chosen command's function is `arguments.run`, its own parser `arguments.parser`."""
    from nmfp.cli import completion, database, fingerprint, identify, monitor, retrieve, weights

    parser = argparse.ArgumentParser(
        prog="nmfp",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"nmfp {__version__}")
    parser.set_defaults(parser=parser)
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for group in (identify, monitor, database, fingerprint, retrieve, weights, completion):
        group.add_parser(commands)
    return parser


def new_command(
    commands, name: str, run, summary: str, examples: str = "", notes: str = ""
) -> argparse.ArgumentParser:
    """Add a command whose help shows `summary` and, below the options, examples and notes."""
    parts = [f"examples:\n{examples}"] if examples else []
    parts += [notes] if notes else []
    command = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog="\n".join(parts) or None,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    command.set_defaults(run=run, parser=command)
    return command


def add_common(command: argparse.ArgumentParser) -> None:
    """Options that every command has."""
    group = command.add_argument_group("messages")
    group.add_argument("-q", "--quiet", action="store_true", help="say only what went wrong")
    group.add_argument("-v", "--verbose", action="store_true", help="say what is done, with times")


def add_engine(command: argparse.ArgumentParser) -> None:
    """Options of commands that compute fingerprints."""
    group = command.add_argument_group("computing")
    group.add_argument(
        "--engine",
        choices=["auto", "openvino", "keras"],
        default="auto",
        help="what runs the network; auto is keras on a GPU and openvino on a CPU (default: auto)",
    )
    group.add_argument("--threads", type=positive, metavar="N", help="CPU threads to use (default: all)")


def positive(text: str) -> int:
    """A whole number above zero."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return value


def rate(text: str) -> float:
    """A share between 0 and 1, both excluded; "1%" is accepted."""
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number; write 0.01 or 1%") from None
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("must lie between 0 and 1, for example 0.01 or 1%")
    return value
