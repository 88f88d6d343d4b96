"""Match or no match: a probability that the answer is right, and the threshold that a false-accept rate asks for.

Both come from the network's decision.json (`nmfp.search.confidence`), which lies in the folder of every model that the
workflow trained and goes with it into each database. Without one, or where the user has named recordings that are not in
the database (`nmfp database calibrate`), calibration.json beside the database decides, as follows.

Thresholds are those of `nmfp.evaluation.calibration`: unknown music is accepted at most so often, with 95 %
confidence, and what so few recordings cannot support is refused. calibration.json beside a database holds either
the rules that the workflow found with queries of its own ("indexes"), or the scores of unknown music ("background").
"""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nmfp.errors import NmfpError
from nmfp.evaluation.calibration import CONFIDENCE, accept, recordings_needed, threshold
from nmfp.files import read_json
from nmfp.model.folder import read_model
from nmfp.search import confidence
from nmfp.search.evidence import Evidence

log = logging.getLogger("nmfp")

DEFAULT_RATE = 0.01
NAME = "calibration.json"
# What calibration.json says of its source where the user named the recordings
NAMED_RECORDINGS = "recordings that are not in it"


class Verdict(NamedTuple):
    """Match, no match, or uncalibrated; the probability that the answer is right (None if not known).

    Where calibration.json decides, the share of unknown music that scores lower.
    """

    word: str
    confidence: float | None


UNCALIBRATED = Verdict("uncalibrated", None)


class Decision:
    """Judges scores where nothing is known of unknown music: every answer is given, none is vouched for."""

    def judge(
        self,
        segments: int,
        score: float,
        runner_up: float | None = None,
        evidence: Evidence | None = None,
    ) -> Verdict:
        """The verdict on an answer.

        Args:
            segments: of the query, silent ones not counted.
            score: of the best place.
            runner_up: best score in any other track; None where it is not known, which is no 0.
            evidence: how the answer stands out from the other tracks, where that is known.
        """
        return UNCALIBRATED


class ByModel(Decision):
    """Judges by what was learnt with the network, in any database of its fingerprints."""

    def __init__(self, model: confidence.Confidence, tracks: int, rate: float):
        self._model, self._tracks, self._rate = model, tracks, rate

    def judge(
        self,
        segments: int,
        score: float,
        runner_up: float | None = None,
        evidence: Evidence | None = None,
    ) -> Verdict:
        """See `Decision`; without evidence, or in a database of one track, nothing is promised."""
        if evidence is None:
            return UNCALIBRATED
        odds = self._model.log_odds(evidence, self._tracks)
        needed = self._model.threshold(evidence.segments, self._rate)
        if odds is None or needed is None:
            return UNCALIBRATED
        return Verdict("match" if odds >= needed else "no match", float(confidence.probability(odds)))


class ByBackground(Decision):
    """Judges by the scores of unknown music at the longest calibrated length that the query reaches."""

    def __init__(self, scores: dict[int, np.ndarray], recordings: int, rate: float):
        self._scores = dict(sorted(scores.items()))
        self._thresholds = {length: threshold(v, recordings, rate) for length, v in self._scores.items()}

    def judge(
        self,
        segments: int,
        score: float,
        runner_up: float | None = None,
        evidence: Evidence | None = None,
    ) -> Verdict:
        """See `Decision`."""
        fitting = [length for length in self._scores if length <= segments]
        if not fitting or self._thresholds[fitting[-1]] is None:
            return UNCALIBRATED
        values = self._scores[fitting[-1]]
        # the query itself counts as one more unknown: nothing is certain
        below = float(np.searchsorted(values, score) / (len(values) + 1))
        return Verdict("match" if score >= self._thresholds[fitting[-1]] else "no match", below)


class ByRules(Decision):
    """Judges by the rules that the workflow found with its own queries, known and unknown."""

    def __init__(self, rows: list[dict], rate: float):
        self._rows, self._rate = rows, rate
        self._rates = sorted({row["false_accept_rate"] for row in rows if row["supported"]})

    def judge(
        self,
        segments: int,
        score: float,
        runner_up: float | None = None,
        evidence: Evidence | None = None,
    ) -> Verdict:
        """See `Decision`; the confidence is that of the strictest rate at which the answer is accepted."""
        passed = [rate for rate in self._rates if self._accepted(segments, score, runner_up, rate)]
        word = self._accepted(segments, score, runner_up, self._rate)
        if word is None:
            return UNCALIBRATED
        return Verdict("match" if word else "no match", 1 - passed[0] if passed else None)

    def _accepted(self, segments: int, score: float, runner_up: float | None, rate: float) -> bool | None:
        rows = self._rows
        if runner_up is None:  # a lead cannot be taken over what is not known
            rows = [{**row, "chosen": row["supported"]} for row in rows if row["statistic"] == "score"]
        row = accept(rows, segments, rate)
        if row is None:
            return None
        lead = score - (runner_up or 0.0)
        value = {"score": score, "lead": lead, "score_and_lead": score + lead}[row["statistic"]]
        return value >= row["threshold"]


