"""Fixtures of this suite."""

import pytest
from loopback import server  # noqa: F401
from small_corpus import melody, small_model, write_corpus  # noqa: F401


@pytest.fixture
def here(world, monkeypatch):
    """The folder that a module's `world` made, as working directory of the command line; models live in it, too."""
    monkeypatch.chdir(world)
    monkeypatch.setenv("NMFP_HOME", str(world / "home"))
    return world
