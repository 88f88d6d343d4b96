"""kill -9 during conversion and degradation: the next run ends with the bytes of an undisturbed one."""

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from nmfp.audio import wav as audio
from nmfp.files import sha256_file

pytestmark = pytest.mark.crash

JOB = """
import sys
from pathlib import Path
import pandas as pd
from nmfp.datasets.conversion import convert_batch
from nmfp.datasets.journal import Journal
from nmfp.datasets.queries import VARIANTS, PackedRecordings, Settings, make_queries
from nmfp.audio.wav import read_wav
from nmfp.files import write_csv

if __name__ == "__main__":
    sources, out = Path(sys.argv[1]), Path(sys.argv[2])
    names = sorted(path.name for path in sources.iterdir())
    files = pd.DataFrame({"id": names, "path": [str(sources / name) for name in names], "role": "any"})
    print("started", flush=True)
    tracks = convert_batch(files, out / "audio", Journal(out / "convert.jsonl", "k"), False, 2, "convert")
    noise = read_wav(tracks["path"][0])
    recordings = PackedRecordings(noise, ["n"], [0], [len(noise)])
    three = {name: recordings for name in ("noise", "room", "microphone")}
    switches = {"snr_db": [0, 10], "snr_reference": "excerpt", "noise": True, "room": True, "microphone": True}
    folders = {variant: out / variant for variant in VARIANTS}
    journal = Journal(out / "degrade.jsonl", "k")
    settings = Settings(27, 3, 16000, 2000, switches)
    queries = make_queries(tracks[1:], folders, three, settings, journal, 2, "degrade")
    write_csv(out / "tracks.csv", tracks)
    write_csv(out / "queries.csv", queries)
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    for k in range(16):
        samples = np.random.default_rng(k).uniform(-0.5, 0.5, 22050 * (3 + k))
        soundfile.write(folder / f"{k:02d}.{['flac', 'ogg', 'wav', 'mp3'][k % 4]}", samples, 22050)
    return folder


def start(sources, out):
    command = [sys.executable, "-c", JOB, str(sources), str(out)]
    path = str(Path(audio.__file__).parents[2])
    process = subprocess.Popen(
        command,
        env={"PYTHONPATH": path, "PATH": "/usr/local/bin:/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "started\n"
    return process


def content(out):
    """Digests of all finished files, and the tables with their paths made relative."""
    wavs = {
        str(path.relative_to(out)): sha256_file(path)
        for path in out.rglob("*.wav")
        if not any(part.startswith(".part-") for part in path.parts)
    }
    tables = [pd.read_csv(out / f"{name}.csv").astype(str) for name in ("tracks", "queries")]
    return wavs, [table.replace(str(out), "", regex=True).to_csv() for table in tables]


@pytest.fixture(scope="module")
def undisturbed(sources, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    process = start(sources, out)
    began = time.monotonic()  # modules are loaded: from here on there is work to kill
    assert process.wait() == 0
    return content(out), time.monotonic() - began


@pytest.mark.parametrize("seed", range(5))
def test_a_killed_job_ends_with_the_same_bytes(seed, sources, undisturbed, tmp_path):
    expected, seconds = undisturbed
    rng = random.Random(seed)
    kills = 0
    for _ in range(3):
        process = start(sources, tmp_path)
        try:
            process.wait(rng.uniform(0, 0.5 * seconds))
        except subprocess.TimeoutExpired:
            kills += 1
            process.kill()
            process.wait()
    assert start(sources, tmp_path).wait() == 0
    assert kills > 0
    assert content(tmp_path) == expected
