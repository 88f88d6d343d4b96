"""nmfp weights fetch | import | list: trained networks by name."""

import shutil
from pathlib import Path

from nmfp.cli.messages import printable, say, set_up_logging
from nmfp.cli.models import known_models, models_home
from nmfp.cli.options import add_common, new_command
from nmfp.cli.status import OK, UsageError
from nmfp.errors import NmfpError

# The table that lies in config/ of the repository, reached through the package so that an installed `nmfp` has it too
SOURCES = Path(__file__).parents[1] / "sources.tsv"
# Names that people know the published weights by, and the set of config/sources.tsv that holds each
PUBLISHED = ("nmfp-triplet", "nmfp-multiposcon")


def add_parser(commands) -> None:
    """Describe the group."""
    group = new_command(
        commands,
        "weights",
        None,
        "fetch, import and list trained networks",
        "  nmfp weights fetch nmfp-triplet\n  nmfp weights import ~/Downloads/nmfp-triplet --name nmfp-triplet\n",
    )
    actions = group.add_subparsers(metavar="ACTION", title="actions")
    fetch = new_command(
        actions,
        "fetch",
        run_fetch,
        "download published weights, check them, and make them usable as --model NAME",
        "  nmfp weights fetch nmfp-triplet\n",
        "Two networks were published with the paper: nmfp-triplet, trained with a triplet loss, and nmfp-multiposcon,\n"
        "trained with a contrastive loss. They go to ~/.local/share/nmfp, or below the folder that the environment\n"
        "variable NMFP_HOME names. An interrupted download goes on where it was; nothing is fetched twice.\n",
    )
    fetch.add_argument(
        "name", choices=PUBLISHED, metavar="name", help="what was published: " + " or ".join(PUBLISHED)
    )
    fetch.add_argument(
        "--sources",
        metavar="FILE",
        default=SOURCES,
        help="table of addresses and checksums, to name a mirror (default: the one of config/sources.tsv)",
    )
    load = new_command(
        actions,
        "import",
        run_import,
        "make weights on this disk usable as --model NAME",
        "  nmfp weights import ~/Downloads/nmfp-triplet         holds ckpt-100.index, its data and config.yaml\n"
        "  nmfp weights import results/demo/models/demo-ntxent trained by the workflow\n",
    )
    load.add_argument(
        "folder",
        help="folder of a published checkpoint, one checkpoint in it, or a model that the workflow trained",
    )
    load.add_argument("--name", help="name to use it by (default: the folder's)")
    load.add_argument(
        "--checkpoint",
        type=int,
        metavar="N",
        help="of a published folder: the checkpoint ckpt-N (default: the newest)",
    )
    load.add_argument("--force", action="store_true", help="replace a model of that name")
    names = new_command(actions, "list", run_list, "list the models that --model knows by name")
    for command in (fetch, load, names):
        add_common(command)


def run_fetch(arguments) -> int:
    """Download, unpack, import."""
    set_up_logging(arguments, bulk=True)
    target = models_home() / arguments.name
    if (target / "model.json").is_file():
        say(f"{arguments.name} is here already: {target}")
        return OK
    from nmfp.datasets.downloads import fetch
    from nmfp.datasets.sources import archive_path, read_sources, rows_of
    from nmfp.datasets.unpacking import unpack
    from nmfp.files import sole_writer

    sources = read_sources(arguments.sources)
    downloads = models_home().parent / "downloads" / arguments.name
    _make(downloads)
    with sole_writer(downloads):
        if not (target / "model.json").is_file():
            unpacked = downloads / "unpacked"
            for row in rows_of(sources, arguments.name):
                fetch(sources[row], downloads)
                unpack(archive_path(downloads, sources[row]), unpacked)
            try:
                _import(unpacked, target)
            except NmfpError as error:
                raise NmfpError(
                    f"{error} That is what was published at the address in {arguments.sources}; to fetch it again "
                    f"delete {downloads}."
                ) from None
        shutil.rmtree(downloads)
    say(f"{arguments.name} is ready: use it as --model {arguments.name}")
    return OK


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NmfpError(
            f"{folder} cannot be made ({error.strerror}); set NMFP_HOME to a folder that can be written."
        ) from None


def run_import(arguments) -> int:
    """Make a published checkpoint, or a model of the workflow, known by name."""
    set_up_logging(arguments, bulk=True)
    from nmfp.model.published import split_checkpoint

    folder, number = split_checkpoint(arguments.folder, arguments.checkpoint)
    if not folder.is_dir():
        raise UsageError(f"{printable(str(folder))} is not a folder.")
    name = arguments.name or folder.resolve().name
    if not name or "/" in name or name.startswith("."):
        raise UsageError(f"--name {printable(name)!r} is no plain name.")
    target = models_home() / name
    if target.exists() and not arguments.force:
        raise NmfpError(f"there is a model {name} already ({target}); choose another --name, or --force.")
    used = _import(folder, target, number)
    say(f"{name} is ready, made of {printable(used)}: use it as --model {name}")
    return OK


def run_list(arguments) -> int:
    """One name a line."""
    set_up_logging(arguments)
    for name in known_models():
        print(f"{name}\t{models_home() / name}")
    return OK


def _import(source: Path, target: Path, checkpoint: int | None = None) -> str:
    """Import into a folder that appears whole; returns what was imported."""
    from nmfp.model.published import import_weights

    with _whole(target) as part:
        return import_weights(source, part, checkpoint)


class _whole:
    """A folder that appears when it is complete: `with _whole(target) as part` fills part."""

    def __init__(self, target: Path):
        self.target, self.part = target, target.with_name(f".part-{target.name}")

    def __enter__(self) -> Path:
        shutil.rmtree(self.part, ignore_errors=True)
        _make(self.part)
        return self.part

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            if self.target.exists():
                shutil.rmtree(self.target)
            self.part.rename(self.target)
        shutil.rmtree(self.part, ignore_errors=True)
