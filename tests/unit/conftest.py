"""Fixtures of this suite."""

from small_corpus import melody, small_model, write_corpus  # noqa: F401
