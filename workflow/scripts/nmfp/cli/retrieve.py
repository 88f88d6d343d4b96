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
        "find .npy fingerprints in a folder of .npy files, a memmap or an index",
        "  nmfp retrieve queries/ results/ --database-embeddings fingerprints/\n"
        "  nmfp retrieve clip.npy results/ --database-memmap results/demo/fingerprints/demo-ntxent/database/database.npy\n"
        "  nmfp retrieve clip.npy results/ --database-index results/demo/index/demo-ntxent/flat/index.faiss\n",
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
        help="database.npy, or raw float32 (.mm); tracks.csv beside it names tracks",
    )
    source.add_argument(
        "--database-index",
        metavar="FILE",
        help="a .faiss index whose .json lies beside it; answers on decoded vectors",
    )
    command.add_argument(
        "--top", type=positive, default=1, metavar="N", help="name the N best tracks (default: 1)"
    )
    add_common(command)


def run(arguments) -> int:
    """Search every query file."""
    set_up_logging(arguments)
    from nmfp.cli.results import open_writer
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
    dimension = None if not arguments.database_memmap else read_fingerprints(queries[0])[0].shape[1]
    if arguments.database_embeddings:
        reference = open_reference.from_folder(arguments.database_embeddings)
    elif arguments.database_memmap:
        reference = open_reference.from_memmap(arguments.database_memmap, dimension)
    else:
        reference = open_reference.from_index(arguments.database_index)
    _insist_on_one_model(query, reference)
    output = Path(arguments.output)
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file; name a folder for results.csv.")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NmfpError(f"{output} cannot be made ({error.strerror}); choose another folder.") from None
    failed = 0
    with open_writer("csv", str(output / "results.csv"), []) as write:
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
