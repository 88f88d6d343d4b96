"""Thresholds for "not in the database", stored with the database."""

import logging
from pathlib import Path

import numpy as np
from nmfp.evaluation.calibration import CONFIDENCE, calibrate
from nmfp.evaluation.hit_rates import read_analysis
from nmfp.files import read_json, script_log, write_json

log = logging.getLogger("nmfp")


def main(snakemake):
    """Contract: rules/evaluate.smk."""
    with script_log(snakemake.log[0]):
        inputs, params = snakemake.input, snakemake.params
        database = read_json(inputs.database_info)
        indexes = {}
        for name, known, unknown in zip(params.indexes, inputs.known, inputs.unknown, strict=True):
            table = calibrate(read_analysis(known), read_analysis(unknown), params.rates, params.seed)
            for sentence in dict.fromkeys(table["reason"][~table["supported"]]):
                log.warning("%s: %s", name, sentence)
            # NaN is no JSON: what is not known is null
            indexes[name] = table.astype(object).where(table.notna(), None).to_dict("records")
        write_json(
            Path(snakemake.output.calibration),
            {
                "model_digest": database["model_digest"],
                "database_sha256": database["sha256"],
                "queries": params.queries,
                "confidence": CONFIDENCE,
                "indexes": _plain(indexes),
            },
        )


def _plain(value):
    """NumPy's numbers as Python's."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
