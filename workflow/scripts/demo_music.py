"""Compose and render the embedded band's music (rule demo_music)."""

from nmfp.demo.corpus import build, music_items
from nmfp.files import script_log, write_csv


def main(snakemake) -> None:
    with script_log(snakemake.log[0]):
        params = snakemake.params
        items = music_items(params.seed, params.demo)
        tables = build(items, params.folder, params.version, snakemake.threads, "composing and rendering")
        write_csv(snakemake.output.files, tables["music"])


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
