"""The music of the paper's archive: training chunks and the queries' tracks (rule list_archive)."""

from pathlib import Path

from nmfp.datasets.archive import count_music, list_music
from nmfp.datasets.sources import check_count, expected_of, find_table, read_sources, set_folder
from nmfp.files import script_log, write_csv

HOME = Path(__file__).parents[2]


def main(snakemake):
    with script_log(snakemake.log[0]):
        params = snakemake.params
        folder = set_folder(params.downloads, "nmfp_archive")
        if params.check_counts:
            expected = expected_of(read_sources(find_table(params.table, HOME)), "nmfp_archive")
            for what, (key, found) in count_music(folder).items():
                check_count(f"{folder} holds {found} {what}", found, expected, key)
        write_csv(snakemake.output.files, list_music(folder))


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
