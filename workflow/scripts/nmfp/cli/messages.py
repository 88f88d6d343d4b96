"""Where messages go: standard error, in plain lines; results alone go to standard output."""

import logging
import os
import sys
import warnings


def set_up_logging(arguments, bulk: bool = False) -> None:
    """Log to standard error.

    Args:
        arguments: with the flags quiet and verbose.
        bulk: whether progress is of interest without --verbose.
    """
    level = logging.INFO if bulk else logging.WARNING
    if arguments.quiet:
        level = logging.ERROR
    style = "%(message)s"
    if arguments.verbose:
        level, style = logging.INFO, "%(asctime)s %(message)s"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(style, "%H:%M:%S"))
    logger = logging.getLogger("nmfp")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
    if not arguments.verbose:
        warnings.simplefilter("ignore")
        # TensorFlow, where a command needs it, is talkative
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def say(text: str) -> None:
    """A line for people, beside the results."""
    print(text, file=sys.stderr)


def complain(error: object) -> None:
    """One line that says what went wrong, whatever the names in it hold."""
    say(f"nmfp: {printable(str(error))}")


def clock(seconds: float) -> str:
    """1:05.0, 1:02:03.5; tenths of a second."""
    tenths = round(seconds * 10)
    sign, tenths = ("-", -tenths) if tenths < 0 else ("", tenths)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    whole = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{sign}{whole}:{rest // 10:02d}.{rest % 10}"


def printable(name: str) -> str:
    """A name on one line: control characters escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
