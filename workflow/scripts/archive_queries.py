"""The archive's own degraded queries, and clean ones cut at the same place (rule archive_queries)."""

from pathlib import Path

from nmfp.datasets.archive import query_cuts, query_tables, write_clean_cuts
from nmfp.datasets.sources import set_folder
from nmfp.files import read_csv, script_log, write_csv


def main(snakemake):
    with script_log(snakemake.log[0]):
        params, output = snakemake.params, snakemake.output
        tracks = read_csv(snakemake.input.tracks, ["id", "path", "samples"])
        cuts = query_cuts(set_folder(params.downloads, "nmfp_archive"), tracks, params.seconds)
        clean = write_clean_cuts(cuts, tracks, Path(output.clean_shifted).parent / "audio")
        provenance, degraded_table, clean_table = query_tables(cuts, clean)
        write_csv(output.degraded_shifted, degraded_table)
        write_csv(output.clean_shifted, clean_table)
        write_csv(output.provenance, provenance)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
