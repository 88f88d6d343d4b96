"""The HTML pages as a browser runs them; skipped where there is no Chromium."""

import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from nmfp.report import pages

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")]


def open_page(tmp_path, page, script):
    """The document after the page's own script and `script` have run."""
    path = tmp_path / "page.html"
    path.write_text(page.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=8000",
        "--dump-dom",
    ]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run([*command, profile, path.as_uri()], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_columns_sort_by_value_both_ways(tmp_path):
    rates = [("10.0", 0.1), ("9.0", 0.09), ("100.0", 1.0)]
    table = pd.DataFrame({"name": ["b", "c", "a"], "rate": rates})
    script = """
      const rows = () => [...document.querySelectorAll("tbody tr")];
      const order = () => rows().map(r => r.cells[0].textContent).join("");
      const [name, rate] = document.querySelectorAll("th"), seen = [];
      for (const head of [rate, rate, name]) { head.click(); seen.push(order()); }
      document.title = "sorted:" + seen.join(",") + ":" + name.getAttribute("aria-sort");
    """
    dom = open_page(tmp_path, pages.tables_page([pages.Section("Rates", "", table, ["name"])]), script)
    assert "<title>sorted:cba,abc,abc:ascending</title>" in dom


def test_players_play_what_was_put_in(tmp_path):
    sound = (9000 * np.sin(2 * np.pi * 330 * np.arange(24_000) / 8000)).astype(np.int16)
    miss = {"heading": "3 s", "detail": "", "sounds": [("the query", "q", sound), ("none", "", None)]}
    script = """
      const player = document.querySelector("audio");
      player.addEventListener("loadedmetadata", () => { document.title = "seconds:" + player.duration; });
      player.addEventListener("error", () => { document.title = "error:" + player.error.message; });
      player.load(); player.preload = "metadata";
    """
    dom = open_page(tmp_path, pages.misses_page([miss]), script)
    told = re.search(r"<title>(.*?)</title>", dom).group(1)
    assert told.startswith("seconds:"), told
    assert float(told.split(":")[1]) == pytest.approx(3, abs=0.3)
