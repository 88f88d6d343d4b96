"""How probable it is that an answer is right, learnt from queries of known truth and kept with the network."""

import logging
from pathlib import Path

from nmfp.database.fingerprints import open_fingerprints
from nmfp.errors import NmfpError
from nmfp.evaluation.decisions import learn_decision, true_tracks
from nmfp.files import read_csv, read_json, script_log, write_json
from nmfp.search.confidence import nothing_learnt, to_json

log = logging.getLogger("nmfp")


def main(snakemake):
    """Contract: rules/evaluate.smk."""
    with script_log(snakemake.log[0]):
        inputs, params = snakemake.input, snakemake.params
        digest = read_json(inputs.model)["digest"]
        database = open_fingerprints(Path(inputs.database).parent)
        sets = []
        for info, table in zip(inputs.queries, params.provenances, strict=True):
            queries = open_fingerprints(Path(info).parent)
            provenance = read_csv(table, ["id", "track_id"], text=("id", "track_id"))
            sets.append((queries, true_tracks(queries, provenance, database)))
        try:
            learnt = to_json(learn_decision(database, sets, params.seed, snakemake.threads)[0], digest)
        except NmfpError as error:  # an experiment of few queries runs to its end all the same
            log.warning("%s", error)
            learnt = nothing_learnt(str(error), digest)
        write_json(Path(snakemake.output.decision), learnt)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
