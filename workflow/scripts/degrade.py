"""Cut queries from a partition of tracks, clean and degraded (rule degrade)."""

from pathlib import Path

from nmfp.datasets.journal import Journal
from nmfp.datasets.partitions import read_list
from nmfp.datasets.queries import NONE, VARIANTS, Settings, make_queries, open_packed
from nmfp.files import digest, read_csv, script_log, sha256_file, write_csv
from nmfp.segments import seconds_to_samples

DEGRADATIONS = ["noise", "room", "microphone"]


def main(snakemake):
    with script_log(snakemake.log[0]):
        inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
        queries = params.queries
        settings = Settings(
            params.seed,
            queries["per_track"],
            seconds_to_samples(queries["seconds"]),
            seconds_to_samples(queries["max_shift_seconds"]),
            dict(queries["degradation"]),
        )
        tracks = read_csv(inputs.tracks, ["id", "path", "samples", "sha256"])
        tracks = tracks[tracks["id"].isin(set(read_list(inputs.list, tracks)))]
        kinds = [name for name in DEGRADATIONS if inputs.get(name)]
        sources = [path for name in kinds for path in (inputs[name], inputs[f"{name}_table"])]
        key = digest("degrade", params.version, settings._asdict(), [sha256_file(path) for path in sources])
        rows = make_queries(
            tracks,
            {v: Path(params.data) / f"{wildcards.query_set}_{v}" / "audio" for v in VARIANTS},
            dict.fromkeys(DEGRADATIONS, NONE)
            | {name: open_packed(inputs[name], inputs[f"{name}_table"]) for name in kinds},
            settings,
            Journal(Path(snakemake.output.table).with_suffix(".done.jsonl"), key),
            snakemake.threads,
            f"degrade {wildcards.query_set} {wildcards.n}",
        )
        write_csv(snakemake.output.table, rows)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
