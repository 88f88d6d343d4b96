"""Fetch one file of config/sources.tsv and check it (rule download)."""

from pathlib import Path

from nmfp.datasets.downloads import fetch
from nmfp.datasets.sources import find_table, read_sources
from nmfp.files import script_log

HOME = Path(__file__).parents[2]


def main(snakemake):
    with script_log(snakemake.log[0]):
        sources = read_sources(find_table(snakemake.params.table, HOME))
        fetch(sources[snakemake.wildcards.source], snakemake.params.downloads)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
