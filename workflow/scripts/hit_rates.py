"""Count hits in analysis.csv, with intervals from resampled recordings."""

from nmfp.evaluation.hit_rates import format_table, hit_rates, read_analysis
from nmfp.files import script_log, write_csv


def main(snakemake):
    """Contract: rules/evaluate.smk."""
    with script_log(snakemake.log[0]):
        wildcards = snakemake.wildcards
        table = hit_rates(
            read_analysis(snakemake.input.analysis), snakemake.params.seed, snakemake.params.resamples
        )
        for name, value in reversed(
            {"model": wildcards.model, "index": wildcards.index, "queries": wildcards.corpus}.items()
        ):
            table.insert(0, name, value)
        write_csv(snakemake.output.table, table)
        print(format_table(table))


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
