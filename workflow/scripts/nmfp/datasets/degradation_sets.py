"""Noise, rooms and microphones of the paper, with its exact splits (specification, section 8)."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from nmfp.datasets.columns import ListedFile
from nmfp.datasets.fma import find_audio
from nmfp.datasets.sources import check_count
from nmfp.errors import NmfpError
from nmfp.files import atomic

SPLIT_SEED = 27  # the paper's; the splits do not follow the experiment's seed
TEST_SHARE = 0.2
# the other rooms of OpenAIR are empty, simulated, no rooms, or were left out by the paper's authors
OPENAIR_TRAIN_ROOMS = frozenset(
    "lady-chapel-st-albans-cathedral spokane-womans-club falkland-palace-royal-tennis-court"
    " stairway-university-york gill-heads-mine york-minster koli-national-park-winter"
    " terrys-factory-warehouse st-patricks-church-patrington waveguide-web-example-audio"
    " saint-lawrence-church-molenbeek-wersbeek-belgium st-andrews-church hamilton-mausoleum"
    " st-margarets-church-ncem-5-piece-band-spatial-measurements"
    " shrine-and-parish-church-all-saints-north-street-_ tyndall-bruce-monument trollers-gill"
    " elveden-hall-suffolk-england usina-del-arte-symphony-hall st-matthews-church-walsall"
    " innocent-railway-tunnel".split()
)
OPENAIR_TEST_ROOMS = frozenset(
    "spring-lane-building-university-york r1-nuclear-reactor-hall koli-national-park-summer"
    " sports-centre-university-york terrys-typing-room wheldrake-wood maes-howe".split()
)
OPENAIR_FOLDERS = ("mono", "stereo")  # the first that a room has; the other holds the same measurements
OPENAIR_OTHER_FOLDERS = {"wheldrake-wood": ("IR_M30",)}
AACHEN_ROOMS = {
    "lecture": "train",
    "meeting": "train",
    "office": "train",
    "stairway": "train",
    "aula_carolina": "test",
    "booth": "test",
}
_AACHEN_NAME = re.compile(r"air_binaural_(?P<room>[a-z_]+)_(?P<channel>[01])_(?P<head>[01])_\d+(_\d+)*$")
_DIRECTIONS = re.compile(r"(Bidirect|Cardioid|Hyper|Omni)$")


def tut(folder: str | Path, name: str, role: str) -> list[ListedFile]:
    """TUT Acoustic Scenes 2016: the development set is for training, the evaluation set for testing."""
    return [_row(name, p, folder, role) for p in _found(find_audio(folder, ".wav"), folder, "wav files")]


def mit(folder: str | Path) -> list[ListedFile]:
    """MIT's survey, split with classes of duration: steps of 0.25 s, the last from 1.75 s on."""
    paths = _found(find_audio(folder, ".wav"), folder, "wav files")
    return _split(paths, folder, "mit", [_duration_class(p) for p in paths])


