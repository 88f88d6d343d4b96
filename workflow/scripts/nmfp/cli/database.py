"""nmfp database create | add | remove | info | verify | compact."""

import json
import sys
from pathlib import Path

from nmfp.cli.inputs import INPUTS_HELP, expand
from nmfp.cli.messages import clock, complain, printable, say, set_up_logging
from nmfp.cli.models import add_model_option, find_model
from nmfp.cli.options import DATABASE_HELP, add_common, add_engine, add_threads, new_command
from nmfp.cli.status import FAILED, OK, UsageError
from nmfp.errors import NmfpError


def add_parser(commands) -> None:
    """Describe the group."""
    group = new_command(
        commands,
        "database",
        None,
        "make, change and check databases of fingerprints",
        "  nmfp database create songs.db MUSIC/ --model nmfp-triplet\n"
        "  nmfp database add songs.db NEW/ one_more.flac\n"
        "  nmfp database info songs.db\n",
    )
    actions = group.add_subparsers(metavar="ACTION", title="actions")

    create = new_command(
        actions,
        "create",
        run_create,
        "make a database from recordings",
        "  nmfp database create songs.db MUSIC/ --model nmfp-triplet\n"
        "  find MUSIC/ -name '*.flac' -print0 | nmfp database create songs.db - --model nmfp-triplet\n",
        "Interrupted? The same command goes on where it was. Files that cannot be used are named and left out; the\n"
        "exit status is then 1.\n",
    )
    create.add_argument("database", help="the folder to make")
    create.add_argument("input", nargs="*", help=INPUTS_HELP + "; none makes an empty database")
    add_model_option(create, required=True)
    add_engine(create)

    add = new_command(
        actions,
        "add",
        run_add,
        "add recordings; those that are there already are left as they are, changed ones replaced",
        "  nmfp database add songs.db NEW/ --threads 2\n",
    )
    add.add_argument("database", help="a folder made by `nmfp database create`")
    add.add_argument("input", nargs="+", help=INPUTS_HELP)
    add_engine(add)

    remove = new_command(
        actions,
        "remove",
        run_remove,
        "take tracks out of a database at once; `compact` gives their space back",
        "  nmfp database remove songs.db MUSIC/old.mp3 'MUSIC/live/*'\n",
    )
    remove.add_argument("database", help="a folder made by `nmfp database create`")
    remove.add_argument(
        "track", nargs="+", help="a track as `info --tracks` names it, or a pattern with * and ?"
    )

    info = new_command(
        actions,
        "info",
        run_info,
        "say what a database holds: tracks, fingerprints, model, calibration",
        "  nmfp database info songs.db\n  nmfp database info songs.db --format json\n"
        "  nmfp database info songs.db --tracks | grep -i beatles\n",
    )
    info.add_argument("database", help=DATABASE_HELP)
    info.add_argument("--tracks", action="store_true", help="list the tracks, one a line")
    info.add_argument(
        "--failures", action="store_true", help="list what could not be added, with reasons, after the tracks"
    )
    info.add_argument(
        "--format", choices=["table", "json"], default="table", help="json for programs (default: table)"
    )

    verify = new_command(
        actions,
        "verify",
        run_verify,
        "read all of a database and compare it with the digests noted when it was written",
        "  nmfp database verify songs.db && echo sound\n",
    )
    verify.add_argument("database", help=DATABASE_HELP)

    compact = new_command(
        actions,
        "compact",
        run_compact,
        "rewrite a database without the fingerprints of removed tracks, to give their space back",
        "  nmfp database compact songs.db\n",
    )
    compact.add_argument("database", help="a folder made by `nmfp database create`")
    add_threads(compact.add_argument_group("computing"))
    calibrate = new_command(
        actions,
        "calibrate",
        run_calibrate,
        'measure how high unknown music scores, so that `identify` can say "no match"',
        "  nmfp database calibrate songs.db OTHER_MUSIC/\n  nmfp database calibrate songs.db\n",
        "A database is calibrated by its own tracks whenever recordings are added: excerpts of each are compared with\n"
        "all the others. Recordings that are not in it tell more, best if they were made as the queries will be. A\n"
        "false-accept rate of 1 % takes 299 recordings, 5 % takes 59, 10 % takes 29.\n",
    )
    calibrate.add_argument("database", help="a folder made by `nmfp database create`")
    calibrate.add_argument(
        "unknown",
        nargs="*",
        help=f"recordings that are not in it: {INPUTS_HELP}; without any the database's own tracks are used",
    )
    add_engine(calibrate)

    for command in (create, add, remove, compact, calibrate):
        command.add_argument(
            "--no-wait",
            action="store_true",
            help="give up at once where another command changes the database (default: wait for its end)",
        )
    for command in (create, add, remove, info, verify, compact, calibrate):
        add_common(command)


