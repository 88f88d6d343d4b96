"""The report names what made it."""

import shutil
from importlib import metadata

import numpy as np
from nmfp import __version__
from nmfp.report.pages import Section, tables_page
from nmfp.report.versions import versions


def test_everything_that_computes_has_its_version():
    table = versions()
    found = dict(table.itertuples(index=False))
    assert found["nmfp"] == __version__ and found["numpy"] == np.__version__
    for name in ("snakemake", "keras", "openvino", "scipy", "soxr", "av"):
        assert found[name] == metadata.version(name)
    assert any(name.startswith("tensorflow") for name in found) and any(n.startswith("faiss-") for n in found)
    assert ("SoX" in found) == bool(shutil.which("sox"))
    assert (table["version"] != "").all() and table["component"].is_unique
    page = tables_page([Section("Made with", "Versions.", table, ["component", "version"])])
    assert metadata.version("keras") in page
