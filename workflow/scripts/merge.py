"""Merge the partitions of a corpus into one database; go on where a killed merge was."""

import logging
from pathlib import Path

from nmfp.database.merge import join_tables, merge, read_partitions
from nmfp.datasets.tracks import check_budget
from nmfp.files import read_csv, script_log, sole_writer, write_csv
from nmfp.model.folder import read_model
from nmfp.segments import HOP_SAMPLES

log = logging.getLogger("nmfp")


def main(snakemake):
    """Contract: rules/database.smk."""
    with script_log(snakemake.log[0]), sole_writer(snakemake.params.work):
        model = read_model(Path(snakemake.input.model).parent)
        dimension = model["embedding_size"]
        fingerprints = snakemake.input.get("fingerprints", [])
        partitions = read_partitions(fingerprints, model["digest"], dimension, HOP_SAMPLES)
        alive = read_csv(snakemake.input.tracks, ["id", "sha256"], text=("id", "path", "sha256", "reason"))
        tracks = join_tables(partitions, alive)
        present = tracks[tracks["status"] != "removed"]
        # Snakemake deletes the declared tables of a job that fails: the copy beside the log is for the user
        copy = Path(snakemake.log[0]).with_suffix(".failures.csv")
        write_csv(copy, present[present["status"] == "failed"])
        if len(present):
            check_budget(present, snakemake.params.failure_budget, snakemake.wildcards.corpus, copy)
        names = ("fingerprints", "silent", "tracks", "failures", "info")
        info = merge(
            partitions,
            tracks,
            {name: Path(snakemake.output[name]) for name in names},
            Path(snakemake.params.work),
            {
                "model": snakemake.wildcards.model,
                "model_digest": model["digest"],
                "dimension": dimension,
                "hop_samples": HOP_SAMPLES,
            },
            snakemake.params.dtype,
        )
        log.info("%d fingerprints of %d tracks", info["rows"], info["tracks"])


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
