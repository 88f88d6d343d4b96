"""Gather what became of a collection's files; too many failures end the run (rule tracks)."""

from pathlib import Path

from nmfp.datasets.tracks import check_budget, gather
from nmfp.files import read_csv, script_log, write_csv


def main(snakemake):
    with script_log(snakemake.log[0]):
        collection = snakemake.wildcards.collection
        files = read_csv(snakemake.input.files, ["id", "path", "role", "reason"])
        # music is unique; of recordings, only those that are split here: equal ones must not be on both sides
        repeatable = frozenset() if collection == "music" else frozenset({"train", "test"})
        tracks = gather(files, snakemake.input.tables, repeatable)
        failures = tracks[tracks["status"] != "ok"]
        # Snakemake deletes the tables of a job that fails: the copy beside the log is for the user's eyes
        copy = Path(snakemake.log[0]).with_suffix(".failures.csv")
        write_csv(copy, failures)
        check_budget(tracks, snakemake.params.failure_budget, collection, copy)
        write_csv(snakemake.output.table, tracks)
        write_csv(snakemake.output.failures, failures)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
