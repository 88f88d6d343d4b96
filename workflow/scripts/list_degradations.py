"""Noise, rooms or microphones of the paper, NAFP's, or the paper's archive (rule list_degradations)."""

from pathlib import Path

from nmfp.datasets import archive
from nmfp.datasets import degradation_sets as sets
from nmfp.datasets.columns import ListedFile
from nmfp.datasets.sources import expected_of, find_table, read_sources, set_folder
from nmfp.files import script_log, write_csv

HOME = Path(__file__).parents[2]


def main(snakemake):
    with script_log(snakemake.log[0]):
        params, degradation = snakemake.params, snakemake.params.kind
        rows = []
        sources = read_sources(find_table(params.table, HOME))
        for name in params.sets:
            found = _rows(name, degradation, Path(params.downloads))
            if params.check_counts:
                prefix = f"{degradation}_" if name in ("nafp_mini", "nmfp_archive") else ""
                sets.check_counts(found, expected_of(sources, name), name, prefix, degradation != "noise")
            rows += found
        write_csv(snakemake.output.files, sets.table(rows))


def _rows(name: str, degradation: str, downloads: Path) -> list[ListedFile]:
    folder = set_folder(downloads, name)
    if name == "nmfp_archive":
        return archive.list_degradations(folder, degradation)
    if name == "nafp_mini":
        return sets.nafp(folder, "bg" if degradation == "noise" else "ir")
    if name == "aachen_air":
        return sets.aachen(folder, downloads / "aachen_air_wav")
    if name.startswith("tut_"):
        return sets.tut(folder, name, "train" if name == "tut_development" else "test")
    return {"mit_survey": sets.mit, "openair": sets.openair, "microphones": sets.microphones}[name](folder)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
