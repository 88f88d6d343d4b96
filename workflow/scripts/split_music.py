"""Split the music into disjoint corpora and draw the queries (rule split_music)."""

from nmfp.datasets.splits import split_music
from nmfp.files import read_csv, script_log, write_csv
from nmfp.segments import seconds_to_samples


def main(snakemake):
    with script_log(snakemake.log[0]):
        params = snakemake.params
        tracks = read_csv(snakemake.input.tracks, ["id", "role", "samples", "status"])
        queries = params.queries
        shares = {
            role: params.shares[key]
            for role, key in (
                ("train", "training_share"),
                ("validation", "validation_share"),
                ("unknown", "unknown_share"),
            )
        }
        corpora = split_music(
            tracks[tracks["status"] == "ok"],
            shares,
            params.seed,
            seconds_to_samples(queries["seconds"]) + seconds_to_samples(queries["max_shift_seconds"]),
            queries["count"],
            queries["unknown_count"],
            params.registry,
            params.reduced_database,
        )
        for name, table in corpora.items():
            write_csv(snakemake.output[name], table)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
