"""What a report was made with."""

import platform
import shutil
import subprocess
from importlib import metadata

import pandas as pd

from nmfp import __version__

PACKAGES = (
    "snakemake", "tensorflow", "tensorflow-cpu", "keras", "jax", "openvino", "faiss-cpu", "faiss-gpu", "numpy", "scipy",
    "pandas", "scikit-learn", "soxr", "av", "soundfile", "matplotlib",
)  # fmt: skip


def versions() -> pd.DataFrame:
    """Columns component, version: this program, Python, the packages that compute, SoX and the machine; what is not
    installed is left out."""
    rows = [("nmfp", __version__), ("Python", platform.python_version())]
    for name in PACKAGES:
        try:
            rows.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    rows += [("SoX", _sox()), ("machine", f"{platform.system()} {platform.release()}, {platform.machine()}")]
    return pd.DataFrame([row for row in rows if row[1]], columns=["component", "version"])


def _sox() -> str:
    program = shutil.which("sox")
    if program is None:
        return ""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60).stdout
    return said.strip().rpartition(" ")[2]
