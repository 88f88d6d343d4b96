"""Turn published weights (a TensorFlow object checkpoint) into a model folder."""

from pathlib import Path

from nmfp.files import script_log


def main(snakemake):
    """Import the checkpoint in `snakemake.params.checkpoint` into the folder of `snakemake.output.info`."""
    with script_log(snakemake.log[0]):
        from nmfp.model import fingerprinter, openvino_graph
        from nmfp.model.published import find_checkpoint, import_checkpoint

        out = Path(snakemake.output.info).parent
        import_checkpoint(find_checkpoint(Path(snakemake.params.checkpoint)), out)
        openvino_graph.export(fingerprinter.load_fingerprinter(out).graph, out)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
