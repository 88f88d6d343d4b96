"""All results in one folder: tables, figures, and the misses to listen to."""

from pathlib import Path

import numpy as np
import pandas as pd
from nmfp.audio.wav import read_wav
from nmfp.evaluation import recall
from nmfp.evaluation.breakdowns import accuracy, breakdowns, decay_times, describe_queries
from nmfp.evaluation.calibration import tradeoff
from nmfp.evaluation.hit_rates import COLUMNS, hits, read_analysis, seconds_of
from nmfp.files import read_csv, read_json, script_log, write_csv, write_text
from nmfp.report import pages, plots, plots_detail
from nmfp.report.versions import versions
from nmfp.search.growth import GROWTH_COLUMNS, growth
from nmfp.segments import HOP_SAMPLES, SAMPLE_RATE, SEGMENT_SAMPLES, seconds_to_samples

CONTEXT_SECONDS = 3
WORST = 20
RUN = ["model", "index", "queries"]


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
    first, samples = int(answer["seq_start_idx"]) * HOP_SAMPLES, sequence_samples(answer)
    query = read_wav(answer["query_audio_path"], first, first + samples)
    place = int(answer["pred_start_segment"]) * HOP_SAMPLES
    context = seconds_to_samples(CONTEXT_SECONDS)
    before = min(place, context)
    track = read_wav(answer["pred_track_path"], place - before, place + samples + context)
    return plots.match_figure(
        query,
        track,
        (place - before) / SAMPLE_RATE,
        place / SAMPLE_RATE,
        float(answer["true_start_seconds"]),
        f"{Path(answer['pred_track_path']).stem}, score {answer['score']:.2f}",
    )


def sequence_samples(answer: pd.Series) -> int:
    """Samples that a sequence's segments cover."""
    return SEGMENT_SAMPLES + (int(answer["seq_len"]) - 1) * HOP_SAMPLES


def worst_misses(analysis: pd.DataFrame) -> pd.DataFrame:
    """At most twenty answers that name a wrong track: longest first, then highest score; one a query."""
    wrong = analysis[(analysis["gt_track_path"] != "") & (analysis["pred_track_path"] != "")]
    wrong = wrong[~hits(wrong)["track"]]
    wrong = wrong.sort_values(["seq_len", "score", "query_id"], ascending=[False, False, True], kind="stable")
    return wrong.drop_duplicates("query_id").head(WORST)


def describe_miss(answer: pd.Series) -> dict:
    """What misses_page shows of one wrong answer."""
    samples = sequence_samples(answer)
    first = int(answer["seq_start_idx"]) * HOP_SAMPLES
    sounds = [
        ("the query", answer["query_id"], read_wav(answer["query_audio_path"], first, first + samples)),
        ("the true place", "", None),
        ("the answer", "", None),
    ]
    if pd.notna(answer["true_start_seconds"]):
        start = seconds_to_samples(answer["true_start_seconds"])
        name = f"at {answer['true_start_seconds']:.2f}\u00a0s in {answer['gt_track_path']}"
        sounds[1] = ("the true place", name, read_wav(answer["gt_track_path"], start, start + samples))
    start = int(answer["pred_start_segment"]) * HOP_SAMPLES
    name = f"at {answer['pred_start_seconds']:.1f}\u00a0s in {answer['pred_track_path']}"
    sounds[2] = ("the answer", name, read_wav(answer["pred_track_path"], start, start + samples))
    rank = "not among the candidates"
    if pd.notna(answer["true_track_rank"]):
        rank = f"ranked {int(answer['true_track_rank'])}"
    return {
        "heading": f"{seconds_of(int(answer['seq_len'])):g} s of {answer['query_id']}",
        "detail": f"score {answer['score']:.3f}; the right track was {rank}",
        "sounds": sounds,
    }


def models_table(models: dict[str, dict], origins: dict[str, dict]) -> pd.DataFrame:
    """What the networks are: model, weights (trained here or imported), from, loss, epochs.

    Args:
        models: resolved configurations by name.
        origins: origin.json of those that were imported.
    """
    rows = []
    for name, model in models.items():
        if name in origins:
            source = origins[name]["imported"]
            entry = f"{model['entry']}: " if model["entry"] else ""
            rows.append((name, "imported", f"{entry}{source}", "", ""))
        else:
            rows.append((name, "trained here", "", model["loss"]["name"], model["epochs"]))
    return pd.DataFrame(rows, columns=["model", "weights", "from", "loss", "epochs"])


