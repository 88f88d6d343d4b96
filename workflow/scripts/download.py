"""Fetch one file of config/sources.tsv and check it (rule download)."""

from nmfp.datasets.downloads import fetch
from nmfp.datasets.sources import read_sources
from nmfp.files import script_log


def main(snakemake):
    with script_log(snakemake.log[0]):
        sources = read_sources(snakemake.params.table)
        fetch(sources[snakemake.wildcards.source], snakemake.params.downloads)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
