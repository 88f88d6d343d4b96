"""nmfp fingerprint: audio in, one .npy of fingerprints a recording out."""

import argparse

from nmfp.cli.inputs import INPUTS_HELP, expand, select_partition
from nmfp.cli.messages import printable, say, set_up_logging
from nmfp.cli.models import add_model_option, find_model
from nmfp.cli.options import add_common, add_engine, new_command
from nmfp.cli.status import FAILED, OK, UsageError


def add_parser(commands) -> None:
    """Describe the command."""
    command = new_command(
        commands,
        "fingerprint",
        run,
        "compute the fingerprints of recordings, one .npy file each",
        "  nmfp fingerprint MUSIC/ -o fingerprints/ --model nmfp-triplet\n"
        "  nmfp fingerprint songs.txt -o fingerprints/ --model nmfp-triplet --partition 2/4\n"
        "  find MUSIC/ -name '*.mp3' -print0 | nmfp fingerprint - -o fingerprints/ --model nmfp-triplet\n",
        "MUSIC/song.mp3 becomes fingerprints/MUSIC/song.mp3.npy, float32, one row every half second. What is there and\n"
        "whole is not computed again. fingerprints/tracks.csv lists all recordings, and why some have no file.\n",
    )
    command.add_argument("input", nargs="+", help=INPUTS_HELP)
    command.add_argument("-o", "--output", required=True, metavar="DIR", help="folder to write to")
    add_model_option(command, required=True)
    command.add_argument(
        "--partition",
        type=_partition,
        metavar="K/N",
        help="only part K of N of the recordings; the parts may run side by side, on several machines",
    )
    add_engine(command)
    add_common(command)


def _partition(text: str) -> tuple[int, int]:
    try:
        k, n = map(int, text.split("/"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no part; write 2/4 for the second of four") from None
    if not 1 <= k <= n:
        raise argparse.ArgumentTypeError(f"there is no part {k} of {n}; parts are counted from 1")
    return k, n


def run(arguments) -> int:
    """Fingerprint what is not there yet."""
    set_up_logging(arguments, bulk=True)
    model = find_model(arguments.model)
    inputs = select_partition(expand(arguments.input), arguments.partition)
    if not inputs and not arguments.partition:
        raise UsageError("there is nothing to fingerprint: the list is empty.")
    from nmfp.extraction.folder import fingerprint_to_folder

    part = "" if not arguments.partition else "{}-of-{}".format(*arguments.partition)
    table, kept = fingerprint_to_folder(
        inputs, arguments.output, model, arguments.engine, arguments.threads, part
    )
    failed = table[table["status"] != "ok"]
    for name, reason in failed[["id", "reason"]].itertuples(index=False):
        say(f"nmfp: {printable(name)} has no fingerprints: {reason}")
    if not arguments.quiet:
        fresh = len(table) - len(failed) - kept
        say(
            f"{printable(arguments.output)}: {fresh} recordings fingerprinted, {kept} were there, {len(failed)} failed"
        )
    return FAILED if len(failed) else OK
