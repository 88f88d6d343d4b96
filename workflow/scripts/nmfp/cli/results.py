"""Results of identification on paper: a table for people, CSV and JSON for programs."""

import contextlib
import csv
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from nmfp.cli.messages import clock, printable
from nmfp.errors import NmfpError
from nmfp.identification.identify_files import HOP_SECONDS, Result

COLUMNS = [
    "query_fp_path", "query_seq_len", "pred_track_path", "pred_start_segment", "score", "start_seconds", "confidence",
    "decision", "rank", "other_start_seconds", "note",
]  # fmt: skip
PUBLISHED_COLUMNS = 5  # the first five, which the published program writes


@contextlib.contextmanager
def open_writer(
    form: str, path: str | None, queries: Sequence[str], columns: int = len(COLUMNS)
) -> Iterator[Callable[[Result], None]]:
    """A function that writes one result at once.

    Args:
        form: table, csv or json.
        path: file that appears when all results are written, None for standard output.
        queries: names of all queries, for the table's width.
        columns: of COLUMNS, how many csv has; PUBLISHED_COLUMNS are the published program's.
    """
    with output(path) as f:
        writer = _Csv(f, columns) if form == "csv" else {"table": _Table, "json": _Json}[form](f, queries)
        try:
            yield writer.write
        finally:
            writer.close()


@contextlib.contextmanager
def output(path: str | None) -> Iterator[TextIO]:
    """Standard output, or a file that appears whole.

    Raises:
        NmfpError: it cannot be written.
    """
    if path is None:
        # a name that is not UTF-8 must not end the run
        sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
        yield sys.stdout
        return
    target = Path(path)
    part = target.with_name(f".part-{os.getpid()}-{target.name}")
    try:
        f = part.open("w", encoding="utf-8", errors="backslashreplace", newline="")
    except OSError as error:
        raise NmfpError(f"{path} cannot be written ({error.strerror}); choose another place by -o.") from None
    try:
        with f:
            yield f
        part.replace(target)
    except OSError as error:
        raise NmfpError(f"{path} cannot be written ({error.strerror}).") from error
    finally:
        part.unlink(missing_ok=True)


class _Csv:
    def __init__(self, f: TextIO, columns: int):
        self._writer, self._columns = csv.writer(f, lineterminator="\n"), columns
        self._row(COLUMNS)

    def _row(self, cells: list) -> None:
        self._writer.writerow(cells[: self._columns])

    def write(self, result: Result) -> None:
        head = [result.query, result.segments]
        tail = [result.decision]
        if not result.rows:
            self._row([*head, "", "", "", "", "", *tail, "", "", result.note])
        for rank, row in enumerate(result.rows, 1):
            others = " ".join(f"{start * HOP_SECONDS:g}" for start in row.other_starts)
            place = [row.track, row.start_segment, f"{row.score:.6f}", f"{row.start_seconds:g}"]
            self._row([*head, *place, _share(row.confidence), *tail, rank, others, result.note])

    def close(self) -> None:
        """A table needs no end."""


class _Json:
    """One array, element by element, so that a reader of the stream sees each as it comes."""

    def __init__(self, f: TextIO, queries: Sequence[str]):
        self._f, self._first = f, True
        f.write("[")

    def write(self, result: Result) -> None:
        answers = [
            {
                "track": row.track,
                "start_segment": row.start_segment,
                "start_seconds": row.start_seconds,
                "score": round(row.score, 6),
                "confidence": row.confidence,
                "other_start_seconds": [start * HOP_SECONDS for start in row.other_starts],
            }
            for row in result.rows
        ]
        value = {
            "query": result.query,
            "segments": result.segments,
            "decision": result.decision,
            "answers": answers,
            "note": result.note,
        }
        self._f.write(("\n" if self._first else ",\n") + json.dumps(value, ensure_ascii=False))
        self._f.flush()
        self._first = False

    def close(self) -> None:
        self._f.write("\n]\n")


class _Table:
    def __init__(self, f: TextIO, queries: Sequence[str]):
        self._f = f
        self._width = min(max([5, *(len(printable(q)) for q in queries)]), 48)
        self._line("QUERY", "SCORE", "CONFIDENCE", "AT", "TRACK")

    def _line(self, query: str, score: str, confidence: str, at: str, track: str) -> None:
        print(
            f"{query:<{self._width}}  {score:>5}  {confidence:>10}  {at:>9}  {track}".rstrip(), file=self._f
        )

    def write(self, result: Result) -> None:
        query = printable(result.query)
        if len(query) > self._width:
            query = "..." + query[3 - self._width :]
        if result.decision in ("silent", "failed") or not result.rows:
            note = result.note or "nothing in the database is like it"
            return self._line(query, "", "", "", f"({result.decision}: {note})")
        if result.decision == "no match":
            best = result.rows[0]
            like = f"(no match; most like {printable(best.track)})"
            self._line(query, f"{best.score:.3f}", _percent(best.confidence), "", like)
            return
        for n, row in enumerate(result.rows):
            at = clock(row.start_seconds)
            self._line(
                query if n == 0 else "",
                f"{row.score:.3f}",
                _percent(row.confidence),
                at,
                printable(row.track),
            )
            if row.other_starts:
                also = ", ".join(clock(start * HOP_SECONDS) for start in sorted(row.other_starts))
                self._line("", "", "", "", f"  (the same music is at {also})")

    def close(self) -> None:
        """A table needs no end."""


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _percent(value: float | None) -> str:
    return "?" if value is None else f"{100 * value:.1f} %"
