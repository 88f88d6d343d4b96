"""Files of queries in, one result each out, as results.csv and people want it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from nmfp.audio.wav import AudioError
from nmfp.identification.fingerprinting import fingerprint_file
from nmfp.identification.places import Answer, identify
from nmfp.identification.session import Session
from nmfp.segments import HOP_SAMPLES, SAMPLE_RATE

HOP_SECONDS = HOP_SAMPLES / SAMPLE_RATE


@dataclass
class Row:
    """One track that the query may be."""

    track: str
    start_segment: int
    score: float
    confidence: float | None
    other_starts: list[int] = field(default_factory=list)

    @property
    def start_seconds(self) -> float:
        """Where the query's first sample lies in the track."""
        return self.start_segment * HOP_SECONDS


@dataclass
class Result:
    """One query.

    Attributes:
        decision: match, no match, uncalibrated (an answer that no threshold has judged), silent, or failed.
        rows: best track first; with "no match" the tracks that came nearest.
        note: why it failed, or what else is to be said.
    """

    query: str
    segments: int
    decision: str
    rows: list[Row]
    note: str = ""


def identify_files(queries: Iterable, session: Session, top: int = 1) -> Iterator[Result]:
    """Identify recordings one after another; a broken one is a result with a reason.

    Args:
        queries: objects with id, path, reason.
    """
    for query in queries:
        if query.reason:
            yield Result(query.id, 0, "failed", [], query.reason)
            continue
        try:
            vectors, silent, _ = fingerprint_file(query.path, session.engine)
        except AudioError as error:
            yield Result(query.id, 0, "failed", [], error.reason)
        else:
            # one more than asked for: its score is what the best one's lead is over
            answer = identify(vectors, silent, session.reference, max(top, 2))
            yield judge(query.id, answer, session, top)


def judge(query: str, answer: Answer, session: Session, top: int) -> Result:
    """An answer with its decision, in words of the user."""
    if not answer.sounding:
        return Result(query, answer.segments, "silent", [], "silence: nothing to identify")
    rows, decision = [], "no match"
    runner_up = answer.places[1].score if len(answer.places) > 1 else 0.0
    for n, place in enumerate(answer.places[:top]):
        verdict = session.decision.judge(
            answer.sounding, place.score, runner_up if n == 0 else None, place.evidence
        )
        if n == 0:
            decision = verdict.word
        name = str(session.reference.names[place.track])
        rows.append(Row(name, place.start, place.score, verdict.confidence, list(place.others)))
    longest = int((session.reference.bounds.end - session.reference.bounds.start).max())
    note = ""
    same = answer.places[0].evidence.same if answer.places else ()
    if same:
        names = ", ".join(str(session.reference.names[track]) for track in same)
        note = f"the same music is in {names}"
    if answer.sounding > 2 * longest:
        note = "longer than twice the longest track: `nmfp monitor` finds the tracks in it"
    return Result(query, answer.segments, decision, rows, note)
