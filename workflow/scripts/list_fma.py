"""The music of the paper: FMA's clips and tracks by NAFP's ids (rule list_fma)."""

import logging

from nmfp.datasets.fma import find_audio, list_music, metadata_ids, nafp_ids, read_ids
from nmfp.datasets.sources import expected_of, read_sources, set_folder
from nmfp.errors import NmfpError
from nmfp.files import script_log, write_csv

log = logging.getLogger("nmfp")


def main(snakemake):
    with script_log(snakemake.log[0]):
        params = snakemake.params
        sources = read_sources(params.table)
        folders = {name: set_folder(params.downloads, f"fma_{name}") for name in ("medium", "full")}
        if params.fma["check_counts"]:
            for name, folder in folders.items():
                _check(len(find_audio(folder)), expected_of(sources, f"fma_{name}").get("files"), folder)
        nafp = set_folder(params.downloads, "nafp_mini")
        ids = {}
        for kind in ("training", "validation", "query"):
            key = f"{kind}_ids"
            path = params.fma[key]
            ids[kind] = read_ids(path, f"dataset.fma.{key}") if path else nafp_ids(nafp, kind)
        known = metadata_ids(set_folder(params.downloads, "fma_metadata"))
        table = list_music(folders["medium"], folders["full"], ids, known)
        for role, n in table["role"][table["reason"] == ""].value_counts().items():
            log.info("%s: %d files", role, n)
        write_csv(snakemake.output.files, table)


def _check(found: int, expected: int | None, folder) -> None:
    if expected is not None and found != expected:
        raise NmfpError(
            f"{folder} holds {found} mp3 files, but sources.tsv expects {expected}: delete the receipt"
            " of this set to"
            " unpack it again, or set dataset.fma.check_counts to false to take what there is."
        )


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
