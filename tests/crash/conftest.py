"""Fixtures of this suite."""

from loopback import server  # noqa: F401
from small_corpus import melody, small_model, write_corpus  # noqa: F401
