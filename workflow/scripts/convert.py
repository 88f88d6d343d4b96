"""Convert a batch of source files to 8 kHz mono WAV (rule convert)."""

from pathlib import Path

from nmfp.audio.sox import find_sox
from nmfp.datasets.conversion import convert_batch
from nmfp.datasets.journal import Journal
from nmfp.datasets.partitions import read_list
from nmfp.files import digest, read_csv, script_log, write_csv


def main(snakemake):
    with script_log(snakemake.log[0]):
        find_sox()
        files = read_csv(
            snakemake.input.files, ["id", "path", "role", "reason"], text=("id", "path", "reason", "state")
        )
        listed = set(read_list(snakemake.input.list, files))
        files = files[files["id"].isin(listed) & (files["reason"] == "")]
        params, wildcards = snakemake.params, snakemake.wildcards
        journal = Journal(
            Path(snakemake.output.table).with_suffix(".done.jsonl"),
            digest("convert", params.version, params.split_channels),
        )
        rows = convert_batch(
            files,
            params.audio,
            journal,
            params.split_channels,
            snakemake.threads,
            f"convert {wildcards.collection} {wildcards.n}",
        )
        write_csv(snakemake.output.table, rows)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
