"""config/sources.tsv: where the paper's data come from, and what says that they arrived whole.

One row is one file to fetch; rows that share a `set` are
unpacked into one folder. Adding a mirror is editing a row.
"""

import csv
import dataclasses
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from nmfp import experiment
from nmfp.errors import NmfpError

COLUMNS = (
    "name set version file address mirrors size size_about checksum_kind checksum archive expected licence"
    " layout"
).split()
CHECKSUM_DIGITS = {"md5": 32, "sha1": 40, "sha256": 64}
ARCHIVES = ("zip", "tar.xz")
# what to do when there is no room
LARGER_DISK = "point paths.downloads to a larger disk (of `nmfp weights fetch`: NMFP_HOME)"
# what each kind of experiment is made of, by set
_FMA = ("fma_metadata", "fma_medium", "fma_full")


@dataclasses.dataclass(frozen=True)
class Source:
    """One file to fetch. Empty strings and None stand for what nobody knows."""

    name: str
    set: str
    version: str
    file: str
    addresses: tuple[str, ...]
    size: int | None  # exact, in bytes
    size_about: int | None  # published rounded; for planning
    checksum_kind: str
    checksum: str
    archive: str
    expected: dict[str, int]
    licence: str
    layout: str

    @property
    def bytes_about(self) -> int | None:
        """Exact size where it is known, the published rounded one otherwise."""
        return self.size if self.size is not None else self.size_about

    @property
    def bytes_at_most(self) -> int | None:
        """A longer file is another file: the exact size, or the published one and what rounding may have hidden."""
        if self.size is None and self.size_about is not None:
            return self.size_about + self.size_about // 20
        return self.size

    def content_key(self) -> list:
        """What the downloaded bytes depend on: not the address, since a mirror holds the same file."""
        return [self.file, self.size, self.checksum_kind, self.checksum]


def read_sources(path: str | Path) -> dict[str, Source]:
    """All rows of the table by name.

    Raises:
        NmfpError: names the row and the cell that is wrong, and what it may be.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise NmfpError(
            f"paths.sources: {path} cannot be read ({error.strerror}); correct the path."
        ) from None
    reader = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    missing = [c for c in COLUMNS if c not in (reader.fieldnames or [])]
    if missing:
        raise NmfpError(f"{path} lacks the column(s) {', '.join(missing)}; columns are separated by tabs.")
    sources: dict[str, Source] = {}
    for number, row in enumerate(reader, start=2):
        source = _parse(row, f"{path}, line {number}")
        if source.name in sources:
            raise NmfpError(
                f"{path}, line {number}: the name {source.name!r} occurs twice; names must be unique."
            )
        sources[source.name] = source
    return sources


def find_table(path: str | Path, home: str | Path) -> Path:
    """The table named by paths.sources: below the folder Snakemake runs in, or below the workflow's own."""
    return Path(path) if Path(path).is_file() else Path(home) / path


def _parse(row: dict, where: str) -> Source:
    if None in row or None in row.values():
        raise NmfpError(
            f"{where}: {len(COLUMNS)} cells are needed, separated by tabs; leave unknown ones empty."
        )
    cell = {name: row[name].strip() for name in COLUMNS}
    for name in ("name", "set"):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", cell[name]):
            raise NmfpError(f"{where}: {name} is {cell[name]!r}; use letters, digits, _ and -.")
    where = f"{where} ({cell['name']})"
    if not cell["file"] or Path(cell["file"]).name != cell["file"] or cell["file"].startswith("."):
        raise NmfpError(f"{where}: file is {cell['file']!r}; write a plain file name.")
    if cell["archive"] not in ARCHIVES:
        raise NmfpError(f"{where}: archive is {cell['archive']!r}; known are {', '.join(ARCHIVES)}.")
    addresses = tuple(a for a in (cell["address"], *cell["mirrors"].split()) if a)
    for address in addresses:
        if not re.match(r"https?://[^/\s]+/", address):
            raise NmfpError(f"{where}: {address!r} is no http or https address.")
    kind, checksum = cell["checksum_kind"], cell["checksum"].lower()
    if bool(kind) != bool(checksum):
        raise NmfpError(f"{where}: checksum_kind and checksum belong together; fill in both or neither.")
    if kind and (
        kind not in CHECKSUM_DIGITS or not re.fullmatch(rf"[0-9a-f]{{{CHECKSUM_DIGITS[kind]}}}", checksum)
    ):
        digits = ", ".join(f"{k} ({n} digits)" for k, n in CHECKSUM_DIGITS.items())
        raise NmfpError(f"{where}: {kind} {checksum!r} is no checksum; known are {digits}.")
    return Source(
        name=cell["name"],
        set=cell["set"],
        version=cell["version"],
        file=cell["file"],
        addresses=addresses,
        size=_count(cell["size"], "size", where),
        size_about=_count(cell["size_about"], "size_about", where),
        checksum_kind=kind,
        checksum=checksum,
        archive=cell["archive"],
        expected=_expected(cell["expected"], where),
        licence=cell["licence"],
        layout=cell["layout"],
    )


