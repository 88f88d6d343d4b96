"""What the commands' own parsers share: their help, their common options, the values they take."""

import argparse

DATABASE_HELP = (
    "made by `nmfp database create`, or the workflow's: results/<experiment>/fingerprints/<model>/database"
)


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Line breaks of our own, and room for the longest command beside its explanation."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=26)

    def add_argument(self, action: argparse.Action) -> None:
        """argparse forgets the indent of commands when it looks for the longest name."""
        super().add_argument(action)
        if isinstance(action, argparse._SubParsersAction):
            self._action_max_length += self._indent_increment


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
        formatter_class=Formatter,
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
    add_threads(group)


def add_threads(group) -> None:
    """--threads."""
    group.add_argument("--threads", type=positive, metavar="N", help="CPU threads to use (default: all)")


def add_database_option(command) -> None:
    """--database."""
    command.add_argument("-d", "--database", required=True, metavar="DB", help=DATABASE_HELP)


def add_rate_option(command) -> None:
    """--false-accept-rate."""
    command.add_argument(
        "--false-accept-rate",
        type=rate,
        metavar="RATE",
        help="share of unknown music that may be taken for a track, 0.01 or 1%% (default: 0.01, or the lowest that the "
        "database is calibrated for)",
    )


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
