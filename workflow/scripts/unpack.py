"""Unpack one fetched archive (rule unpack)."""

from nmfp.datasets.sources import read_sources
from nmfp.datasets.unpacking import unpack_source
from nmfp.files import read_json, script_log, write_json


def main(snakemake):
    with script_log(snakemake.log[0]):
        params = snakemake.params
        source = read_sources(params.table)[snakemake.wildcards.source]
        receipt = read_json(snakemake.input.receipt)
        # no param: whoever changes their mind about it need not unpack again
        keep = snakemake.config["dataset"]["keep_archives"]
        manifest = unpack_source(source, params.downloads, receipt, snakemake.threads, keep)
        write_json(snakemake.output.manifest, manifest)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
