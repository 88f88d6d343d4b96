"""The music of the paper: FMA's clips and tracks by NAFP's ids (rule list_fma)."""

import logging
from pathlib import Path

from nmfp.datasets.fma import find_audio, list_music, metadata_ids, nafp_ids, read_ids
from nmfp.datasets.sources import check_count, expected_of, find_table, read_sources, set_folder
from nmfp.files import script_log, write_csv

log = logging.getLogger("nmfp")

# keys of the configuration, and of the counts in sources.tsv
NAFP_COUNTS = {"training": "train", "validation": "validation", "query": "queries"}

HOME = Path(__file__).parents[2]


def main(snakemake):
    with script_log(snakemake.log[0]):
        params = snakemake.params
        sources = read_sources(find_table(params.table, HOME))
        folders = {name: set_folder(params.downloads, f"fma_{name}") for name in ("medium", "full")}
        if params.fma["check_counts"]:
            for name, folder in folders.items():
                found = len(find_audio(folder))
                check_count(
                    f"{folder} holds {found} mp3 files", found, expected_of(sources, f"fma_{name}"), "files"
                )
        nafp = set_folder(params.downloads, "nafp_mini")
        ids = {}
        for kind, counted in NAFP_COUNTS.items():
            key = f"{kind}_ids"
            if path := params.fma[key]:
                ids[kind] = read_ids(path, f"dataset.fma.{key}")
                continue
            ids[kind] = nafp_ids(nafp, kind)
            if params.fma["check_counts"]:
                found = len(ids[kind])
                check_count(
                    f"{nafp} names {found} {kind} ids", found, expected_of(sources, "nafp_mini"), counted
                )
        known = metadata_ids(set_folder(params.downloads, "fma_metadata"))
        table = list_music(folders["medium"], folders["full"], ids, known)
        for role, n in table["role"][table["reason"] == ""].value_counts().items():
            log.info("%s: %d files", role, n)
        write_csv(snakemake.output.files, table)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
