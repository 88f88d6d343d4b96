"""Train one fingerprinter (rule train)."""

from pathlib import Path

from nmfp.files import script_log, sole_writer
from nmfp.model.devices import claim, requested


def main(snakemake):
    """Train by `snakemake.params.model` on the packed audio of `snakemake.input`; write the model folder."""
    with (
        script_log(snakemake.log[0]),
        sole_writer(snakemake.params.work),
        claim(requested(snakemake)),
    ):
        # Keras is slow to import and its absence should be in the log
        from nmfp.model import openvino_graph
        from nmfp.training import data, run

        params, inputs = snakemake.params, snakemake.input
        read = [
            inputs.audio,
            inputs.chunks,
            inputs.validation,
            inputs.validation_chunks,
            *inputs.degradations,
        ]
        key = run.run_key(params.model, data.data_digest(*read), params.seed, params.version)
        graph = run.train(
            params.model,
            data.open_chunks(inputs.audio, inputs.chunks),
            data.open_chunks(inputs.validation, inputs.validation_chunks),
            params.degradations,
            Path(params.work) / key,
            Path(snakemake.output.info).parent,
            params.seed,
            snakemake.threads,
        )
        openvino_graph.export(graph, Path(snakemake.output.info).parent)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