def open_decision(
    folder: Path,
    rate: float | None,
    digest: str = "",
    model: Path | None = None,
    tracks: int = 0,
    default: float = DEFAULT_RATE,
) -> Decision:
    """The decision that a database's model, or its calibration.json, supports.

    Args:
        folder: of the database's files.
        rate: share of unknown music that may be accepted; None for 1 %, or the lowest that is supported.
        digest: SHA-256 of the database, which the workflow's rules must be for.
        model: folder of the database's network.
        tracks: in the database.
        default: the rate where a model decides and none is asked for.

    Raises:
        NmfpError: the rate cannot be supported, or decision.json or calibration.json is damaged or of another network.
    """
    path = folder / NAME
    calibration = read_json(path) if path.exists() else {}
    learnt = None if model is None else model / confidence.NAME
    if learnt is not None and learnt.is_file() and not _named_by_user(calibration):
        found = confidence.read_confidence(learnt, read_model(model)["digest"])
        if found is not None:
            return ByModel(found, tracks, _learnt_rate(rate, default, found, learnt))
    if "background" in calibration:
        scores, recordings = _read_background(calibration["background"], path)
        return ByBackground(scores, recordings, _supported_rate(rate, recordings, path))
    rows = _read_rules(calibration, path) if "indexes" in calibration else []
    if rows and digest and calibration.get("database_sha256") != digest:
        log.warning("%s was made for another state of the database and is not used", path)
        rows = []
    rates = sorted({row["false_accept_rate"] for row in rows if row["supported"] and row["chosen"]})
    if not rates or (rate is not None and rate not in rates):
        if rate is not None:
            known = ", ".join(f"{r:g}" for r in rates) or "none"
            raise NmfpError(
                f"{folder} is not calibrated for a false-accept rate of {rate:g} (supported: {known}); see "
                "evaluation.false_accept_rates, or `nmfp database calibrate --help`."
            )
        log.warning("%s is not calibrated: answers are given whatever their score", folder)
        return Decision()
    return ByRules(rows, rate or (DEFAULT_RATE if DEFAULT_RATE in rates else rates[0]))


def _named_by_user(calibration: dict) -> bool:
    """Whether a database was calibrated by recordings that its user named."""
    background = calibration.get("background")
    return isinstance(background, dict) and background.get("source") == NAMED_RECORDINGS


def _learnt_rate(rate: float | None, default: float, model: confidence.Confidence, path: Path) -> float:
    low, high = model.rates[-1], model.rates[0]
    if rate is None:
        return min(max(default, low), high)
    if not low <= rate <= high:
        raise NmfpError(
            f"--false-accept-rate {rate:g} is beyond what {path} was learnt for: ask for {low:g} to {high:g}."
        )
    return rate


def _supported_rate(rate: float | None, recordings: int, path: Path) -> float:
    lowest = 1 - (1 - CONFIDENCE) ** (1 / recordings)
    if rate is None:
        if lowest > DEFAULT_RATE:
            log.info(
                "decisions at a false-accept rate of %.1f %%: %d recordings support no lower one",
                100 * lowest,
                recordings,
            )
        # a hair above, lest rounding asks for one recording more
        return max(DEFAULT_RATE, lowest * (1 + 1e-9))
    if recordings < recordings_needed(rate):
        raise NmfpError(
            f"--false-accept-rate {rate:g} needs {recordings_needed(rate)} unknown recordings, {path} knows "
            f"{recordings}; ask for {lowest + 0.0005:.3f} or more, or calibrate with more recordings "
            "(`nmfp database calibrate`)."
        )
    return rate


def _damaged(path: Path) -> NmfpError:
    return NmfpError(f"{path} is damaged; delete it, or calibrate again (`nmfp database calibrate`).")


def _read_background(background: object, path: Path) -> tuple[dict[int, np.ndarray], int]:
    """Sorted scores of unknown music by length, and the number of recordings behind them."""
    try:
        recordings = int(background["recordings"])
        scores = {int(n): np.sort(np.asarray(v, np.float64)) for n, v in background["scores"].items()}
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError):
        raise _damaged(path) from None
    if recordings < 1 or not all(v.ndim == 1 and np.isfinite(v).all() for v in scores.values()):
        raise _damaged(path)
    return {n: v for n, v in scores.items() if v.size}, recordings


def _read_rules(calibration: dict, path: Path) -> list[dict]:
    """The rows of the first index; search is exact here, and thresholds of other indexes differ by little."""
    kinds = {
        "query_segments": int,
        "statistic": str,
        "chosen": bool,
        "supported": bool,
        "false_accept_rate": int | float,
    }
    try:
        rows = next(iter(calibration["indexes"].values()), [])
        for row in rows:
            whole = all(isinstance(row[key], kind) for key, kind in kinds.items())
            if not whole or (row["supported"] and not isinstance(row["threshold"], int | float)):
                raise _damaged(path)
            if row["statistic"] not in ("score", "lead", "score_and_lead"):
                raise _damaged(path)
    except (AttributeError, KeyError, TypeError):
        raise _damaged(path) from None
    return rows
