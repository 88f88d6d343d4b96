"""Everything that a run of identification opens once: database, model, calibration."""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from nmfp.identification.decision import DEFAULT_RATE, Decision, open_decision
from nmfp.identification.reference import check_model, find_model_of, open_reference

log = logging.getLogger("nmfp")


class Session:
    """A database to ask, and the engine that makes fingerprints, which is loaded meanwhile; use it with `with`.

    Attributes:
        reference: see `nmfp.identification.reference`.
        decision: what tells a match from none, see `decide_at`.
    """

    def __init__(
        self, database: str | Path, model: Path | None, engine: str = "auto", threads: int | None = None
    ):
        self.database = Path(database)
        self.reference = open_reference(database)
        if threads:
            self.reference.threads = threads
        if model is None:
            model = find_model_of(database, self.reference.digest)
        else:
            check_model(model, self.reference.digest, database)
        self.model = model
        self.decision: Decision | None = None
        self._pool = ThreadPoolExecutor(1)
        self._engine: Future = self._pool.submit(_open_engine, model, engine, threads)

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_) -> None:
        self._pool.shutdown(cancel_futures=True)

    def engine(self):
        """The engine, once it is loaded."""
        return self._engine.result()

    def decide_at(self, false_accept_rate: float | None, default: float = DEFAULT_RATE) -> None:
        """Choose the false-accept rate; None takes the default where the database is calibrated.

        Args:
            false_accept_rate: asked for.
            default: of decisions that were learnt with the model.
        """
        self.decision = open_decision(
            self.reference.folder,
            false_accept_rate,
            self.reference.content,
            self.model,
            len(self.reference.names),
            default,
        )


def _open_engine(model: Path, engine: str, threads: int | None):
    from nmfp.model.engines import open_engine

    # a query of some seconds: small batches
    return open_engine(model, engine, batch=16, threads=threads)
