"""List a user's folder of recordings (rule list_folder)."""

from nmfp.datasets.folder import list_folder
from nmfp.files import script_log, write_csv


def main(snakemake):
    with script_log(snakemake.log[0]):
        write_csv(
            snakemake.output.files, list_folder(snakemake.params.folder, snakemake.wildcards.collection)
        )


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
