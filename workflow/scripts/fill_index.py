"""Fill a trained index with the rows of the database."""

import logging
from pathlib import Path

import numpy as np
from nmfp.files import read_json, script_log
from nmfp.search import index
from nmfp.search.growth import advise, grown_from, keep

log = logging.getLogger("nmfp")


def main(snakemake):
    """Contract: rules/index.smk."""
    with script_log(snakemake.log[0]):
        info = read_json(snakemake.input.info)
        vectors = np.load(snakemake.input.fingerprints, mmap_mode="r")
        # Quantisers trained on an earlier state of the database serve a grown one; another model's do not.
        empty, trained = index.read(
            snakemake.input.trained,
            {"model_digest": info["model_digest"], "dimension": info["dimension"]},
        )
        path = Path(snakemake.output.index)
        grown = grown_from(path, trained, vectors)
        filled = empty if grown is None else grown
        before = filled.ntotal
        index.fill(filled, vectors[:: trained["every"]], before, threads=snakemake.threads)
        log.info(
            "%s holds %d fingerprints, %d of them new",
            trained["resolved"],
            filled.ntotal,
            filled.ntotal - before,
        )
        if advice := advise(trained["rows"], len(vectors), snakemake.input.trained):
            log.warning("%s", advice)
        described = index.describe(trained["factory"], trained["resolved"], info, trained["every"])
        index.write(path, filled, {**described, "trained_sha256": trained["sha256"]})
        keep(path)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
