"""Fill one shard of an index with its range of the database's rows."""

import logging
from pathlib import Path

import numpy as np
from nmfp.files import read_json, script_log
from nmfp.search import index
from nmfp.search.shards import shard_rows

log = logging.getLogger("nmfp")


def main(snakemake):
    """Contract: rules/index.smk."""
    with script_log(snakemake.log[0]):
        info = read_json(snakemake.input.info)
        vectors = np.load(snakemake.input.fingerprints, mmap_mode="r")
        fitting = {"model_digest": info["model_digest"], "dimension": info["dimension"]}
        empty, trained = index.read(snakemake.input.trained, fitting)
        every, shards = trained["every"], snakemake.params.shards
        start, stop = shard_rows(len(vectors), int(snakemake.wildcards.shard), shards, every)
        index.fill(empty, vectors[start:stop:every], threads=snakemake.threads)
        log.info("rows %d to %d", start, stop)
        described = index.describe(trained["factory"], trained["resolved"], info, every)
        described |= {"row_start": start, "row_end": stop}
        index.write(Path(snakemake.output.index), empty, described)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
