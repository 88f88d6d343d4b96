"""nmfp evaluate: how often are one's own queries named rightly?"""

import argparse
from pathlib import Path

from nmfp.cli.messages import printable, say, set_up_logging
from nmfp.cli.models import add_model_option, find_model
from nmfp.cli.options import add_common, add_engine, new_command, positive
from nmfp.cli.status import FAILED, OK, UsageError


def add_parser(commands) -> None:
    """Describe the command."""
    command = new_command(
        commands,
        "evaluate",
        run,
        "measure how often queries are found, by a table that says what they are",
        "  nmfp evaluate truth.csv results/ --database songs.db\n"
        "  nmfp evaluate truth.csv results/ -d results/demo/fingerprints/demo-ntxent/database\n"
        "  nmfp evaluate truth.csv results/ -d published/database.mm --model nmfp-triplet --seconds 5 10\n",
        "truth.csv has the columns query,track,start: an audio file (or a .npy of `nmfp fingerprint`) named from the\n"
        "table's folder; its track as `nmfp database info --tracks` names it, or `unknown`; the second of the track at\n"
        "which the query begins, empty where that is not known. Without starts only track hits are reported.\n"
        "Writes analysis.csv (every answer), hit_rates.csv and report.html; docs/formats.md explains their columns.\n",
    )
    command.add_argument("truth", help="the table of ground truth, a .csv file")
    command.add_argument(
        "output", help="folder for the results; a second run goes on where the first one ended"
    )
    command.add_argument(
        "-d",
        "--database",
        required=True,
        metavar="DB",
        help="a database of `nmfp database` or the workflow, a folder of .npy files, a memmap or an index",
    )
    add_model_option(command, required=False)
    command.add_argument(
        "--seconds",
        type=seconds,
        nargs="+",
        default=[1, 2, 3, 5, 10],
        metavar="S",
        help="lengths of the sequences that are searched (default: 1 2 3 5 10)",
    )
    command.add_argument(
        "--every",
        type=positive,
        default=7,
        metavar="N",
        help="fingerprints of a query from one sequence to the next (default: 7, as in the paper)",
    )
    command.add_argument(
        "--candidates",
        type=positive,
        default=20,
        metavar="K",
        help="nearest fingerprints looked up for each of a query's (default: 20)",
    )
    command.add_argument(
        "--trust-index", action="store_true", help="read an index that has no .json of ours beside it"
    )
    add_engine(command)
    add_common(command)


def seconds(text: str) -> float:
    """A length that whole fingerprints, one every half second, can have."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 1 <= value <= 3600 or value * 2 % 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no length from 1 s on in steps of half a second")
    return value


def run(arguments) -> int:
    """Fingerprint the queries, search them, count, and write."""
    set_up_logging(arguments, bulk=True)
    output = Path(arguments.output)
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file; name a folder for the results.")
    from nmfp.evaluation.hit_rates import format_table
    from nmfp.evaluation.sequences import Plan
    from nmfp.files import write_csv, write_text
    from nmfp.identification import ground_truth, open_reference
    from nmfp.report import pages

    queries = ground_truth.read_ground_truth(arguments.truth)
    model = find_model(arguments.model) if arguments.model else None
    reference = open_reference.open_any(arguments.database, model, arguments.trust_index)
    if arguments.threads:
        reference.threads = arguments.threads
    ground_truth.check_tracks(queries, reference, arguments.truth)
    usable, prints, failed = _fingerprints(arguments, queries, reference, model, output)
    if not usable:
        say("nmfp: no query can be used, so there is nothing to evaluate.")
        return FAILED
    lengths = tuple(sorted({round(2 * s) - 1 for s in arguments.seconds}))
    analysis = ground_truth.evaluate(
        usable, prints, reference, Plan(lengths, arguments.every, arguments.candidates)
    )
    name = (str(arguments.model or reference.digest[:12]), _index(reference), Path(arguments.truth).stem)
    table = ground_truth.rates(analysis, name, seed=27, resamples=1000)
    remarks = ground_truth.remarks(usable, analysis)
    if failed:
        remarks.append(f"{failed} of {len(queries)} queries could not be read and count in no hit rate.")
    write_csv(output / "analysis.csv", analysis)
    write_csv(output / "hit_rates.csv", table)
    write_text(output / "report.html", pages.evaluation_page(table, remarks, str(arguments.database)))
    if len(table):
        print(format_table(table))
    for remark in remarks:
        say(remark)
    if not arguments.quiet:
        say(f"{printable(str(output))}: analysis.csv, hit_rates.csv, report.html")
    return FAILED if failed else OK


def _index(reference) -> str:
    return "exact" if reference.index is None else "index"


def _fingerprints(arguments, queries, reference, model, output):
    """The queries that can be used, their fingerprints, and how many failed (which are said)."""
    from nmfp.errors import NmfpError
    from nmfp.extraction.folder import file_of, fingerprint_to_folder, model_digest_of, read_fingerprints
    from nmfp.identification.reference import check_model, find_model_of

    audio = [query for query in queries if not query.path.endswith(".npy")]
    reasons = {}
    if audio:
        if model is None:
            model = find_model_of(arguments.database, reference.digest)
        else:
            check_model(model, reference.digest, arguments.database)
        made, _ = fingerprint_to_folder(
            audio, output / "fingerprints", model, arguments.engine, arguments.threads
        )
        reasons = dict(zip(made["id"], made["reason"], strict=True))
    usable, prints = [], []
    for query in queries:
        reason = reasons.get(query.id, "")
        if not reason:
            given = query.path.endswith(".npy")
            path = Path(query.path) if given else output / "fingerprints" / file_of(query.id)
            digest = model_digest_of(path)
            if digest and reference.digest and digest != reference.digest:
                raise NmfpError(
                    f"{query.path} was made by another model than {arguments.database}; fingerprint it with that one."
                )
            try:
                prints.append(read_fingerprints(path, reference.vectors.shape[1]))
                usable.append(query)
                continue
            except NmfpError as error:
                reason = str(error)
        say(f"nmfp: {printable(query.id)} is left out: {reason}")
    return usable, prints, len(queries) - len(usable)
