"""All hit rates in one table, and the figures of the report."""

from pathlib import Path

import pandas as pd
from nmfp import plots
from nmfp.audio import read_wav
from nmfp.files import read_csv, script_log, write_csv
from nmfp.hit_rates import COLUMNS, hits, read_analysis
from nmfp.segments import HOP_SAMPLES, SAMPLE_RATE, SEGMENT_SAMPLES, seconds_to_samples

CONTEXT_SECONDS = 3


def typical_answer(analyses: list[pd.DataFrame]) -> pd.Series | None:
    """The right answer of median score among the longest sequences of the first run that has any."""
    for analysis in analyses:
        right = analysis[hits(analysis)["near"] & (analysis["seq_len"] == analysis["seq_len"].max())]
        if len(right):
            return right.sort_values(["score", "query_id"], kind="stable").iloc[len(right) // 2]
    return None


def match_figure(analyses: list[pd.DataFrame]):
    """Spectrograms of a typical right answer and of its place in the track."""
    answer = typical_answer(analyses)
    if answer is None:
        return plots.empty_figure("No query was found within 0.5 s of its place: there is no match to show.")
    first = int(answer["seq_start_idx"]) * HOP_SAMPLES
    samples = SEGMENT_SAMPLES + (int(answer["seq_len"]) - 1) * HOP_SAMPLES
    query = read_wav(answer["query_audio_path"], first, first + samples)
    place = int(answer["pred_start_segment"]) * HOP_SAMPLES
    before = min(place, seconds_to_samples(CONTEXT_SECONDS))
    track = read_wav(
        answer["pred_track_path"], place - before, place + samples + seconds_to_samples(CONTEXT_SECONDS)
    )
    return plots.match_figure(
        query,
        track,
        (place - before) / SAMPLE_RATE,
        place / SAMPLE_RATE,
        float(answer["true_start_seconds"]),
        f"{Path(answer['pred_track_path']).stem}, score {answer['score']:.2f}",
    )


def main(snakemake):
    """Contract: rules/report.smk."""
    with script_log(snakemake.log[0]):
        paths, outputs = snakemake.input, snakemake.output
        text = ("model", "index", "queries", "criterion")
        table = pd.concat([read_csv(path, COLUMNS, text=text) for path in paths.hit_rates], ignore_index=True)
        write_csv(outputs.hit_rates, table)
        plots.save(plots.hit_rates_figure(table), outputs.hit_rates_figure)

        histories = {Path(p).parent.name: read_csv(p, ["epoch", "loss"], text=()) for p in paths.histories}
        histories = {
            model: history.apply(pd.to_numeric, errors="coerce") for model, history in histories.items()
        }
        plots.save(plots.training_figure(histories), outputs.training)

        runs = pd.DataFrame(
            [run.split("/") for run in snakemake.params.runs], columns=["model", "index", "queries"]
        )
        labels = plots.run_labels(runs)
        analyses = [read_analysis(path) for path in paths.analyses]
        unknown = [read_analysis(path) for path in paths.unknown]
        plots.save(
            plots.scores_figure(
                dict(zip(labels, analyses, strict=True)), dict(zip(labels, unknown, strict=True))
            ),
            outputs.scores,
        )
        plots.save(match_figure(analyses), outputs.match)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
