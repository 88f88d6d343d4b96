"""Split the recordings of a degradation and pack each side into one memmap (rule pack_degradations)."""

from nmfp.datasets.chunks import pack_recordings
from nmfp.datasets.splits import split_degradations
from nmfp.files import read_csv, script_log


def main(snakemake):
    with script_log(snakemake.log[0]):
        tracks = read_csv(snakemake.input.tracks, ["id", "path", "role", "samples", "status"])
        recordings = tracks[tracks["status"] == "ok"].reset_index(drop=True)
        params, output = snakemake.params, snakemake.output
        collection = snakemake.wildcards.degradation
        roles = split_degradations(recordings, params.test_share, params.seed, collection)
        pack_recordings(recordings[roles == "train"], output.train_audio, output.train_table)
        pack_recordings(recordings[roles == "test"], output.test_audio, output.test_table)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
