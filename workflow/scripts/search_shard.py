"""The nearest rows of every query segment in one shard; search merges those of all shards."""

import logging

from nmfp.database.fingerprints import open_fingerprints
from nmfp.files import read_json, script_log, write_npy
from nmfp.model.devices import claim, requested
from nmfp.search import index
from nmfp.search.shards import search_shard

log = logging.getLogger("nmfp")


def main(snakemake):
    """Contract: rules/evaluate.smk."""
    with script_log(snakemake.log[0]), claim(requested(snakemake)) as devices:
        params = snakemake.params
        queries = open_fingerprints(params.queries)
        database = read_json(snakemake.input.database_info)
        fitting = {"model_digest": queries.info["model_digest"], "database_sha256": database["sha256"]}
        shard, info = index.read(snakemake.input.index, fitting, params.on_disk)
        index.set_search_parameters(shard, params.nprobe, params.search_parameters)
        shard, device = index.to_gpu(shard, info["resolved"], devices)
        log.info("searched on %s", device)
        distances, rows = search_shard(
            shard,
            info["row_start"],
            queries.vectors,
            params.candidates,
            snakemake.threads,
            info["every"],
        )
        write_npy(snakemake.output.distances, distances)
        write_npy(snakemake.output.rows, rows)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
