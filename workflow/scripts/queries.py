"""Gather the queries of all partitions into their tables (rule queries)."""

from nmfp.datasets.queries import gather
from nmfp.files import read_csv, script_log, write_csv


def main(snakemake):
    with script_log(snakemake.log[0]):
        tracks = read_csv(snakemake.input.tracks, ["id", "sha256"], text=("id", "sha256"))
        provenance, corpora = gather(snakemake.input.tables, tracks)
        write_csv(snakemake.output.provenance, provenance)
        for variant, table in corpora.items():
            write_csv(snakemake.output[variant], table)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
