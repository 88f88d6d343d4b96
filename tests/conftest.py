"""What all suites share: property tests judged by their answers, and a logger that no test leaves changed."""

import logging
import signal

import nmfp  # noqa: F401 - settles how TensorFlow computes, before a test imports it
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# In the background of a shell (nohup, CI) Ctrl-C is ignored, and every process that a test starts would inherit that
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def untouched_logger():
    """The command line sends our log elsewhere for the rest of its process; tests share one process."""
    _untouch()
    yield
    _untouch()


def _untouch():
    log = logging.getLogger("nmfp")
    log.setLevel(logging.NOTSET)
    log.propagate = True
    log.handlers.clear()