def run_create(arguments) -> int:
    """Make the store, then add to it."""
    set_up_logging(arguments, bulk=True)
    model = find_model(arguments.model)
    inputs = expand(arguments.input)
    from nmfp.identification import store

    store.create(arguments.database, model, not arguments.no_wait)
    return _add(arguments, inputs)


def run_add(arguments) -> int:
    """Add to a store."""
    set_up_logging(arguments, bulk=True)
    _insist_on_store(arguments.database)
    inputs = expand(arguments.input)
    if not inputs:
        raise UsageError("there is nothing to add: the list is empty.")
    return _add(arguments, inputs)


def _add(arguments, inputs) -> int:
    from nmfp.identification import store

    def calibrate(folder):
        from nmfp.identification.background import calibrate_files

        calibrate_files(folder, arguments.threads)

    result = store.add(
        arguments.database, inputs, arguments.engine, arguments.threads, calibrate, not arguments.no_wait
    )
    for name, reason in result.failed.itertuples(index=False):
        say(f"nmfp: {printable(name)} was not added: {reason}")
    if not arguments.quiet:
        for name, original in result.duplicates.items():
            say(f"nmfp: {printable(name)} was left out: the same bytes as {printable(original)}")
        parts = [(result.added, "added"), (result.replaced, "replaced"), (result.unchanged, "unchanged")]
        parts += [(len(result.duplicates), "duplicates"), (len(result.failed), "failed")]
        say(
            f"{printable(arguments.database)}: "
            + ", ".join(f"{n} {what}" for n, what in parts if n or what == "added")
        )
    return FAILED if len(result.failed) else OK


def _insist_on_store(folder: str) -> None:
    from nmfp.identification import store

    files = store.resolve(folder)
    if not store.is_store(folder):
        raise NmfpError(
            f"{files} belongs to the workflow, which makes and changes it: add files to its music folder and run "
            "snakemake, or make a database of your own with `nmfp database create`."
        )


def run_remove(arguments) -> int:
    """Remove tracks."""
    set_up_logging(arguments)
    _insist_on_store(arguments.database)
    from nmfp.identification import store

    for name in store.remove(arguments.database, arguments.track, not arguments.no_wait):
        if not arguments.quiet:
            say(f"removed {printable(name)}")
    return OK


def run_compact(arguments) -> int:
    """Rewrite without removed rows."""
    set_up_logging(arguments, bulk=True)
    _insist_on_store(arguments.database)
    from nmfp.identification import store

    rows = store.compact(arguments.database, arguments.threads, not arguments.no_wait)
    if not arguments.quiet:
        say(f"{printable(arguments.database)}: {rows} fingerprints of removed tracks are gone")
    return OK


def run_calibrate(arguments) -> int:
    """Compare unknown music with the database."""
    set_up_logging(arguments, bulk=True)
    _insist_on_store(arguments.database)
    from nmfp.identification import background, store
    from nmfp.identification.decision import NAMED_RECORDINGS

    if not arguments.unknown:
        return _calibrate_by_own_tracks(arguments)
    from nmfp.identification.fingerprinting import fingerprint_file
    from nmfp.identification.session import Session

    failed = 0

    def recordings():
        nonlocal failed
        for item in expand(arguments.unknown):
            try:
                if item.reason:
                    raise NmfpError(f"{item.id} cannot be used: {item.reason}.")
                vectors, silent, _ = fingerprint_file(item.path, session.engine)
            except NmfpError as error:
                failed += 1
                complain(error)
            else:
                yield vectors, silent

    with Session(arguments.database, None, arguments.engine, arguments.threads) as session:
        scores, numbers = background.scores_of_recordings(recordings(), session.reference)
    if not len(scores):
        raise NmfpError("no recording holds ten seconds of music, so nothing can be calibrated.")

    def write(folder):
        background.write_background(folder, NAMED_RECORDINGS, scores, numbers)

    store.replace_beside(arguments.database, background.NAME, write, not arguments.no_wait)
    if not arguments.quiet:
        say(f"{printable(arguments.database)}: calibrated by {len(set(numbers.tolist()))} recordings")
    return FAILED if failed else OK


