"""Gather the queries of all partitions into their tables (rule queries)."""

from nmfp.degradation.queries import gather
from nmfp.files import script_log, write_csv


def main(snakemake):
    with script_log(snakemake.log[0]):
        provenance, corpora = gather(snakemake.input.tables)
        write_csv(snakemake.output.provenance, provenance)
        for variant, table in corpora.items():
            write_csv(snakemake.output[variant], table)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
