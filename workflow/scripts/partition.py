"""Cut a table of files or tracks into append-stable lists (checkpoints partition_files and
partition_tracks)."""

from nmfp.datasets.partitions import write_lists
from nmfp.files import read_csv, script_log


def main(snakemake):
    with script_log(snakemake.log[0]):
        table = read_csv(snakemake.input.table, ["id", "reason"], text=("id", "reason", "sha256", "state"))
        folder = snakemake.output.lists
        # beside the folder: Snakemake empties what it declares before every run
        write_lists(table, folder, f"{folder}.registry.csv", snakemake.params.size)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
