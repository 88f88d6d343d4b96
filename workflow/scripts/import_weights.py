"""Turn published weights (a TensorFlow object checkpoint) into a model folder."""

from pathlib import Path

from nmfp.files import script_log


def find_checkpoint(folder: Path) -> Path:
    """The folder at or below `folder` that holds a checkpoint and its config.yaml."""
    found = (p.parent for p in sorted(folder.rglob("config.yaml")) if any(p.parent.glob("ckpt-*.index")))
    return next(found, folder)


def main(snakemake):
    """Import the checkpoint in `snakemake.params.checkpoint` into the folder of `snakemake.output.info`."""
    with script_log(snakemake.log[0]):
        from nmfp import fingerprinter, openvino_graph
        from nmfp.training.published import import_checkpoint

        out = Path(snakemake.output.info).parent
        import_checkpoint(find_checkpoint(Path(snakemake.params.checkpoint)), out)
        openvino_graph.export(fingerprinter.load_fingerprinter(out).graph, out)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