def _calibrate_by_own_tracks(arguments) -> int:
    from nmfp.identification import background, store

    if len(store.open_store(arguments.database).tracks) < 2:
        raise NmfpError(
            f"{arguments.database} holds fewer than two tracks, which cannot be compared with each other; name recordings "
            "that are not in it."
        )

    def write(folder):
        background.calibrate_files(folder, arguments.threads)

    store.replace_beside(arguments.database, background.NAME, write, not arguments.no_wait)
    if not arguments.quiet and (store.resolve(arguments.database) / background.NAME).exists():
        say(f"{printable(arguments.database)}: calibrated by its own tracks")
    return OK


def run_verify(arguments) -> int:
    """Check everything."""
    set_up_logging(arguments)
    from nmfp.identification import store

    store.resolve(arguments.database)
    problems = store.verify(arguments.database)
    for problem in problems:
        complain(problem)
    if problems:
        say(f"nmfp: to repair it: {store.repair(arguments.database)}")
    elif not arguments.quiet:
        print(f"{printable(arguments.database)}: sound")
    return FAILED if problems else OK


def run_info(arguments) -> int:
    """Print what is in it."""
    set_up_logging(arguments)
    from nmfp.files import read_csv
    from nmfp.identification import store

    database = store.open_store(arguments.database)
    failures = _failures(database.folder, read_csv)
    if arguments.tracks:
        for name in database.tracks["id"]:
            print(printable(name))
    if arguments.failures:
        for row in failures.itertuples():
            print(f"{printable(row.id)}\t{row.reason}")
    if arguments.tracks or arguments.failures:
        return OK
    described = _describe(Path(arguments.database), database, failures)
    if arguments.format == "json":
        json.dump(described, sys.stdout, indent=2, ensure_ascii=False)
        print()
        return OK
    for key, value in described.items():
        if value is not None:
            print(f"{key.replace('_', ' '):<16}{_words(key, value)}")
    return OK


def _failures(folder: Path, read_csv):
    path = folder / "failures.csv"
    text = ("id", "sha256", "status", "reason")
    return read_csv(path, ["id", "reason"], text=text)


def _describe(folder: Path, database, failures) -> dict:
    from nmfp.files import read_json
    from nmfp.segments import SAMPLE_RATE

    info, index = database.info, database.folder / "index.json"
    return {
        "database": str(folder),
        "model": info["model"],
        "model_digest": info["model_digest"],
        "tracks": len(database.tracks),
        "seconds": round(float(database.tracks["samples"].sum()) / SAMPLE_RATE, 1),
        "fingerprints": int((database.tracks["row_end"] - database.tracks["row_start"]).sum()),
        "numbers_each": info["dimension"],
        "removed_rows": info.get("removed_rows", 0),
        "silent_rows": int(database.silent.sum()),
        "failed_files": len(failures),
        "calibrated_by": _calibration(database.folder),
        "index": read_json(index)["resolved"] if index.exists() else "exact search",
        "bytes": sum(p.stat().st_size for p in database.folder.iterdir() if p.is_file()),
    }


def _calibration(folder: Path) -> str:
    from nmfp.files import read_json

    if not (folder / "calibration.json").exists():
        return "nothing"
    background = read_json(folder / "calibration.json").get("background", {})
    return f"{background.get('recordings')} recordings ({background.get('source')})"


def _words(key: str, value) -> str:
    if key == "seconds":
        return clock(value)
    if key == "bytes":
        return f"{value / 1e6:.1f} MB"
    return printable(str(value))
