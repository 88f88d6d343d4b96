"""How well music that a network has never met is identified and monitored, through the commands people type.

    python benchmarks/own_recordings.py MUSIC results/demo/models/demo-ntxent --noise NOISE --rooms ROOMS

Of the recordings in MUSIC some are left out, the others become a database. Excerpts are cut anywhere in both,
clean, and with noise at 0 to 10 dB in a room; `nmfp identify` names them. Then tracks follow one another with
noise between them, and `nmfp monitor` lists them. Everything is drawn by --seed and stays in --work (a new
folder by default, removed afterwards). Prints what was typed, what came out, and a table.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "workflow/scripts"))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from nmfp.audio import wav as audio  # noqa: E402
from nmfp.cli.messages import clock  # noqa: E402
from nmfp.degradation import offline  # noqa: E402
from nmfp.files import generator  # noqa: E402

RATE = audio.SAMPLE_RATE
EXCERPTS = 3
SNR_DB = (0.0, 10.0)
GAP_SECONDS = (20.0, 45.0)
# places further apart than this are other places
NEAR_SECONDS = 0.5


def nmfp(work: Path, *arguments: str, show: bool = True) -> str:
    """Run a command in the folder, print it and its answer."""
    if show:
        print("$ nmfp " + " ".join(arguments), flush=True)
    command = [sys.executable, str(ROOT / "tools/nmfp_command.py"), *arguments]
    out = subprocess.run(command, cwd=work, stdout=subprocess.PIPE, text=True, check=True).stdout
    if show and out:
        print(out, end="", flush=True)
    return out


def link_all(files: list[Path], folder: Path) -> list[str]:
    """Links to the files in a folder; their names there."""
    folder.mkdir()
    for file in files:
        (folder / file.name).symlink_to(file.resolve())
    return [f"{folder.name}/{file.name}" for file in files]


def cut_excerpts(work: Path, tracks: list[str], seconds: float, noises, rooms, seed: int) -> pd.DataFrame:
    """Write clean and noisy excerpts; the truth about each: file, kind, track, start in seconds, SNR."""
    rows, samples = [], round(seconds * RATE)
    for track in tracks:
        music = audio.to_float(audio.read(work / track))
        for n in range(EXCERPTS):
            rng = generator(seed, "excerpt", track, n)
            start = int(rng.integers(len(music) - samples))
            noise, room = noises[rng.integers(len(noises))], rooms[rng.integers(len(rooms))]
            snr = float(rng.uniform(*SNR_DB))
            past = min(start, offline.reverberation_samples(room))
            part = music[start - past : start + samples]
            kept = slice(past, None)
            behind = offline.take_noise(noise, int(rng.integers(len(noise))), past, len(part))
            noisy = offline.degrade(part, behind, snr, room, kept=kept)
            for kind, signal in (("clean", part[kept]), ("noisy", noisy)):
                name = f"{kind}/{Path(track).stem}_{n}.wav"
                audio.write_wav(work / name, audio.to_int16(signal * 0.9))
                rows.append((name, kind, track, start / RATE, snr))
    return pd.DataFrame(rows, columns=["query_fp_path", "kind", "track", "start", "snr_db"])


def write_mix(path: Path, folder: Path, tracks: list[str], noises, seed: int) -> pd.DataFrame:
    """Tracks one after another with noise between them; begin and end of each in seconds."""
    rng, parts, rows, at = generator(seed, "mix"), [], [], 0
    for track in tracks:
        noise = noises[rng.integers(len(noises))]
        gap = offline.take_noise(noise, 0, 0, round(rng.uniform(*GAP_SECONDS) * RATE))
        music = audio.to_float(audio.read(folder / track))
        parts += [0.2 * offline.normalise_peak(gap), 0.9 * offline.normalise_peak(music)]
        at += len(gap)
        rows.append((track, at / RATE, (at + len(music)) / RATE))
        at += len(music)
    audio.write_wav(path, audio.to_int16(np.concatenate(parts)))
    return pd.DataFrame(rows, columns=["track", "begin", "end"])


def summary(truth: pd.DataFrame, results: pd.DataFrame, left_out: set[str]) -> list[str]:
    """Rows of the table."""
    best = results[results["rank"].fillna(1) == 1]
    rows = truth.merge(best, on="query_fp_path", validate="1:1")
    accepted = rows["decision"] == "match"
    lines = []
    for kind in ("clean", "noisy"):
        of_kind = (rows["kind"] == kind) & ~rows["track"].isin(left_out)
        right = of_kind & (rows["pred_track_path"] == rows["track"])
        error = (rows["start_seconds"] - rows["start"]).abs()
        near = right & (error <= NEAR_SECONDS)
        others = rows["other_start_seconds"].fillna("").astype(str).str.split()
        named = [
            any(abs(float(other) - start) <= NEAR_SECONDS for other in places)
            for places, start in zip(others, rows["start"], strict=True)
        ]
        lines.append(
            f"| {of_kind.sum()} {kind} | {right.sum()} | {(right & accepted).sum()} | "
            f"{(of_kind & accepted & ~right).sum()} | {near.sum()} | {(near | (right & np.array(named))).sum()} | "
            f"{error[near].median():.2f} s |"
        )
    for kind in ("clean", "noisy"):
        unknown = (rows["kind"] == kind) & rows["track"].isin(left_out)
        lines.append(
            f"| {unknown.sum()} {kind}, of tracks left out | | | {(unknown & accepted).sum()} | | | |"
        )
    return lines


def main() -> None:
    """Everything, printed as it goes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("music", type=Path, help="folder of recordings")
    parser.add_argument("model", type=Path, help="model folder, or a name of `nmfp weights list`")
    parser.add_argument("--noise", type=Path, required=True, help="folder of noise recordings")
    parser.add_argument("--rooms", type=Path, required=True, help="folder of room responses")
    parser.add_argument("--left-out", type=int, default=8, help="recordings kept out of the database")
    parser.add_argument("--seconds", type=float, default=5.0, help="of an excerpt")
    parser.add_argument("--mix-tracks", type=int, default=8)
    parser.add_argument("--seed", type=int, default=27)
    parser.add_argument("--work", type=Path, help="folder to keep everything in; must not exist")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary) / "work"
        work.mkdir(parents=True)
        for kind in ("clean", "noisy"):
            (work / kind).mkdir()
        files = sorted(path for path in options.music.iterdir() if path.is_file())
        order = generator(options.seed, "left out").permutation(len(files))
        known = link_all([files[i] for i in sorted(order[options.left_out :])], work / "MUSIC")
        unknown = link_all([files[i] for i in sorted(order[: options.left_out])], work / "LEFT_OUT")
        (work / "MODEL").symlink_to(options.model.resolve())
        noises = [audio.to_float(audio.read(path)) for path in sorted(options.noise.iterdir())]
        rooms = [audio.to_float(audio.read(path)) for path in sorted(options.rooms.iterdir())]

        nmfp(work, "database", "create", "songs.db", "MUSIC/", "--model", "MODEL", "-q")
        nmfp(work, "database", "info", "songs.db")
        truth = cut_excerpts(work, known + unknown, options.seconds, noises, rooms, options.seed)
        nmfp(
            work,
            "identify",
            "clean/",
            "noisy/",
            "-d",
            "songs.db",
            "--format",
            "csv",
            "-o",
            "results.csv",
            "-q",
        )
        first = truth.drop_duplicates("track").set_index("track")["query_fp_path"]
        nmfp(work, "identify", first[known[0]], first[known[-1]], first[unknown[0]], "-d", "songs.db", "-q")
        print(
            "\n| excerpts | right track | accepted, right | accepted, wrong | right place | or a place named | error |"
        )
        print("|---|---|---|---|---|---|---|")
        print("\n".join(summary(truth, pd.read_csv(work / "results.csv"), set(unknown))))
        rows = truth.rename(columns={"query_fp_path": "query"}).drop(columns=["kind", "snr_db"])
        rows.loc[rows["track"].isin(unknown), ["track", "start"]] = ["unknown", None]
        for kind in ("clean", "noisy"):
            rows[truth["kind"] == kind].to_csv(work / f"{kind}.csv", index=False)
            print()
            nmfp(work, "evaluate", f"{kind}.csv", f"rates_{kind}", "-d", "songs.db")
        mixed = [
            known[i] for i in generator(options.seed, "mixed").permutation(len(known))[: options.mix_tracks]
        ]
        places = write_mix(work / "mix.wav", work, mixed, noises, options.seed)
        print()
        nmfp(work, "monitor", "mix.wav", "--database", "songs.db", "-q")
        print("\nThe truth:")
        for track, begin, end in places.itertuples(index=False):
            print(f"{clock(begin):>9}  {clock(end):>9}  {track}")


if __name__ == "__main__":
    main()
