"""Shape noises, simulate rooms and design microphones for the embedded corpus (rule demo_degradations)."""

from nmfp.demo.corpus import build, degradation_items
from nmfp.files import script_log, write_csv


def main(snakemake) -> None:
    with script_log(snakemake.log[0]):
        params = snakemake.params
        items = degradation_items(params.seed, params.demo)
        tables = build(items, params.folder, params.version, snakemake.threads, "noises, rooms, microphones")
        for collection, table in tables.items():
            write_csv(snakemake.output[collection], table)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
