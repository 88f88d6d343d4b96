"""Identify a folder of recordings with a database; the same as `nmfp identify --format csv`."""

import logging

from nmfp.cli.inputs import expand
from nmfp.cli.results import open_writer
from nmfp.files import progress, script_log

log = logging.getLogger("nmfp")


def main(snakemake):
    """Contract: rules/identify.smk."""
    with script_log(snakemake.log[0]):
        from nmfp.identification.identify_files import identify_files
        from nmfp.identification.session import Session

        params = snakemake.params
        queries = expand([params.queries])
        with Session(params.database, None, params.engine, snakemake.threads) as session:
            session.decide_at(None)
            with open_writer("csv", snakemake.output.results, []) as write:
                found = identify_files(queries, session)
                for result in progress(found, total=len(queries), unit=" queries", label="identify"):
                    write(result)
                    if result.decision == "failed":
                        log.warning("%s: %s", result.query, result.note)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
