"""Train an index's quantisers on a seeded sample of the database; an empty index is written."""

import logging
from pathlib import Path

from nmfp.database.fingerprints import open_fingerprints
from nmfp.files import read_json, script_log
from nmfp.search import index

log = logging.getLogger("nmfp")


def main(snakemake):
    """Contract: rules/index.smk."""
    with script_log(snakemake.log[0]):
        info = read_json(snakemake.input.info)
        vectors = open_fingerprints(Path(snakemake.input.info).parent).vectors
        asked, every = snakemake.params.factory, snakemake.params.every
        held = vectors[::every]
        trained, resolved = index.train(held, asked, snakemake.params.seed, snakemake.threads)
        if resolved != asked:
            log.info("%s for %d fingerprints instead of %s", resolved, len(held), asked)
        index.write(Path(snakemake.output.index), trained, index.describe(asked, resolved, info, every))


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