def _count(text: str, column: str, where: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[1-9][0-9]*", text):
        raise NmfpError(f"{where}: {column} is {text!r}; write a whole number of bytes, or nothing.")
    return int(text)


def _expected(text: str, where: str) -> dict[str, int]:
    counts = {}
    for part in text.split():
        match = re.fullmatch(r"([a-z_]+)=([0-9]+)", part)
        if not match:
            raise NmfpError(f"{where}: expected holds {part!r}; write counts as train=216 test=54.")
        counts[match[1]] = int(match[2])
    return counts


def expected_of(sources: dict[str, Source], set_name: str) -> dict[str, int]:
    """The expected counts of a set, whichever of its rows carries them."""
    return {key: n for s in sources.values() if s.set == set_name for key, n in s.expected.items()}


def check_count(subject: str, found: int, expected: dict[str, int], key: str) -> None:
    """Hold a number of files against the table.

    Args:
        subject: what was counted, the beginning of the sentence: "/disk/fma_full holds 3 mp3 files".
        expected: the counts of the set (`expected_of`); a key that it lacks is not checked.

    Raises:
        NmfpError: another number is expected; says both and what to do.
    """
    wanted = expected.get(key)
    if wanted is not None and found != wanted:
        raise NmfpError(
            f"{subject}, but sources.tsv expects {key}={wanted}: complete the set (delete its receipts to have it"
            " unpacked again), correct the table, or set dataset.fma.check_counts to false to take what there is."
        )


def rows_of(sources: dict[str, Source], set_name: str) -> list[str]:
    """Names of the rows that make up a set.

    Raises:
        NmfpError: the table has no such set.
    """
    names = [name for name, source in sources.items() if source.set == set_name]
    if not names:
        raise NmfpError(f"paths.sources: the table has no row whose set is {set_name!r}; add one.")
    return names


def music_sets(dataset: dict) -> tuple[str, ...]:
    """Sets that the music of an experiment is taken from; none where nothing is fetched."""
    if dataset["source"] == "archive":
        return ("nmfp_archive",)
    if dataset["source"] != "fma":
        return ()
    lists = [dataset["fma"][f"{kind}_ids"] for kind in ("training", "validation", "query")]
    return (*_FMA, "nafp_mini") if None in lists else _FMA


def needed_rows(config: dict, models: dict[str, dict], sources: dict[str, Source]) -> list[str]:
    """Names of the rows that an experiment with these models fetches.

    Raises:
        NmfpError: a model, a set of degradations or the music names what the table lacks.
    """
    sets = [*music_sets(config["dataset"])]
    for name in experiment.used_sets(config, models):
        for origin in experiment.recordings_of(config, name).values():
            sets += origin if isinstance(origin, list) else []
    names = [name for set_name in dict.fromkeys(sets) for name in rows_of(sources, set_name)]
    for model, settings in models.items():
        entry = settings.get("entry")
        if entry is not None and entry not in sources:
            raise NmfpError(
                f"config/models/{model}.yaml: entry: {entry!r} is no row of the table paths.sources; correct one of them."
            )
        names += [] if entry is None else [entry]
    return list(dict.fromkeys(names))


def archive_path(downloads: str | Path, source: Source) -> Path:
    """Where a fetched file lies; a file that the user puts there is used."""
    return Path(downloads) / "archives" / source.file


def receipt_path(downloads: str | Path, name: str) -> Path:
    """What a finished download leaves behind."""
    return Path(downloads) / "receipts" / f"{name}.json"


def unpacked_path(downloads: str | Path, name: str) -> Path:
    """What a finished unpacking leaves behind."""
    return Path(downloads) / "receipts" / f"{name}.unpacked.json"


def unpacked_record_path(downloads: str | Path, name: str) -> Path:
    """The same, for ourselves: Snakemake deletes the other before it runs the rule again."""
    return Path(downloads) / "receipts" / f".{name}.unpacked.json"


def unpacked_sets(downloads: str | Path, sources: dict[str, Source], sets: Iterable[str]) -> list[str]:
    """The receipts of everything that sets are made of, once it is unpacked."""
    names = (name for set_name in sets for name in rows_of(sources, set_name))
    return [str(unpacked_path(downloads, name)) for name in names]


def set_folder(downloads: str | Path, set_name: str) -> Path:
    """Where the members of a set's archives lie."""
    return Path(downloads) / set_name


def describe_plan(names: list[str], sources: dict[str, Source], downloads: str | Path) -> str:
    """How much is still to be fetched and how much disk that takes, for the plan; empty when nothing is
    left."""
    fetch = unpack = 0
    unknown, by_hand = [], []
    for name in names:
        source, archive = sources[name], archive_path(downloads, sources[name])
        size = source.bytes_about
        if unpacked_path(downloads, name).is_file():
            continue
        present = archive.is_file() or receipt_path(downloads, name).is_file() or _placed(downloads, source)
        if not present and not source.addresses:
            by_hand.append(name)
        if size is None:
            unknown.append(name)
            continue
        unpack += size
        if not present:
            part = part_path(archive)
            fetch += max(0, size - (part.stat().st_size if part.is_file() else 0))
    if not (fetch or unpack or unknown or by_hand):
        return ""
    needed, free = fetch + unpack, free_bytes(downloads)
    lines = [
        f"Data still to fetch for this experiment: {fetch:,} bytes ({gib(fetch)}). Disk needed in {downloads},"
        f" unpacked files included: {needed:,} bytes ({gib(needed)}); free there: {gib(free)}. paths.downloads may"
        " name another disk; what results/ needs stands in config/README.md."
    ]
    if needed > free:
        lines.append(
            f"That does not fit, {gib(needed - free)} are missing: free some space, or point paths.downloads to a"
            " larger disk; with dataset.keep_archives false each archive is deleted once it is unpacked."
        )
    if unknown:
        lines.append(f"Not counted, since nobody published a size: {', '.join(unknown)}.")
    for name in by_hand:
        lines.append(f"To be put in place by hand: {missing_sentence(sources[name], downloads)}")
    return "\n".join(lines)


def part_path(archive: Path) -> Path:
    """The name of a file while it is being fetched; a rerun goes on with it."""
    return archive.with_name(archive.name + ".part")


def _placed(downloads: str | Path, source: Source) -> bool:
    folder = set_folder(downloads, source.set)
    return not source.addresses and folder.is_dir() and any(folder.iterdir())


def placed_by_hand(downloads: str | Path, source: Source) -> bool:
    """Whether the user has put the unpacked content itself in place of an archive that has no address."""
    return _placed(downloads, source) and not archive_path(downloads, source).exists()


def missing_sentence(source: Source, downloads: str | Path) -> str:
    """What to do about a file that no address leads to."""
    return (
        f"{source.name} has no address (config/sources.tsv): put {source.file} at"
        f" {archive_path(downloads, source)}, or its content into {set_folder(downloads, source.set)}"
        f" ({source.layout}; licence: {source.licence})."
    )


def gib(size: int) -> str:
    """Bytes as a person reads them."""
    return f"{size / 2**30:,.1f} GiB"


def free_bytes(path: str | Path) -> int:
    """Free space of the disk that a path, existing or not, lies on."""
    path = Path(path).absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
