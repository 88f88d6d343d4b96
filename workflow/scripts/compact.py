"""Give back the room of removed files: their rows in the partitions of a database, and their WAVs."""

import logging
from pathlib import Path

from nmfp.database.compaction import compact, finish
from nmfp.database.merge import read_partitions
from nmfp.datasets.conversion import remove_wavs
from nmfp.datasets.partitions import forget
from nmfp.files import read_csv, read_json, script_log, sole_writer

log = logging.getLogger("nmfp")


def main(snakemake):
    """Contract: rules/database.smk."""
    with script_log(snakemake.log[0]):
        alive = read_csv(snakemake.input.tracks, ["id", "sha256"], text=("id", "path", "sha256", "reason"))
        gone = 0
        forget(snakemake.params.registry, alive)
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
        for folder in map(Path, snakemake.params.collections):
            count, size = remove_wavs(folder)
            log.info("%s: %d WAVs of removed files are gone, %.1f MB", folder, count, size / 1e6)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
