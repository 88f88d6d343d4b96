"""Unpack one fetched archive (rule unpack)."""

from pathlib import Path

from nmfp.datasets.sources import find_table, read_sources
from nmfp.datasets.unpacking import unpack_source
from nmfp.files import read_json, script_log, write_json

HOME = Path(__file__).parents[2]


def main(snakemake):
    with script_log(snakemake.log[0]):
        params = snakemake.params
        source = read_sources(find_table(params.table, HOME))[snakemake.wildcards.source]
        receipt = read_json(snakemake.input.receipt)
        # no param: whoever changes their mind about it need not unpack again
        keep = snakemake.config["dataset"]["keep_archives"]
        manifest = unpack_source(source, params.downloads, receipt, snakemake.threads, keep)
        write_json(snakemake.output.manifest, manifest)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
