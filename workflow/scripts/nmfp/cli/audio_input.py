"""Audio on standard input. A stream without end has no other end than Ctrl-C, and its list is not to be lost."""

import select
import signal

from nmfp.cli.inputs import standard_input


class AudioInput:
    """Standard input, which ends where it ends or at the first Ctrl-C; use it with `with`.

    A second Ctrl-C interrupts as it does elsewhere.

    Attributes:
        interrupted: whether Ctrl-C has ended it.
    """

    def __init__(self):
        # unbuffered: what has come is used, though more may come later
        self._raw = open(standard_input().fileno(), "rb", buffering=0, closefd=False)
        self._before = signal.getsignal(signal.SIGINT)
        self.interrupted = False

    def __enter__(self) -> "AudioInput":
        if self._before != signal.SIG_IGN:  # which it is in the background of a script
            signal.signal(signal.SIGINT, self._end)
        return self

    def __exit__(self, *_) -> None:
        signal.signal(signal.SIGINT, self._before)
        self._raw.close()

    def _end(self, *_) -> None:
        signal.signal(signal.SIGINT, self._before)
        self.interrupted = True

    def read(self, size: int) -> bytes:
        """What has come, at most `size` bytes; none at the end, which Ctrl-C is though nothing may come any more."""
        while not self.interrupted:
            if select.select([self._raw], [], [], 0.2)[0]:
                return self._raw.read(size)
        return b""

    def __getattr__(self, name: str):
        """A file on standard input can be sought in."""
        return getattr(self._raw, name)
