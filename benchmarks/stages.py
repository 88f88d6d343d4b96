"""What each stage of a finished run cost, and what as many tracks as you like would cost at the same rates.

    python benchmarks/stages.py results/demo
    python benchmarks/stages.py results/demo --extrapolate 95163,10000000,100000000 --model demo-ntxent --index ivfpq

The first table is measured. Jobs, wall seconds (of all jobs together) and memory (the most that a job's processes
held when they were looked at) are those of Snakemake's benchmark files; processor seconds those that each job wrote
into its log when it ended, since Snakemake misses programs that run for less than half a second, such as SoX. `of it
starting` went by before the work began: Python and imports. The cost of a unit is the rest over the units. Bytes are
those of the files that the stage left.

--extrapolate multiplies: the cost of a unit by the units, the start by the jobs. Partitions are those of
config/config.yaml, and larger from a million tracks on. Training is not in it, since it does not grow with the
tracks, nor is searching: a query costs what its index makes it cost (benchmarks/search.py). A small run's fraction
of a second is no rate: benchmarks/rates.py leaves a folder that can be named in the place of results/demo, with
mp3s, the paper's network and a million fingerprints.
"""

import argparse
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "workflow/scripts"))

from nmfp.config import _load_yaml  # noqa: E402
from nmfp.errors import NmfpError  # noqa: E402
from nmfp.files import PROCESSOR_TIME, read_json  # noqa: E402
from nmfp.segments import HOP_SAMPLES, SAMPLE_RATE, SEGMENT_SAMPLES  # noqa: E402

# what a stage works through; costs are given for one of them
UNITS = {
    "demo_music": "pieces",
    "demo_degradations": "recordings",
    "convert": "hours of audio",
    "pack_chunks": "chunks",
    "train": "segments",
    "degrade": "queries",
    "extract": "fingerprints",
    "merge": "fingerprints",
    "train_index": "fingerprints learnt from",
    "fill_index": "fingerprints",
    "fill_shard": "fingerprints",
    "search": "queries",
    "search_shard": "queries",
    "recall": "segments",
    "learn_decision": "queries",
}
LOGGED = PROCESSOR_TIME.replace("%.2f", r"([\d.]+)")
EXTRAPOLATED = ("convert", "extract", "merge", "fill_index")
# docs/scaling.md: what to set from a million tracks on
MANY_TRACKS, FILES_OF_MANY, TRACKS_OF_MANY = 1_000_000, 5000, 10_000


class Job(NamedTuple):
    """One job: `name` is the stage and its wildcards without the partition's number; seconds and MiB."""

    name: str
    wall: float
    processor: float
    starting: float
    memory: float
    units: float
    bytes: int
    sampled: bool


class Cost(NamedTuple):
    """What a stage costs: seconds a job and a unit, bytes a unit, MiB a job; `work` seconds were measured."""

    start: float
    unit: float
    bytes: float
    memory: float
    work: float