def tables(
    models, crossed, asked_with, hit_rates, accuracies, divided, calibrations, indexes, recalls, validations
) -> list[pages.Section]:
    """The sections of tables.html."""
    names = {
        "track": "right track",
        "near": "right within 0.5 s",
        "exact": "exactly the right row",
        "far": "right track, more than 0.5 s off",
    }
    sections = [
        pages.Section(
            "Models",
            "The networks of this experiment: trained here, or imported with weights that existed already.",
            models,
            ["model", "weights", "from", "loss"],
        )
    ]
    if len(asked_with) > 1:
        told = ", ".join(f"{query_set} with {name}" for query_set, name in asked_with.items())
        sections.append(
            pages.Section(
                "Models by query sets",
                "Hit rates in [0, 1] of every model (trained on this set of degradations) on every query set. All sets "
                f"are cut at the same places of the same tracks and made bad in another way: {told}.",
                crossed,
                ["model", "trained_on", "index", "criterion"],
            )
        )
    sections += [
        pages.Section(
            f"Models side by side: {names[criterion]}",
            "Hit rate in % by query length, with its 95 % interval.",
            pages.side_by_side(hit_rates, criterion),
            RUN,
        )
        for criterion in ("track", "near", "exact", "far")
        if (hit_rates["criterion"] == criterion).any()
    ]
    sections += [
        pages.Section(
            "How far down, how far off",
            "top_k: share of sequences whose track is among the k best. Time errors are of answers that name "
            "the right track, in seconds; queries begin between rows, so a perfect answer is off by up to "
            "0.25 s.",
            accuracies,
            RUN,
        ),
        pages.Section(
            "Validation while training",
            "Share of degraded segments of one second, of tracks that the network never learns from, whose nearest "
            "clean fingerprint is the right one (exact), lies within 0.5 s of it (near), or is of the right track.",
            validations,
            ["model"],
        ),
        pages.Section(
            "Indexes against exact search",
            "Shares of query segments for which the index names the row that exact search finds nearest: first "
            "(recall_1), or among its first ten answers (recall_10); its size, and the speed of the search alone. "
            "Places are scored on the uncompressed fingerprints afterwards, so hit rates suffer less than recall. "
            "every 2: the index holds one row a second, so half of the nearest rows are not in it.",
            recalls,
            ["model", "index", "factory", "device"],
        ),
        pages.Section(
            "Not in the database",
            "Thresholds from one half of the unknown queries, rates measured on the other half; the upper "
            "bound holds with 95 % confidence. A rate that too few unknown recordings can support has a "
            "reason and no threshold.",
            calibrations,
            [*RUN, "statistic", "reason"],
        ),
        pages.Section(
            "Indexes and the growth of the database",
            "The fingerprints in the database when the index's quantisers were trained, and now. New tracks are "
            "added to the index without training it again; from four times the size on, training is advised.",
            indexes,
            ["model", "index", "factory", "advice"],
        ),
        pages.Section(
            "By circumstance",
            "Track hit rate of the queries by noise, room, microphone and place in the track.",
            divided.drop(columns="order"),
            [*RUN, "by", "group"],
        ),
        pages.Section(
            "All hit rates", "One row a run, criterion and query length.", hit_rates, [*RUN, "criterion"]
        ),
        pages.Section(
            "Made with",
            "Versions on the machine that wrote this report; stages that ran earlier or elsewhere may have had others.",
            versions(),
            ["component", "version"],
        ),
    ]
    return sections


