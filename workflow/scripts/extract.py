"""Fingerprint one partition of a corpus; go on where a killed job was."""

import logging
import shutil
from pathlib import Path

from nmfp.database.fingerprints import full_disk_explained
from nmfp.extraction.partition import fingerprint_tracks, read_partition_tracks, work_key, write_partition
from nmfp.extraction.progress import WorkLog
from nmfp.files import script_log, sole_writer
from nmfp.model.devices import claim, requested
from nmfp.model.engines import open_engine
from nmfp.model.folder import read_model
from nmfp.segments import HOP_SAMPLES

log = logging.getLogger("nmfp")


def main(snakemake):
    """Contract: rules/extract.smk."""
    with (
        script_log(snakemake.log[0]),
        full_disk_explained(snakemake.params.work),
        sole_writer(snakemake.params.work),
        claim(requested(snakemake)),
    ):
        model = Path(snakemake.input.info).parent
        model_digest = read_model(model)["digest"]
        tracks = read_partition_tracks(snakemake.input.tracks, snakemake.input.list)
        engine = open_engine(model, snakemake.params.engine, snakemake.params.batch, snakemake.threads)
        # inference takes about ten times the time of decoding mp3 on a CPU; on a GPU every core decodes
        processes = max(1, snakemake.threads - 1 if engine.name == "keras" else snakemake.threads // 4)
        work = Path(snakemake.params.work)
        key = work_key(model_digest, engine, HOP_SAMPLES, snakemake.params.version)
        info = {"model": snakemake.wildcards.model, "model_digest": model_digest, "hop_samples": HOP_SAMPLES}
        outputs = {name: Path(snakemake.output[name]) for name in ("fingerprints", "silent", "table", "info")}
        with WorkLog(work / key, engine.dimension) as done:
            fingerprint_tracks(tracks, engine, done, processes)
            table = write_partition(outputs, tracks, done, info)
        for track in table[table["status"] != "ok"].itertuples():
            log.warning("%s has no fingerprints: %s", track.id, track.reason)
        log.info("%d fingerprints of %d tracks", table["row_end"].max() if len(table) else 0, len(table))
        shutil.rmtree(work)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
