"""How probable it is that an answer is right: a logistic model of its evidence, learnt once for each network.

The model is a handful of numbers in decision.json in the network's folder. It is learnt from queries whose truth is
known, over parts of a database of several sizes (`learn`), and copied with the network into every database, so that a
new database decides at once. A false-accept rate chooses the probability from which on an answer is accepted: the
one that so few answers to unknown music reached.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nmfp.errors import NmfpError
from nmfp.files import read_json
from nmfp.search.evidence import Evidence

NAME = "decision.json"
MEASURES = ("lead", "share")
# Query lengths in segments at which thresholds are learnt: 1, 2, 3, 5 and 10 s
LENGTHS = (1, 3, 5, 9, 19)
# False-accept rates whose thresholds are stored; those between are interpolated
RATES = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
# Of the logistic regression on standardised inputs
PENALTY = 1.0


class Confidence(NamedTuple):
    """A learnt model.

    Attributes:
        coefficients: (inputs,) float64 of `inputs`, and the intercept.
        sizes: fewest and most tracks that were learnt from.
        thresholds: by length in segments, a log odds for each rate; rates without enough excerpts are absent.
        unknown_recordings, unknown_excerpts: behind the thresholds.
    """

    coefficients: np.ndarray
    intercept: float
    sizes: tuple[int, int]
    thresholds: dict[int, list[float]]
    rates: list[float]
    unknown_recordings: int
    unknown_excerpts: int

    def log_odds(self, evidence: Evidence, tracks: int) -> float | None:
        """Log odds that an answer is right; None where there is nothing to compare it with."""
        values = inputs([evidence], np.clip([tracks], *self.sizes))[0]
        return float(values @ self.coefficients + self.intercept) if np.isfinite(values).all() else None

    def threshold(self, segments: int, rate: float) -> float | None:
        """Log odds from which on answers are accepted, at the longest learnt length that the query reaches."""
        fitting = [n for n in self.thresholds if n <= segments]
        if not fitting:
            return None
        values = self.thresholds[max(fitting)]
        return float(np.interp(np.log(rate), np.log(self.rates[::-1]), values[::-1]))


def inputs(evidence: Sequence[Evidence], tracks: Sequence[int]) -> np.ndarray:
    """What the regression sees: (n, 2 * measures + 2) float64.

    Measures, the same times the log of the number of segments (long queries vary less), that log, and the log of the
    number of tracks (a larger crowd holds closer rivals).
    """
    measures = np.array([[getattr(e, name) for name in MEASURES] for e in evidence], np.float64)
    measures = measures.reshape(-1, len(MEASURES))
    # beyond the lengths that were learnt from, longer queries count as the longest
    segments = np.log(np.clip([e.segments for e in evidence], 1, LENGTHS[-1]))[:, None]
    size = np.log(np.maximum(np.asarray(tracks, np.float64), 1))[:, None]
    return np.hstack([measures, measures * segments, segments, size])


def learn(
    evidence: Sequence[Evidence],
    tracks: Sequence[int],
    right: np.ndarray,
    unknown: np.ndarray,
    lengths: np.ndarray,
    recordings: np.ndarray,
) -> Confidence:
    """Fit a model.

    Args:
        evidence: of the best answer to each query.
        tracks: of the database that each was asked.
        right: (n,) bool: whether the answer is right.
        unknown: (n,) bool: whether the query's track was in no database; those choose the thresholds.
        lengths: (n,) int: one of LENGTHS each.
        recordings: (n,) which recording each query was cut from.

    Raises:
        NmfpError: right or wrong answers are missing, or no unknown query.
    """
    from sklearn.linear_model import LogisticRegression

    values = inputs(evidence, tracks)
    known = np.isfinite(values).all(axis=1)
    right, unknown, lengths, recordings = (
        np.asarray(a)[known] for a in (right, unknown, lengths, recordings)
    )
    values = values[known]
    if len(np.unique(right)) < 2 or not unknown.any():
        raise NmfpError(
            "a decision is learnt from right answers, wrong ones and unknown queries, and one kind is missing; give more "
            "queries of known and of unknown tracks (queries.count, queries.unknown_count)."
        )
    tracks = np.asarray(tracks)[known]
    mean, scale = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-9)
    # a query is as likely to be known as not, whatever the size: how many were known here is no property of the network
    weights = np.empty(len(values))
    for size in np.unique(tracks):
        for kind in (unknown, ~unknown):
            group = kind & (tracks == size)
            weights[group] = 1 / max(group.sum(), 1)
    weights /= weights.mean()
    fitted = LogisticRegression(C=PENALTY, max_iter=2000).fit((values - mean) / scale, right, weights)
    coefficients = fitted.coef_[0] / scale
    intercept = float(fitted.intercept_[0] - mean @ coefficients)
    odds = values @ coefficients + intercept
    thresholds, excerpts = {}, []
    for length in LENGTHS:
        of_unknown = odds[unknown & (lengths == length)]
        if len(of_unknown):
            excerpts.append(len(of_unknown))
            thresholds[length] = of_unknown
    rates = [rate for rate in RATES if rate * min(excerpts) >= 1]
    if not rates:
        raise NmfpError("so few unknown queries support no false-accept rate; raise queries.unknown_count.")
    thresholds = {
        length: [float(np.quantile(of_unknown, 1 - rate, method="higher")) for rate in rates]
        for length, of_unknown in thresholds.items()
    }
    return Confidence(
        coefficients,
        intercept,
        (int(tracks.min()), int(tracks.max())),
        thresholds,
        rates,
        int(len(np.unique(recordings[unknown]))),
        int(min(excerpts)),
    )


def probability(log_odds: float | np.ndarray) -> float | np.ndarray:
    """Log odds as a probability."""
    return 1 / (1 + np.exp(-np.clip(log_odds, -500, 500)))


def to_json(model: Confidence, digest: str) -> dict:
    """What decision.json holds of a model, for the network with this digest."""
    size = len(MEASURES)
    names = [*MEASURES, *(f"{name} * log segments" for name in MEASURES), "log segments", "log tracks"]
    assert len(names) == 2 * size + 2
    return {
        "model_digest": digest,
        "coefficients": dict(zip(names, model.coefficients.tolist(), strict=True)),
        "intercept": model.intercept,
        "tracks": list(model.sizes),
        "false_accept_rates": model.rates,
        "thresholds": {str(n): values for n, values in model.thresholds.items()},
        "unknown_recordings": model.unknown_recordings,
        "unknown_excerpts": model.unknown_excerpts,
    }


def nothing_learnt(reason: str, digest: str) -> dict:
    """What decision.json holds where there was too little to learn from."""
    return {"model_digest": digest, "reason": reason}


def read_confidence(path: Path, digest: str = "") -> Confidence | None:
    """Read decision.json; None where it says that nothing could be learnt.

    Raises:
        NmfpError: damaged, or for another network than the one with this digest.
    """
    content = read_json(path)
    try:
        found = str(content["model_digest"])
        if "reason" in content and "coefficients" not in content:
            return None
        rates = [float(rate) for rate in content["false_accept_rates"]]
        model = Confidence(
            np.array(list(content["coefficients"].values()), np.float64),
            float(content["intercept"]),
            tuple(int(n) for n in content["tracks"]),
            {int(n): [float(v) for v in values] for n, values in content["thresholds"].items()},
            rates,
            int(content["unknown_recordings"]),
            int(content["unknown_excerpts"]),
        )
        numbers = [*model.coefficients, model.intercept, *rates, *sum(model.thresholds.values(), [])]
        sound = model.coefficients.shape == (2 * len(MEASURES) + 2,) and np.isfinite(numbers).all()
        sound = sound and len(rates) > 0 and rates == sorted(set(rates), reverse=True)
        sound = sound and len(model.sizes) == 2 and 1 <= model.sizes[0] <= model.sizes[1]
        sound = sound and 0 < rates[-1] and rates[0] < 1
        sound = sound and all(len(values) == len(rates) for values in model.thresholds.values())
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError):
        sound = False
    if not sound:
        raise NmfpError(f"{path} is damaged; let the workflow learn it again, or delete it.")
    if digest and found != digest:
        raise NmfpError(
            f"{path} was learnt for another network ({found[:12]}) than {digest[:12]}; learn it again "
            "(`snakemake {path}`), or delete it."
        )
    return model
