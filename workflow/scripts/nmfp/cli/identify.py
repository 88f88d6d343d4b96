"""nmfp identify: which track is it, and where in it?"""

from nmfp.cli.inputs import INPUTS_HELP, expand
from nmfp.cli.messages import say, set_up_logging
from nmfp.cli.models import add_model_option, find_model
from nmfp.cli.options import (
    add_common,
    add_database_option,
    add_engine,
    add_rate_option,
    new_command,
    positive,
)
from nmfp.cli.status import FAILED, OK, UsageError


def add_parser(commands) -> None:
    """Describe the command."""
    command = new_command(
        commands,
        "identify",
        run,
        "name the track of each recording, and the place in it",
        "  nmfp identify clip.m4a --database songs.db\n"
        "  nmfp identify CLIPS/ --database songs.db --top 3 --format csv -o results.csv\n"
        "  nmfp identify clip.wav --database results/demo/fingerprints/demo-ntxent/database\n",
        "SCORE is how like the track's fingerprints are to the recording's, 1 at most; CONFIDENCE the share of unknown\n"
        'music that scores lower; AT where the recording\'s first sample lies in the track (minutes:seconds). "No match"\n'
        "means that unknown music scores so, too. docs/identify.md explains the columns of csv and json. For long\n"
        "recordings with several tracks in them see `nmfp monitor`.\n",
    )
    command.add_argument("query", nargs="+", help=INPUTS_HELP)
    add_database_option(command)
    add_model_option(command, required=False)
    command.add_argument(
        "--top", type=positive, default=1, metavar="N", help="name the N best tracks of each (default: 1)"
    )
    add_rate_option(command)
    command.add_argument(
        "--format",
        choices=["table", "csv", "json"],
        default="table",
        help="table for people, csv or json for programs (default: table)",
    )
    command.add_argument(
        "-o", "--output", metavar="FILE", help="write the results there instead of standard output"
    )
    add_engine(command)
    add_common(command)


def run(arguments) -> int:
    """Identify each query as soon as the one before it is done."""
    set_up_logging(arguments)
    model = find_model(arguments.model) if arguments.model else None
    queries = expand(arguments.query)
    if not queries:
        raise UsageError("there is nothing to identify: the list is empty.")
    from nmfp.cli.results import open_writer
    from nmfp.identification.identify_files import identify_files
    from nmfp.identification.session import Session

    with Session(arguments.database, model, arguments.engine, arguments.threads) as session:
        session.decide_at(arguments.false_accept_rate)
        failed = 0
        with open_writer(arguments.format, arguments.output, [q.id for q in queries]) as write:
            for result in identify_files(queries, session, arguments.top):
                write(result)
                failed += result.decision == "failed"
    if failed and (arguments.output or arguments.format != "table"):
        say(f"nmfp: {failed} of {len(queries)} recordings failed; the results say why")
    return FAILED if failed else OK