def units_and_files(experiment: Path, stage: str, *wildcards: str) -> tuple[float, list[Path]]:
    """How many of UNITS[stage] a job worked through, and the files that it left.

    Raises:
        FileNotFoundError, NmfpError: the files are gone, as those of a model that was deleted.
    """
    # paths in tables count from where Snakemake ran, two folders above results/<experiment>
    ran_in = experiment.parents[1]
    data, folder = experiment / "data", "/".join(wildcards)

    def listed(*tables: str) -> tuple[int, list[Path]]:
        paths = [p for t in tables for p in pd.read_csv(data / t / "files.csv")["path"]]
        return len(paths), [ran_in / path for path in paths]

    def rows(path: Path) -> int:
        info = read_json(path)
        return -(-info["rows"] // info.get("every", 1))

    match stage:
        case "demo_music":
            return listed("music")
        case "demo_degradations":
            return listed("noise", "room", "microphone")
        case "convert":
            collection, n = wildcards
            table = pd.read_csv(data / collection / "converted" / f"{n}.csv").query("status == 'ok'")
            return table["samples"].sum() / SAMPLE_RATE / 3600, [ran_in / path for path in table["path"]]
        case "pack_chunks":
            chunks = data / folder / "chunks.csv"
            return len(pd.read_csv(chunks)), [chunks, chunks.with_name("audio.npy")]
        case "train":
            model = experiment / "models" / folder
            history = pd.read_csv(model / "history.csv")
            files = [path for path in model.iterdir() if path.is_file()]
            return round((history["seconds"] * history["segments_per_second"]).sum()), files
        case "degrade":
            query_set, n = wildcards
            table = pd.read_csv(data / query_set / "degraded" / f"{n}.csv")
            return len(table), [ran_in / path for path in table.filter(like="_path").to_numpy().ravel()]
        case "extract":
            *above, n = wildcards
            partitions = experiment.joinpath("fingerprints", *above, "partitions")
            return rows(partitions / f"{n}.json"), sorted(partitions.glob(f"{n}.*"))
        case "merge":
            database = experiment / "fingerprints" / folder
            names = ("database.npy", "silent.npy", "tracks.csv", "failures.csv", "database.json")
            return rows(database / "database.json"), [database / name for name in names]
        case "train_index":
            trained = experiment / "index" / folder / "trained.json"
            info = read_json(trained)
            from nmfp.search.index import training_rows

            # the draw needs the seed, how many are drawn does not
            learnt = len(training_rows(info["resolved"], rows(trained), seed=0))
            return learnt, [trained, trained.with_suffix(".faiss")]
        case "fill_index":
            index = experiment / "index" / folder / "index.json"
            return rows(index), [index, index.with_suffix(".faiss")]
        case "fill_shard":
            *above, n = wildcards
            shard = experiment.joinpath("index", *above, "shards", f"{n}.json")
            info = read_json(shard)
            return -(-(info["row_end"] - info["row_start"]) // info["every"]), [
                shard,
                shard.with_suffix(".faiss"),
            ]
        case "search" | "search_shard":
            model, index, corpus = wildcards[:3]
            queries = len(pd.read_csv(experiment / "fingerprints" / model / corpus / "tracks.csv"))
            # what is found in a shard is deleted as soon as it is merged
            found = experiment / "evaluation" / model / index / corpus / "analysis.csv"
            return queries, [found] if stage == "search" else []
        case "recall":
            table = experiment / "evaluation" / folder / "recall.csv"
            return int(pd.read_csv(table)["segments"].iloc[0]), [table]
        case "learn_decision":
            provenances = [data / query_set / "provenance.csv" for query_set in ("queries", "unknown")]
            decision = experiment / "models" / folder / "decision.json"
            return sum(len(pd.read_csv(path)) for path in provenances), [decision]
    raise SystemExit(f"benchmarks/stages.py does not know what rule {stage} works through: add it there.")


def read_job(experiment: Path, sheet: Path) -> Job:
    """The cost of the job with this benchmark file.

    Raises:
        FileNotFoundError, NmfpError: see `units_and_files`.
    """
    parts = sheet.relative_to(experiment / "benchmarks").with_suffix("").parts
    units, files = units_and_files(experiment, *parts)
    measured = pd.read_csv(sheet, sep="\t").iloc[-1]
    log = experiment.joinpath("logs", *parts).with_suffix(".log")
    logged = re.search(LOGGED, log.read_text(encoding="utf-8"))
    processor, starting = map(float, logged.groups()) if logged else (measured["cpu_time"], 0.0)
    return Job(
        "/".join(parts[:-1] if parts[-1].isdigit() else parts),
        measured["s"],
        processor,
        starting,
        measured["max_rss"],
        units,
        sum(path.stat().st_size for path in files),
        logged is None,
    )


def read_jobs(experiment: Path) -> Iterator[Job]:
    """All jobs of a run in the order of the stages; says which are left out."""
    sheets = sorted((experiment / "benchmarks").rglob("*.tsv"))
    if not sheets:
        raise SystemExit(
            f"{experiment}/benchmarks holds no benchmark files: name the results of a finished run."
        )
    order = list(UNITS)
    stages = {
        sheet: sheet.relative_to(experiment / "benchmarks").with_suffix("").parts[0] for sheet in sheets
    }
    sheets.sort(key=lambda sheet: order.index(stages[sheet]) if stages[sheet] in order else len(order))
    for sheet in sheets:
        try:
            yield read_job(experiment, sheet)
        except (FileNotFoundError, NmfpError) as error:
            print(f"left out: {sheet}: {error}", file=sys.stderr)


def add_up(jobs: Iterator[Job]) -> pd.DataFrame:
    """One row a stage, indexed by its name: jobs and the columns of Job, sums, of memory the maximum."""
    table = pd.DataFrame(jobs, columns=Job._fields)
    groups = table.groupby("name", sort=False)
    total = groups.sum()
    total["memory"] = groups["memory"].max()
    total.insert(0, "jobs", groups.size())
    return total


def seconds(value: float) -> str:
    """A duration with three digits, in the unit that suits it."""
    scale, unit = next(((s, u) for s, u in ((1, "s"), (1e-3, "ms")) if value >= s), (1e-6, "µs"))
    return f"{digits(value / scale)} {unit}"


def hours(value: float) -> str:
    """A duration that is given in hours, in the unit that suits it."""
    for scale, unit in ((48, "days"), (1, "h"), (1 / 60, "min")):
        if value >= scale:
            return f"{digits(value / (24 if unit == 'days' else scale))} {unit}"
    return seconds(value * 3600)


def size(value: float) -> str:
    """Bytes with three digits and a decimal prefix."""
    for scale, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= scale:
            return f"{digits(value / scale)} {unit}"
    return f"{digits(value)} B"


def digits(value: float) -> str:
    """Three significant digits, thousands by commas."""
    if value <= 0 or not math.isfinite(value):
        return "0" if value == 0 else "?"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.{max(0, 2 - math.floor(math.log10(rounded)))}f}"


