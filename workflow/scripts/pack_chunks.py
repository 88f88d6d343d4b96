"""Pack 30 s training chunks into one memmap (rule pack_chunks)."""

from nmfp.datasets.chunks import pack_chunks
from nmfp.files import read_csv, script_log


def main(snakemake):
    with script_log(snakemake.log[0]):
        tracks = read_csv(snakemake.input.tracks, ["id", "path", "samples"])
        params = snakemake.params
        pack_chunks(
            tracks, snakemake.output.audio, snakemake.output.chunks, params.chunks_per_track, params.seed
        )


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
