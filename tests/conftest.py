"""What all suites share: property tests judged by their answers, and a logger that no test leaves changed."""

import logging

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


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