def count(value: float) -> str:
    """A number of things exactly, a part of one with three digits."""
    return f"{value:,.0f}" if value == round(value) else digits(value)


def markdown(columns: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def costs_table(table: pd.DataFrame) -> str:
    """The measured table as Markdown."""
    columns = [
        "stage",
        "units",
        "jobs",
        "wall s",
        "CPU s",
        "of it starting",
        "memory",
        "bytes written",
        "a unit",
    ]
    rows = []
    for name, stage in table.iterrows():
        work = max(0.0, stage.processor - stage.starting)
        rows.append([
            name.replace("/", " "),
            f"{count(stage.units)} {UNITS[name.split('/')[0]]}",
            f"{stage.jobs:.0f}",
            f"{stage.wall:.1f}",
            f"{stage.processor:.1f}",
            "?" if stage.sampled else f"{stage.starting:.1f}",
            size(stage.memory * 2**20),
            size(stage.bytes) if stage.bytes else "none",
            f"{seconds(work / stage.units)}, {size(stage.bytes / stage.units)}" if stage.units else "?",
        ])  # fmt: skip
    return markdown(columns, rows)


def chosen(table: pd.DataFrame, stage: str, wanted: list[str]) -> str:
    """The name of the row of a stage whose wildcards are these; None stands for the only one there is.

    Raises:
        SystemExit: there is none, or there are several to choose from.
    """
    pattern = [stage, *wanted]
    names = [
        name
        for name in table.index
        if len(parts := name.split("/")) == len(pattern)
        and all(wish in (None, part) for wish, part in zip(pattern, parts, strict=True))
    ]
    if len(names) != 1:
        there = ", ".join(names) or "none"
        raise SystemExit(
            f"rule {stage}: one row is needed and there are: {there}; choose by --model and --index."
        )
    return names[0]


def read_costs(table: pd.DataFrame, experiment: Path, options: argparse.Namespace) -> dict[str, Cost]:
    """Costs of the EXTRAPOLATED stages."""
    wildcards = {
        "convert": ["music"],
        "extract": [options.model, "database"],
        "merge": [options.model, "database"],
        "fill_index": [options.model, options.index],
    }
    costs = {}
    for stage, wanted in wildcards.items():
        name = chosen(table, stage, wanted)
        row = table.loc[name]
        work = row.processor - row.starting
        stored = row.bytes
        if stage == "fill_index":  # quantisers are there once, however many rows
            stored -= experiment.joinpath("index", *name.split("/")[1:], "trained.faiss").stat().st_size
        costs[stage] = Cost(row.starting / row.jobs, work / row.units, stored / row.units, row.memory, work)
    return costs


def extrapolate(tracks: int, costs: dict[str, Cost], options: argparse.Namespace) -> dict[str, str]:
    """What so many tracks would cost: arithmetic, by row of the table."""
    config = _load_yaml(ROOT / "config/config.yaml")
    many = tracks >= MANY_TRACKS
    batch = FILES_OF_MANY if many else config["dataset"]["partition_files"]
    partition = TRACKS_OF_MANY if many else config["fingerprints"]["partition_tracks"]
    rows = tracks * options.fingerprints
    music = tracks * (SEGMENT_SAMPLES + (options.fingerprints - 1) * HOP_SAMPLES) / SAMPLE_RATE / 3600
    convert, extract, merge, fill = (costs[stage] for stage in EXTRAPOLATED)
    conversions, extractions = math.ceil(tracks / batch), math.ceil(tracks / partition)
    # processor hours
    converting = (conversions * convert.start + music * convert.unit) / 3600
    extracting = (extractions * extract.start + rows * extract.unit) / 3600
    filling = rows * fill.unit / 3600
    index = rows * fill.bytes
    shards = math.ceil(index / (options.shard_gb * 1e9))
    nodes, cores = options.nodes, options.cores
    jobs = (
        conversions + extractions + shards + 3
    )  # of them merge, train_index, and the search of one query set
    return {
        "fingerprints": f"{rows:,}",
        "music": f"{music:,.0f} h",
        "8 kHz WAVs": size(music * convert.bytes),
        "convert": f"{digits(converting)} core-hours, {conversions:,} jobs of {batch:,} files",
        "fingerprint": f"{digits(extracting)} core-hours, {extractions:,} jobs of {partition:,} tracks, "
        f"{hours(extracting / extractions / cores)} each on {cores} cores",
        f"both on {nodes} nodes of {cores} cores": hours((converting + extracting) / nodes / cores),
        "memory of a converting, an extracting job": ", ".join(
            size(cost.memory * 2**20) for cost in (convert, extract)
        ),
        "database.npy": size(rows * extract.bytes),
        "merge, one job": f"{hours(rows * merge.unit / 3600)} of one core, or as long as reading, writing and "
        f"reading back take: {hours(3 * rows * extract.bytes / options.disk / 1e9 / 3600)} at {options.disk:g} GB/s",
        "fill": f"{digits(filling)} core-hours, {hours(filling / shards / options.fill_cores)} "
        f"in {shards:,} job{'s at once' if shards > 1 else ''} on {options.fill_cores} cores",
        "index": f"{size(index)}: {shards:,} shards of {size(index / shards)} of memory each"
        if shards > 1
        else f"{size(index)} of memory",
        "SLURM's own": f"{digits(jobs * options.job_start / 3600)} core-hours for {jobs:,} jobs",
    }


def extrapolation_tables(table: pd.DataFrame, experiment: Path, options: argparse.Namespace) -> str:
    """The rates that are multiplied, and what comes out, as Markdown."""
    costs = read_costs(table, experiment, options)
    rates = [
        [
            stage,
            f"{seconds(cost.start)} a job and {seconds(cost.unit)} for each of its {UNITS[stage]}",
            size(cost.bytes),
            f"{digits(cost.work)} s",
        ]
        for stage, cost in costs.items()
    ]
    columns = {tracks: extrapolate(tracks, costs, options) for tracks in options.extrapolate}
    names = list(next(iter(columns.values())))
    return "\n\n".join([
        markdown(["rate", "processor time", "bytes a unit", "measured over"], rates),
        markdown(
            ["", *(f"{tracks:,} tracks" for tracks in columns)],
            [[name, *(column[name] for column in columns.values())] for name in names],
        ),
    ])  # fmt: skip


def counts(text: str) -> list[int]:
    """Parse numbers of tracks, divided by commas."""
    numbers = [int(number) for number in text.split(",")]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError("a number of tracks is at least 1")
    return numbers


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", type=Path, help="results/<experiment> of a finished run")
    parser.add_argument("--extrapolate", type=counts, metavar="N,N,...", help="numbers of tracks")
    parser.add_argument("--model", help="whose fingerprints, where the run has several models")
    parser.add_argument("--index", help="which index, where the run has several")
    parser.add_argument(
        "--fingerprints", type=int, default=588, help="a track; the paper's have 588 on average"
    )
    parser.add_argument("--nodes", type=int, default=100, help="nodes at work at once")
    parser.add_argument("--cores", type=int, default=4, help="cores of a converting or extracting job")
    parser.add_argument("--fill-cores", type=int, default=8, help="cores of a job that fills a shard")
    parser.add_argument("--shard-gb", type=float, default=14, help="largest shard; the rules ask for 16 GB")
    parser.add_argument("--disk", type=float, default=1, help="GB/s of the disk")
    parser.add_argument(
        "--job-start", type=float, default=4, help="processor seconds of a SLURM job that does nothing"
    )
    options = parser.parse_args()
    experiment = options.experiment.resolve()
    try:
        table = add_up(read_jobs(experiment))
        print(costs_table(table))
        if table["sampled"].any():
            print(
                f"\nProcessor seconds of {table['sampled'].sum()} of {table['jobs'].sum()} jobs are Snakemake's samples: "
                "their logs do not say how many they were. They are too few where other programs ran for moments."
            )
        if options.extrapolate:
            print("\n" + extrapolation_tables(table, experiment, options))
    except NmfpError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
