"""nmfp retrieve: fingerprints against fingerprints, without audio; results.csv as the paper's code writes it."""

from pathlib import Path

from nmfp.cli.messages import complain, printable, say, set_up_logging
from nmfp.cli.options import add_common, new_command, positive
from nmfp.cli.status import FAILED, OK, UsageError


def add_parser(commands) -> None:
    """Describe the command."""
    command = new_command(
        commands,
        "retrieve",
        run,
        "find .npy fingerprints in a folder of .npy files, a memmap or an index, ours or the published program's",
        "  nmfp retrieve queries/ results/ --database-embeddings fingerprints/\n"
        "  nmfp retrieve clip.npy results/ --database-memmap results/demo/fingerprints/demo-ntxent/database/database.npy\n"
        "  nmfp retrieve clip.npy results/ --database-index results/demo/index/demo-ntxent/flat/index.faiss\n"
        "  nmfp retrieve clip.npy results/ --database-memmap published/database.mm --index ivfpq\n",
        "Writes results/results.csv, with the columns of `nmfp identify --format csv`. Queries and database must\n"
        "come from one model.\n",
    )
    command.add_argument(
        "query", help="a .npy file of fingerprints (`nmfp fingerprint`), or a folder of them"
    )
    command.add_argument("output", help="folder for results.csv")
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--database-embeddings", metavar="DIR", help="folder of .npy files (`nmfp fingerprint`)"
    )
    source.add_argument(
        "--database-memmap",
        metavar="FILE",
        help="database.npy, or raw float32 (.mm); tracks.csv or database.csv beside it names tracks",
    )
    source.add_argument(
        "--database-index",
        metavar="FILE",
        help="a .faiss index whose .json lies beside it, or a published .index beside its database.mm and database.csv",
    )
    command.add_argument(
        "--top", type=positive, default=1, metavar="N", help="name the N best tracks (default: 1)"
    )
    command.add_argument(
        "--candidates",
        type=positive,
        default=20,
        metavar="K",
        help="nearest fingerprints looked up for each of a query's, the published program's top k (default: 20)",
    )
    command.add_argument(
        "--index",
        default="exact",
        metavar="KIND",
        help="build this index of --database-embeddings or --database-memmap first: ivf, ivfpq (the paper's), auto, or a "
        "FAISS factory string (default: exact, no index)",
    )
    command.add_argument(
        "--probes",
        type=positive,
        metavar="N",
        help="inverted lists that a search visits (default: four times the root of their number; the paper: 40)",
    )
    command.add_argument(
        "--trust-index",
        action="store_true",
        help="read a --database-index that has no .json of ours beside it",
    )
    command.add_argument(
        "--columns",
        choices=["all", "published"],
        default="all",
        help="published: the five columns that the published program writes (default: all)",
    )
    add_common(command)


def run(arguments) -> int:
    """Search every query file."""
    set_up_logging(arguments)
    from nmfp.cli.results import COLUMNS, PUBLISHED_COLUMNS, open_writer
    from nmfp.errors import NmfpError
    from nmfp.extraction.folder import npy_files, read_fingerprints
    from nmfp.identification import open_reference
    from nmfp.identification.identify_files import Result, Row
    from nmfp.identification.places import identify

    query = Path(arguments.query)
    if not query.exists():
        raise UsageError(f"{printable(arguments.query)} does not exist.")
    queries = npy_files(query) if query.is_dir() else [query]
    if not queries:
        raise UsageError(f"{printable(arguments.query)} holds no .npy files; `nmfp fingerprint` makes them.")
    if arguments.index != "exact" and arguments.database_index:
        raise UsageError(
            "--index builds an index, and --database-index names one that is built; leave one of them out."
        )
    dimension = None if not arguments.database_memmap else read_fingerprints(queries[0])[0].shape[1]
    if arguments.database_embeddings:
        reference = open_reference.from_folder(arguments.database_embeddings)
    elif arguments.database_memmap:
        reference = open_reference.from_memmap(arguments.database_memmap, dimension)
    else:
        reference = open_reference.from_index(arguments.database_index, arguments.trust_index)
    _insist_on_one_model(query, reference)
    reference.candidates = arguments.candidates
    built = open_reference.build_index(reference, arguments.index)
    if arguments.probes:
        _set_probes(reference, arguments.probes)
    if built and not arguments.quiet:
        say(f"searching by the index {built}")
    output = Path(arguments.output)
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file; name a folder for results.csv.")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NmfpError(f"{output} cannot be made ({error.strerror}); choose another folder.") from None
    failed = 0
    columns = PUBLISHED_COLUMNS if arguments.columns == "published" else len(COLUMNS)
    with open_writer("csv", str(output / "results.csv"), [], columns) as write:
        for path in queries:
            try:
                vectors, silent = read_fingerprints(path, reference.vectors.shape[1])
            except NmfpError as error:
                complain(error)
                write(Result(str(path), 0, "failed", [], str(error).rstrip(".")))
                failed += 1
                continue
            answer = identify(vectors, silent, reference, arguments.top)
            rows = [
                Row(str(reference.names[p.track]), p.start, p.score, None, list(p.others))
                for p in answer.places
            ]
            word = "silent" if not answer.sounding else "uncalibrated" if rows else "no match"
            write(Result(str(path), answer.segments, word, rows))
    if not arguments.quiet:
        say(f"{printable(str(output / 'results.csv'))}: {len(queries)} queries, {failed} failed")
    return FAILED if failed else OK


def _set_probes(reference, probes: int) -> None:
    """Visit so many inverted lists a search."""
    if reference.index is None:
        raise UsageError(
            "--probes is for an index with inverted lists; name its kind by --index, such as ivfpq."
        )
    from nmfp.search import index as nn

    nn.set_search_parameters(reference.index, probes)
    if nn.probes(reference.index) is None:
        say("nmfp: this index has no inverted lists, so --probes has no effect.")


def _insist_on_one_model(query: Path, reference) -> None:
    """Refuse queries of another model than the database's; what says nothing of its model is taken on trust."""
    from nmfp.errors import NmfpError
    from nmfp.extraction.folder import model_digest_of

    digest = model_digest_of(query)
    if digest and reference.digest and digest != reference.digest:
        raise NmfpError(
            f"{query} was made by another model ({digest[:12]}) than {reference.folder} ({reference.digest[:12]}): their "
            "fingerprints cannot be compared; fingerprint the queries with the database's model."
        )
