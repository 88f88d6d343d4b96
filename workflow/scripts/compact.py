"""Take the rows of removed tracks out of the partitions of a database."""

import logging
from pathlib import Path

from nmfp.database.compaction import compact, finish
from nmfp.database.merge import read_partitions
from nmfp.files import read_csv, read_json, script_log, sole_writer

log = logging.getLogger("nmfp")


def main(snakemake):
    """Contract: rules/database.smk."""
    with script_log(snakemake.log[0]):
        alive = read_csv(snakemake.input.tracks, ["id", "sha256"], text=("id", "path", "sha256", "reason"))
        gone = 0
        for folder in map(Path, snakemake.params.folders):
            paths = [Path(path) for path in snakemake.input.fingerprints if Path(path).parent == folder]
            work = folder.parent / "progress" / "compact"
            with sole_writer(work):
                finish(work, folder)
                for path in paths:
                    info = read_json(path.with_suffix(".json"))
                    made_by = info.get("model_digest"), info.get("dimension"), info.get("hop_samples")
                    (partition,) = read_partitions([path], *made_by)
                    gone += compact(partition, alive, work)
        log.info("%d rows of removed tracks are gone; run the workflow again to merge what is left", gone)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
