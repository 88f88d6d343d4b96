"""Fill a trained index with the rows of the database."""

import logging
from pathlib import Path

import numpy as np
from nmfp import index
from nmfp.files import read_json, script_log

log = logging.getLogger("nmfp")


def main(snakemake):
    """Contract: rules/index.smk."""
    with script_log(snakemake.log[0]):
        info = read_json(snakemake.input.info)
        vectors = np.load(snakemake.input.fingerprints, mmap_mode="r")
        # Quantisers trained on an earlier state of the database serve a grown one, those of another model do not.
        empty, trained = index.read(
            snakemake.input.trained,
            {"model_digest": info["model_digest"], "dimension": info["dimension"]},
        )
        index.fill(empty, vectors, threads=snakemake.threads)
        log.info("%s holds %d fingerprints", trained["resolved"], empty.ntotal)
        described = index.describe(trained["factory"], trained["resolved"], info)
        index.write(Path(snakemake.output.index), empty, described)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
