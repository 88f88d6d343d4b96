"""The music of the paper's archive: training chunks and the queries' tracks (rule list_archive)."""

from nmfp.datasets.archive import list_music
from nmfp.datasets.sources import set_folder
from nmfp.files import script_log, write_csv


def main(snakemake):
    with script_log(snakemake.log[0]):
        write_csv(snakemake.output.files, list_music(set_folder(snakemake.params.downloads, "nmfp_archive")))


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
