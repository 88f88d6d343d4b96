"""Figures and pages: deterministic bytes, right content, nothing loaded from elsewhere."""

import re

import numpy as np
import pandas as pd
import pytest
import report
from nmfp.evaluation.hit_rates import COLUMNS
from nmfp.evaluation.recall import COLUMNS as RECALL_COLUMNS
from nmfp.report import pages, plots, plots_detail


def hit_rate_table(models=("a", "b")):
    rows = [
        (m, "flat", "queries_degraded", c, s, 8, 10, 0.8, 0.6, 0.9)
        for m in models
        for c in ("track", "exact", "near")
        for s in (1, 2, 10)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def analysis(rng, known=True, lengths=(1, 19), n=30):
    rows = []
    for length in lengths:
        track = rng.integers(0, 5, n).astype(str)
        answer = np.where(rng.random(n) < 0.7, track, "9")
        rows.append(
            pd.DataFrame(
                {
                    "query_id": [f"q{i}" for i in range(n)],
                    "seq_len": length,
                    "gt_track_path": track if known else "",
                    "pred_track_path": answer,
                    "query_start_segment": 0,
                    "pred_start_segment": 0,
                    "score": rng.uniform(0.2, 1, n),
                    "runner_up_score": 0.1,
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def recall_table(models=("a", "b")):
    rows = [
        (model, name, "Flat", "", 1, 100, size, 60, share, 1.0, speed, 2, "CPU")
        for model in models
        for name, size, share, speed in (("flat", 512.0, 1.0, 20_000), ("ivfpq", 85.5, 0.9, 8_000))
    ]
    return pd.DataFrame(rows, columns=RECALL_COLUMNS)


FIGURES = {
    "hit_rates": lambda rng: plots.hit_rates_figure(hit_rate_table()),
    "one_run": lambda rng: plots.hit_rates_figure(hit_rate_table(("a",)).query("criterion == 'track'")),
    "training": lambda rng: plots.training_figure(
        {
            "a": pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0], "validation_near": [np.nan, 0.5]}),
            "b": pd.DataFrame({"epoch": [1], "loss": [3.0]}),
        }
    ),
    "scores": lambda rng: plots.scores_figure({"a": analysis(rng)}, {"a": analysis(rng, False)}),
    "no_unknown": lambda rng: plots.scores_figure({"a": analysis(rng)}, {"a": analysis(rng, False)[:0]}),
    "none_outside": lambda rng: plots_detail.det_figure({"a": pd.DataFrame(columns=["query_seconds"])}, {}),
    "match": lambda rng: plots.match_figure(
        rng.integers(-9000, 9000, 16_000).astype(np.int16), np.zeros(40_000, np.int16), 1.0, 2.5, 2.4, "track"
    ),
    "recall": lambda rng: plots_detail.recall_figure(recall_table()),
    "empty": lambda rng: plots.empty_figure("nothing"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_have_the_same_bytes_each_time(tmp_path, name):
    written = []
    for i in range(2):
        path = tmp_path / f"{i}.svg"
        plots.save(FIGURES[name](np.random.default_rng(1)), path)
        written.append(path.read_bytes())
    assert written[0] == written[1]
    assert written[0].startswith(b"<?xml") and b"<dc:date>" not in written[0]


def test_labels_name_only_what_differs():
    runs = pd.DataFrame({"model": ["a", "b"], "index": "flat", "queries": "q"})
    assert plots.run_labels(runs) == ["a", "b"]
    assert plots.run_labels(runs.assign(index=["x", "y"])) == ["a · x", "b · y"]
    assert plots.run_labels(runs[:1]) == ["a"]


def test_a_tone_is_brightest_in_its_band():
    tone = (10_000 * np.sin(2 * np.pi * 1000 * np.arange(16_000) / 8000)).astype(np.int16)
    decibels, frequency = plots.spectrogram(tone)
    middle = decibels[:, decibels.shape[1] // 2]
    assert abs(frequency[middle.argmax()] - 1000) < 30 and decibels.max() == pytest.approx(0)
    assert np.isfinite(plots.spectrogram(np.zeros(8000, np.int16))[0]).all()


def test_det_and_breakdown_figures(tmp_path):
    curve = pd.DataFrame(
        {"query_seconds": 1.0, "threshold": np.arange(9), "false_accept_rate": np.linspace(1, 0, 9)}
    )
    curve["miss_rate"] = np.linspace(0, 1, 9)
    point = {"query_seconds": 1.0, "chosen": True, "measured_false_accept_rate": 0.1, "true_accept_rate": 0.8}
    refused = {
        "query_seconds": 1.0,
        "chosen": False,
        "measured_false_accept_rate": None,
        "true_accept_rate": None,
    }
    for runs in ("a", "abcd"):
        points = dict.fromkeys(runs, pd.DataFrame([point, refused]))
        figure = plots_detail.det_figure(dict.fromkeys(runs, curve), points)
        assert sum(panel.get_visible() for panel in figure.axes) == len(runs)
        assert figure.get_figwidth() < 16
        plots.save(figure, tmp_path / "det.svg")
    columns = ["by", "group", "order", "query_seconds", "hits", "sequences", "hit_rate", "ci_low", "ci_high"]
    table = pd.DataFrame(
        [("snr", "0 to 2 dB", 0, s, 1, 2, 0.5, 0.1, 0.9) for s in (1, 10)]
        + [
            ("microphone", f"a/very/long/name of a microphone {i}.wav", i, 10, 1, 2, 0.5, 0.1, 0.9)
            for i in range(14)
        ],
        columns=columns,
    )
    plots.save(plots_detail.breakdowns_figure(table, "a"), tmp_path / "breakdowns.svg")
    plots.save(plots_detail.breakdowns_figure(table[:0], "a"), tmp_path / "none.svg")
    assert all((tmp_path / name).stat().st_size > 2000 for name in ("det.svg", "breakdowns.svg", "none.svg"))


def test_models_side_by_side():
    table = pages.side_by_side(hit_rate_table(), "near")
    assert table.columns.tolist() == ["model", "index", "queries", "1 s", "2 s", "10 s"]
    assert table["model"].tolist() == ["a", "b"]
    assert table["10 s"][0] == ("80.0 (60.0–90.0)", 0.8)


def assert_self_contained(page):
    assert not re.search(r"(src|href)=\"(?!data:|#)", page) and "http" not in page and "@import" not in page


def test_tables_page_escapes_and_sorts_by_value():
    table = pd.DataFrame({"name": ["<b>&"], "rate": [0.123456789], "none": [np.nan]})
    page = pages.tables_page(
        [
            pages.Section("Heading <1>", "why & how", table, ["name"]),
            pages.Section("Empty", "", table[:0], []),
        ]
    )
    assert "&lt;b&gt;&amp;" in page and "<b>&" not in page and "Heading &lt;1&gt;" in page
    assert 'data-value="0.123456789">0.1235</td>' in page
    assert "Nothing to show." in page
    assert_self_contained(page)


def test_columns_without_news_are_told_once_and_points_stand_one_under_another():
    table = pd.DataFrame({"model": "m1", "index": ["a", "b"], "rate": [0.5, 0.25], "size": [512.14, 1.0]})
    page = pages.tables_page([pages.Section("Rates", "", table, ["model", "index"])])
    assert "In all rows: model m1." in page and ">model</th>" not in page and ">index</th>" in page
    for shown in (">0.50<", ">0.25<", ">512.1<", ">1.0<"):
        assert shown in page
    assert 'href="#0"' in page and 'id="0"' in page


def test_labels_of_indexes_name_the_model_where_there_are_several():
    for models, labels in ((("a",), ["flat", "ivfpq"]), (("a", "b"), ["a · flat", "a · ivfpq"])):
        figure = plots_detail.recall_figure(recall_table(models))
        assert [t.get_text() for t in figure.axes[0].get_yticklabels()][:2] == labels


def test_misses_page_carries_its_sound():
    sound = (12_000 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 8000)).astype(np.int16)
    miss = {
        "heading": "1 s of <q>",
        "detail": "score 0.9",
        "sounds": [("the query", "q", sound), ("x", "y", None)],
    }
    page = pages.misses_page([miss])
    assert "1. 1 s of &lt;q&gt;" in page and "nothing to hear" in page
    assert_self_contained(page)
    import base64
    import io

    import soundfile

    data = base64.b64decode(re.search(r"base64,([^\"]+)", page).group(1))
    played, rate = soundfile.read(io.BytesIO(data))
    assert rate == 8000 and len(played) == pytest.approx(len(sound), abs=2500)
    assert np.abs(np.fft.rfft(played)).argmax() * rate / len(played) == pytest.approx(440, abs=2)
    assert page == pages.misses_page([miss])
    assert "every sequence of every query was answered" in pages.misses_page([])


def test_validation_table_has_the_validated_epochs_of_every_model():
    rates = {
        f"validation_{name}": [np.nan, rate] for name, rate in (("exact", 0.5), ("near", 0.6), ("track", 0.8))
    }
    validated = pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0], "seconds": [3.0, 3.0], **rates})
    table = report.validation_table({"a": validated, "b": validated[["epoch", "loss"]], "c": validated})
    assert table.to_numpy().tolist() == [["a", 2, 1.0, 0.5, 0.6, 0.8], ["c", 2, 1.0, 0.5, 0.6, 0.8]]
    assert table.columns.tolist() == ["model", "epoch", "loss", "exact", "near", "track"]
