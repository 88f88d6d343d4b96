"""Processes that decode, one track after another, while the network computes.

Each is a fresh Python that imports the decoder and nothing else of weight: no TensorFlow, no OpenVINO, and
no fork of a process that runs them. Requests go in on its standard input, messages come back on its
standard output; both pipes close when the parent dies, even by kill -9, and then it ends by itself. A
file that brings a decoder down costs that file, not the run.

A message is a kind (one byte), a length (four bytes, little-endian) and so many bytes.
"""

import json
import logging
import os
import queue
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from nmfp.errors import NmfpError

log = logging.getLogger("nmfp")

READY, BLOCK, END, FAILED = b"r", b"b", b"e", b"f"
_HEADER = struct.Struct("<cI")
# Decoded blocks that wait for the network: 16 of ten seconds are 2.5 MB
WAITING_BLOCKS = 16
_SERVE = (
    "import sys; sys.path.insert(0, sys.argv[1]); from nmfp.extraction.decoding import serve; "
    "serve(sys.stdin.buffer, sys.stdout.buffer)"
)


class Decoded(NamedTuple):
    """One message about one item: a block of samples, its end, or the reason why there will be no more."""

    item: int
    samples: np.ndarray | None
    ended: bool
    reason: str


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """What a decoding process does: one JSON path a line in, messages out, until the input ends or nobody listens.

    Every `AudioError` is an answer; anything else ends the process and is reported by its parent.
    """
    from nmfp.audio.wav import AudioError, stream

    try:
        _send(answers, READY, b"")
        for line in requests:
            try:
                for block in stream(json.loads(line)):
                    _send(answers, BLOCK, block.tobytes())
                _send(answers, END, b"")
            except AudioError as error:
                _send(answers, FAILED, error.reason.encode())
    except BrokenPipeError:
        # the parent was killed; standard output must not try once more while Python ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), answers.fileno())


def _send(answers: BinaryIO, kind: bytes, payload: bytes) -> None:
    answers.write(_HEADER.pack(kind, len(payload)))
    answers.write(payload)
    answers.flush()


class Decoders:
    """Decodes items side by side in `processes` processes; iterate over it inside `with`.

    Messages of one item come in order; items are begun in the order given and may overlap. At most
    `WAITING_BLOCKS` messages are held, so memory does not grow with a recording's length. Leaving the block
    ends all processes.
    """

    def __init__(self, paths: Iterable[str], processes: int = 1):
        self._paths = iter(enumerate(paths))
        self._lock = threading.Lock()
        self._messages: queue.Queue = queue.Queue(WAITING_BLOCKS)
        self._stop = threading.Event()
        self._children: dict[int, subprocess.Popen] = {}
        self._threads = [
            threading.Thread(target=self._feed, args=(n,), daemon=True) for n in range(processes)
        ]

    def __enter__(self) -> "Decoders":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        with self._lock:
            for child in self._children.values():
                child.kill()
        for thread in self._threads:
            thread.join()

    def __iter__(self) -> Iterator[Decoded]:
        working = len(self._threads)
        while working:
            message = self._messages.get()
            if isinstance(message, BaseException):
                raise message
            if message is None:
                working -= 1
            else:
                yield message

    def _feed(self, n: int) -> None:
        """The thread that talks to process n: hands it one item after another, passes its answers on."""
        try:
            while not self._stop.is_set():
                with self._lock:
                    item, path = next(self._paths, (None, None))
                if item is None:
                    break
                self._decode(n, item, path)
            self._put(None)
        except Exception as error:  # noqa: BLE001 - raised again where the messages are read
            self._put(error)
        finally:
            self._end(n)

    def _decode(self, n: int, item: int, path: str) -> None:
        child = None
        try:
            child = self._child(n)
            child.stdin.write(json.dumps(path).encode() + b"\n")
            child.stdin.flush()
            while True:
                kind, length = _HEADER.unpack(_read(child.stdout, _HEADER.size))
                payload = _read(child.stdout, length)
                if kind == BLOCK:
                    self._put(Decoded(item, np.frombuffer(payload, np.int16), False, ""))
                    continue
                self._put(Decoded(item, None, True, payload.decode() if kind == FAILED else ""))
                return
        except (BrokenPipeError, EOFError):
            self._end(n)
            if child is not None and not self._stop.is_set():
                log.warning("decoding %s ended its process with status %s", path, child.returncode)
                self._put(Decoded(item, None, True, f"decoder ended with status {child.returncode}"))

    def _put(self, message: object) -> None:
        while not self._stop.is_set():
            try:
                return self._messages.put(message, timeout=0.2)
            except queue.Full:
                continue

    def _child(self, n: int) -> subprocess.Popen:
        fresh = False
        with self._lock:
            if self._stop.is_set():
                raise EOFError
            if n not in self._children:
                command = [sys.executable, "-P", "-c", _SERVE, str(Path(__file__).parents[2])]
                # in a group of its own: Ctrl-C is for the parent, which decides when to stop
                self._children[n] = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
                )
                fresh = True
            child = self._children[n]
        if fresh and not child.stdout.read(_HEADER.size) and not self._stop.is_set():
            raise NmfpError("the decoding process does not start; the reason is on standard error.")
        return child

    def _end(self, n: int) -> None:
        """Wait for process n to leave; closing its input is the sign to go."""
        with self._lock:
            child = self._children.pop(n, None)
        if child is None:
            return
        for pipe in (child.stdin, child.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                log.debug("decoder %d was gone before its input was closed", n)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _read(pipe: BinaryIO, size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data
