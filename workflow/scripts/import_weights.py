"""Turn weights that exist already (published ones, or a model of ours) into a model folder."""

from pathlib import Path

from nmfp.files import script_log, write_json


def main(snakemake):
    """Import `snakemake.params.source` into the folder of `snakemake.output.info`."""
    with script_log(snakemake.log[0]):
        from nmfp.model.published import import_weights

        params = snakemake.params
        imported = import_weights(params.source, Path(snakemake.output.info).parent, params.checkpoint)
        write_json(snakemake.output.origin, {"imported": imported})


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
