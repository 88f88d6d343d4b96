"""Unpack one fetched archive (rule unpack)."""

import logging

from nmfp.datasets.sources import archive_path, read_sources, set_folder
from nmfp.datasets.unpacking import sync, unpack
from nmfp.errors import NmfpError
from nmfp.files import read_json, script_log, write_json

log = logging.getLogger("nmfp")


def main(snakemake):
    with script_log(snakemake.log[0]):
        params = snakemake.params
        source = read_sources(params.table)[snakemake.wildcards.source]
        receipt = read_json(snakemake.input.receipt)
        folder, archive = set_folder(params.downloads, source.set), archive_path(params.downloads, source)
        if receipt["origin"] == "folder":
            summary = {"files": sum(p.is_file() for p in folder.rglob("*")), "bytes": None}
        else:
            if not archive.is_file():
                raise NmfpError(
                    f"{archive} is gone; delete {snakemake.input.receipt} to have it fetched again."
                )
            summary = unpack(archive, folder, snakemake.threads)
            log.info(
                "%s: %d files, %d of them were here already", archive, summary["files"], summary.pop("kept")
            )
            sync()
        # no param: whoever changes their mind about it need not unpack again
        if receipt["origin"] == "fetched" and not snakemake.config["dataset"]["keep_archives"]:
            archive.unlink()
        manifest = {"name": source.name, "set": source.set, "checksum": receipt["checksum"], **summary}
        write_json(snakemake.output.manifest, manifest)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