def validation_table(histories: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The validated epochs of all models: model, epoch, loss, exact, near, track."""
    criteria = ["exact", "near", "track"]
    columns = ["epoch", "loss", *(f"validation_{name}" for name in criteria)]
    if not histories:
        return pd.DataFrame(columns=["model", "epoch", "loss", *criteria])
    named = [history.reindex(columns=columns).assign(model=model) for model, history in histories.items()]
    table = pd.concat(named, ignore_index=True).dropna(subset=columns[2:])
    return table.rename(columns=dict(zip(columns[2:], criteria, strict=True)))[
        ["model", "epoch", "loss", *criteria]
    ]


def by_run(runs: pd.DataFrame, parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Tables of all runs, one after another, with the names of the runs in front."""
    named = []
    for run, part in zip(runs.itertuples(index=False), parts, strict=True):
        named.append(
            pd.concat([pd.DataFrame([run] * len(part), columns=RUN, index=part.index), part], axis=1)
        )
    return pd.concat(named, ignore_index=True)


def index_growth(inputs) -> pd.DataFrame:
    """How far the database has outgrown each index that was searched."""
    rows = {Path(path).parents[1].name: read_json(path)["rows"] for path in inputs.databases}
    grown = [growth(path, rows[Path(path).parents[1].name]) for path in inputs.indexes]
    return pd.DataFrame(grown, columns=GROWTH_COLUMNS)


def query_groups(provenance: str, room: str | None, samples: dict[str, int]) -> pd.DataFrame:
    """Circumstances of every query of a set.

    Args:
        provenance: its provenance.csv.
        room: its packed rooms without suffix; None where it has none.
        samples: length of tracks by id.
    """
    provenance = read_csv(
        provenance, ["id", "track_id"], text=("id", "track_id", "noise_id", "room_id", "microphone_id")
    )
    decays = {}
    if room is not None:
        table = read_csv(f"{room}.csv", ["id", "start_sample", "samples"])
        decays = decay_times(np.load(f"{room}.npy", mmap_mode="r"), table)
    return describe_queries(provenance, decays, samples)


def cross_table(hit_rates: pd.DataFrame, trained_on: dict[str, str]) -> pd.DataFrame:
    """Models by query sets: model, trained_on, index, criterion, query_seconds, and hit rates in a column a corpus.

    Args:
        hit_rates: hit_rates.csv of all runs.
        trained_on: set of degradations by model; imported models are not in it.
    """
    keys = ["model", "index", "criterion", "query_seconds"]
    wide = hit_rates.pivot_table(index=keys, columns="queries", values="hit_rate", sort=False)
    wide = wide[list(dict.fromkeys(hit_rates["queries"]))].reset_index().rename_axis(columns=None)
    wide.insert(1, "trained_on", wide["model"].map(trained_on).fillna(""))
    return wide


def main(snakemake):
    """Contract: rules/report.smk."""
    with script_log(snakemake.log[0]):
        inputs, outputs, params = snakemake.input, snakemake.output, snakemake.params
        text = ("model", "index", "queries", "criterion")
        hit_rates = pd.concat(
            [read_csv(path, COLUMNS, text=text) for path in inputs.hit_rates], ignore_index=True
        )
        write_csv(outputs.hit_rates, hit_rates)
        crossed = cross_table(hit_rates, params.trained_on)
        write_csv(outputs.cross_table, crossed)
        plots.save(plots.hit_rates_figure(hit_rates), outputs.hit_rates_figure)

        histories = {Path(p).parent.name: read_csv(p, ["epoch", "loss"], text=()) for p in inputs.histories}
        histories = {
            model: history.apply(pd.to_numeric, errors="coerce") for model, history in histories.items()
        }
        plots.save(plots.training_figure(histories), outputs.training)

        origins = {Path(path).parent.name: read_json(path) for path in inputs.origins}
        models = models_table(params.models, origins)
        write_csv(outputs.models, models)

        runs = pd.DataFrame([run.split("/") for run in params.runs], columns=RUN)
        labels = plots.run_labels(runs)
        analyses = [read_analysis(path) for path in inputs.analyses]
        known = dict(zip(labels, analyses, strict=True))
        # music that is in no database is asked for as the first query set is, and as no further one
        query_set = runs["queries"].str.split("_").str[0]
        first_set = [label for label, name in zip(labels, query_set, strict=True) if name == "queries"]
        unknown = dict(zip(first_set, (read_analysis(path) for path in inputs.unknown), strict=True))
        plots.save(plots.scores_figure({k: known[k] for k in first_set}, unknown), outputs.scores)
        plots.save(match_figure(analyses), outputs.match)

        calibrations = {Path(path).parents[1].name: read_json(path) for path in inputs.calibrations}
        tested = runs["queries"] == next(iter(calibrations.values()))["queries"]
        operating = {
            label: pd.DataFrame(calibrations[run.model]["indexes"][run.index])
            for label, run in zip(np.array(labels)[tested], runs[tested].itertuples(), strict=True)
        }
        curves = {}
        for label, table in operating.items():
            chosen = (
                table[table["chosen"]]
                .drop_duplicates("query_segments")
                .set_index("query_segments")["statistic"]
            )
            curves[label] = tradeoff(known[label], unknown[label], chosen.to_dict(), params.seed)
        plots.save(plots_detail.det_figure(curves, operating), outputs.det)

        tracks = read_csv(inputs.tracks, ["id", "samples"])
        samples = dict(zip(tracks["id"], tracks["samples"], strict=True))
        groups = {
            (name := Path(path).parent.name): query_groups(path, params.rooms.get(name), samples)
            for path in inputs.provenances
        }
        parts = [
            breakdowns(analysis, groups[name], params.seed, params.resamples)
            for analysis, name in zip(analyses, query_set, strict=True)
        ]
        divided = by_run(runs, parts)
        write_csv(outputs.breakdowns, divided)
        first = (divided[RUN] == runs.iloc[0].tolist()).all(axis=1)
        plots.save(plots_detail.breakdowns_figure(divided[first], labels[0]), outputs.breakdowns_figure)

        accuracies = by_run(runs, [accuracy(analysis) for analysis in analyses])
        write_csv(outputs.accuracy, accuracies)
        indexes = index_growth(inputs)
        write_csv(outputs.indexes, indexes)
        recalls = pd.concat(
            [
                read_csv(p, recall.COLUMNS, text=("model", "index", "factory", "device"))
                for p in inputs.recalls
            ],
            ignore_index=True,
        )
        write_csv(outputs.recall, recalls)
        plots.save(plots_detail.recall_figure(recalls), outputs.recall_figure)
        calibrated = by_run(runs[tested], list(operating.values()))
        validations = validation_table(histories)
        sections = tables(
            models,
            crossed,
            params.asked_with,
            hit_rates,
            accuracies,
            divided,
            calibrated,
            indexes,
            recalls,
            validations,
        )
        write_text(outputs.tables, pages.tables_page(sections))
        misses = [describe_miss(answer) for _, answer in worst_misses(analyses[0]).iterrows()]
        write_text(outputs.misses, pages.misses_page(misses))


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
