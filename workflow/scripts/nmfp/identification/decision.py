"""Match or no match: the calibrated threshold of a database, where there is one."""

from pathlib import Path
from typing import NamedTuple

from nmfp.errors import NmfpError


class Verdict(NamedTuple):
    """match, no match, or uncalibrated; confidence is 1 - the estimated share of unknown queries that score so."""

    word: str
    confidence: float | None


class Decision:
    """Judges scores."""

    def judge(self, segments: int, score: float) -> Verdict:
        """The verdict on the best score of a query with that many sounding segments."""
        return Verdict("uncalibrated", None)


def open_decision(folder: Path, false_accept_rate: float | None) -> Decision:
    """The calibration that lies beside a database.

    Raises:
        NmfpError: a rate is asked for that the calibration cannot give, or there is none.
    """
    if false_accept_rate is not None:
        raise NmfpError(f"{folder} is not calibrated, so no false-accept rate can be promised.")
    return Decision()