def _duration_class(path: Path) -> int:
    frames, rate, _ = _header(path)
    return min(round(frames * 8000 / rate) // 2000, 7)


def _split(paths: list[Path], folder: str | Path, name: str, classes: list[int]) -> list[ListedFile]:
    from sklearn.model_selection import train_test_split

    try:
        _, test = train_test_split(paths, test_size=TEST_SHARE, random_state=SPLIT_SEED, stratify=classes)
    except ValueError as error:
        raise NmfpError(f"{folder} cannot be split by classes of duration ({error}); complete it.") from None
    return [_row(name, p, folder, "test" if p in set(test) else "train") for p in paths]


def openair(folder: str | Path) -> list[ListedFile]:
    """OpenAIR: of the paper's 28 rooms the mono responses, or the stereo ones where there are no mono ones.

    A room is the folder of its name, wherever below `folder`. The split is by room. Of two rooms some files do
    not count: a copy at another rate, and simulations beside a recorded response.

    Raises:
        NmfpError: none of the rooms is there.
    """
    by_room: dict[str, dict[str, list[Path]]] = {}
    for path in find_audio(folder, ".wav"):
        room = _openair_room(path.relative_to(folder))
        if room and _counts_in_openair(room, path.name):
            by_room.setdefault(room, {}).setdefault(path.parent.name, []).append(path)
    paths = []
    for room, kinds in by_room.items():
        wanted = OPENAIR_OTHER_FOLDERS.get(room, OPENAIR_FOLDERS)
        paths += next(([(room, path) for path in kinds[kind]] for kind in wanted if kind in kinds), [])
    _found(paths, folder, "responses in <room>/mono or <room>/stereo of the paper's rooms")
    return [
        _row("openair", path, folder, "test" if room in OPENAIR_TEST_ROOMS else "train")
        for room, path in sorted(paths, key=lambda found: found[1])
    ]


def _openair_room(path: Path) -> str | None:
    """The room of the paper's that a file below OpenAIR's folder belongs to."""
    return next((p for p in path.parts[:-2] if p in OPENAIR_TRAIN_ROOMS | OPENAIR_TEST_ROOMS), None)


def _counts_in_openair(room: str, name: str) -> bool:
    if room == "r1-nuclear-reactor-hall":
        return name != "r1_omni_48k.wav"  # the same response is there at 32 kHz
    return room != "waveguide-web-example-audio" or name == "courtyard_recorded_ir.wav"


def aachen(folder: str | Path, wav_folder: str | Path) -> list[ListedFile]:
    """Aachen AIR: binaural channels measured without the dummy head, split by room, written as WAV.

    Args:
        folder: holds .mat files (variables h_air and air_info.fs).
        wav_folder: 32-bit float WAVs at the original rate, peak 1, go there.

    Raises:
        NmfpError: no such files, or one that cannot be read.
    """
    rows = []
    for path in find_audio(folder, ".mat"):
        match = _AACHEN_NAME.match(path.stem)
        if not match or match["head"] != "0" or match["room"] not in AACHEN_ROOMS:
            continue
        target = Path(wav_folder) / f"{path.stem}.wav"
        if not target.exists():
            _write_response(path, target)
        rows.append((f"aachen/{target.name}", str(target), AACHEN_ROOMS[match["room"]], ""))
    return _found(rows, folder, "air_binaural_*.mat without dummy head")


def _write_response(path: Path, target: Path) -> None:
    import scipy.io
    import soundfile

    try:
        content = scipy.io.loadmat(
            path, squeeze_me=True, struct_as_record=True, variable_names=["h_air", "air_info"]
        )
        response = np.asarray(content["h_air"], dtype=np.float64).reshape(-1)
        rate = int(content["air_info"]["fs"][()])
    except (OSError, ValueError, KeyError, IndexError, TypeError, NotImplementedError) as error:
        raise NmfpError(f"{path} holds no response of Aachen AIR (h_air, air_info.fs: {error}).") from None
    peak = np.abs(response).max(initial=0)
    if not np.isfinite(peak) or peak == 0:
        raise NmfpError(f"{path}: h_air is empty, silent or not finite.")
    with atomic(target) as temporary:
        soundfile.write(temporary, (response / peak).astype(np.float32), rate, subtype="FLOAT")


def microphone_name(path: Path) -> str | None:
    """The microphone that a response belongs to, whatever its directional pattern and distance."""
    for part in (path.stem, *(parent.name for parent in path.parents)):
        if match := re.match(r"(.+?)_\d+c?m(_|$)", part):
            return _DIRECTIONS.sub("", match[1].split("_")[0])
    return None


def microphones(folder: str | Path) -> list[ListedFile]:
    """Normalised microphone responses at multiples of 60 degrees, split by microphone."""
    from sklearn.model_selection import train_test_split

    by_name: dict[str, list[Path]] = {}
    for path in find_audio(folder, ".wav"):
        angle = re.search(r"_(\d+)Deg(_|$)", path.stem)
        name = microphone_name(path)
        normalised = "normalised" in path.relative_to(folder).as_posix().lower()
        if angle and name and normalised and int(angle[1]) % 60 == 0:
            by_name.setdefault(name, []).append(path)
    _found(list(by_name), folder, "normalised responses named <microphone>_<distance>_<degrees>Deg")
    try:
        _, test = train_test_split(sorted(by_name), test_size=TEST_SHARE, random_state=SPLIT_SEED)
    except ValueError as error:
        raise NmfpError(f"{folder}: its microphones cannot be split ({error}); is it complete?") from None
    return [
        _row("microphones", p, folder, "test" if name in test else "train")
        for name, paths in sorted(by_name.items())
        for p in paths
    ]


def nafp(folder: str | Path, kind: str) -> list[ListedFile]:
    """The noise (kind bg) or responses (kind ir) of NAFP's mini set, split as they come: folders tr and ts."""
    roots = sorted(p for p in Path(folder).rglob(kind) if p.is_dir() and p.parent.name == "aug")
    _found(roots, folder, f"folder aug/{kind}")
    rows = []
    for side, role in (("tr", "train"), ("ts", "test")):
        paths = find_audio(roots[0] / side, ".wav") if (roots[0] / side).is_dir() else []
        if kind == "bg":  # one folder deep: below lie one-second scraps that are not in the published counts
            paths = [p for p in paths if p.parent.parent == roots[0] / side]
        rows += [_row(f"nafp/{side}", p, roots[0] / side, role) for p in paths]
    return _found(rows, folder, f".wav files in aug/{kind}/tr and ts")


def check_counts(
    rows: Iterable[ListedFile],
    expected: dict[str, int],
    set_name: str,
    prefix: str = "",
    channels: bool = True,
) -> None:
    """Hold what was found against the counts of sources.tsv.

    Args:
        prefix: of the keys, such as noise_ in noise_train.
        channels: whether each channel of a file counts, as the responses do (noise is averaged to one).

    Raises:
        NmfpError: a number differs; says both.
    """
    found = {"train": 0, "test": 0}
    for row in rows:
        found[row.role] += _header(Path(row.path))[2] if channels else 1
    for role, n in found.items():
        check_count(f"{set_name} gives {n} {role} recordings", n, expected, f"{prefix}{role}")


def table(rows: Iterable[ListedFile]) -> pd.DataFrame:
    """Rows as a files.csv."""
    return pd.DataFrame(rows, columns=ListedFile._fields)


def _header(path: Path) -> tuple[int, int, int]:
    """Frames, sampling rate and channels of a WAV; a broken one counts as one channel and fails in the conversion."""
    import soundfile

    try:
        info = soundfile.info(path)
    except (soundfile.LibsndfileError, OSError):
        return 0, 8000, 1
    return info.frames, info.samplerate, info.channels


def _row(name: str, path: Path, folder: str | Path, role: str) -> ListedFile:
    return ListedFile(f"{name}/{path.relative_to(folder).as_posix()}", str(path), role)


def _found(items: list, folder: str | Path, what: str) -> list:
    if not items:
        raise NmfpError(f"{folder} holds no {what}; put the set there as config/sources.tsv lays it out.")
    return items
