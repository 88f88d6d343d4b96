from collections import Counter

import numpy as np
import pytest
import scipy.io
import soundfile
from nmfp.datasets import degradation_sets as sets
from nmfp.errors import NmfpError
from sklearn.model_selection import train_test_split

# the 25 microphones, and those that the authors' published split keeps for testing
MICROPHONES = (
    "AKGC414 AKGC451 AKGD112 AKGD12 Coles4038 DPA4006 ElectroVoiceRE20 NTiM2211 NeumannU47FET"
    " NeumannU87Ai RodeK2 RodeNT2A RodeNTG8 RodeNTR RodeReporter RoyerR121 SchoepsCMC5U SchoepsCMC6"
    " SchoepsCMIT5U SennheiserMD441 ShureBeta52 ShureSM57 ShureSM58 SonyC800 SonyECM670"
).split()
PUBLISHED_TEST = {"ShureBeta52", "SonyC800", "NTiM2211", "SchoepsCMIT5U", "RodeNT2A"}
PATTERNS = {
    "AKGC414": ["Bidirect", "Cardioid", "Hyper", "Omni"],
    "AKGC451": ["Cardioid", "Omni"],
    "NeumannU87Ai": ["Bidirect", "Cardioid", "Omni"],
    "RodeK2": ["Bidirect", "Cardioid", "Omni"],
    "RodeNT2A": ["Bidirect", "Cardioid", "Omni"],
    "SchoepsCMC5U": ["Bidirect", "Cardioid", "Omni"],
    "SchoepsCMC6": ["_MK2H", "_MK2H_KA40"],
    "SonyC800": ["Cardioid", "Omni"],
}
DISTANCES = {"NeumannU47FET": ["125cm", "50cm"], "RodeNTG8": ["125cm", "5m"]}


def touch(path, channels=1, frames=8, rate=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros((frames, channels), np.int16), rate, subtype="PCM_16")
    return path


def roles(rows):
    return dict(Counter(row[2] for row in rows))


def test_microphones_at_multiples_of_60_degrees_split_by_microphone(tmp_path):
    for name in MICROPHONES:
        for pattern in PATTERNS.get(name, [""]):
            for distance in DISTANCES.get(name, ["125cm", "50cm", "5m"]):
                stem = f"{name}{pattern}_{distance}"
                for angle in range(0, 360, 30):
                    # both endings occur; the published counts need three folders of one microphone with both
                    for ending in ["", "_Norm"] if name == "AKGD12" else ["_Norm"]:
                        path = tmp_path / f"Normalised_IRs/{stem}/24bit/{stem}_{angle}Deg{ending}.wav"
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.write_bytes(b"")
    touch(tmp_path / "IRs/AKGC414Bidirect_125cm/AKGC414Bidirect_125cm_0Deg.wav")  # not normalised
    rows = sets.microphones(tmp_path)
    assert roles(rows) == {"train": 564, "test": 144}  # the specification's 708
    test = {sets.microphone_name(tmp_path / row[1]) for row in rows if row[2] == "test"}
    assert test == PUBLISHED_TEST
    sets.check_counts(rows, {"train": 564, "test": 144}, "microphones")
    sentence = (
        "gives 564 train recordings, but sources.tsv expects train=565.*dataset.fma.check_counts to false"
    )
    with pytest.raises(NmfpError, match=sentence):
        sets.check_counts(rows, {"train": 565}, "microphones")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("Normalised_IRs/AKGC414Bidirect_125cm/24bit/AKGC414Bidirect_125cm_60Deg_24bit.wav", "AKGC414"),
        ("x/SchoepsCMC6_MK2H_KA40_5m_0Deg.wav", "SchoepsCMC6"),
        ("Normalised_IRs/ShureSM58_50cm/IR_120Deg.wav", "ShureSM58"),
        ("x/y/z_0Deg.wav", None),
    ],
)
def test_microphone_names(tmp_path, path, name):
    assert sets.microphone_name(tmp_path / path) == name


def test_mit_is_split_by_classes_of_duration(tmp_path):
    rng = np.random.default_rng(0)
    frames = [*rng.integers(100, 32000 * 2, 98), 32000 // 4 - 3, 32000 // 4]  # just below and at 0.25 s
    for i, n in enumerate(frames):
        touch(tmp_path / f"Audio/h{i:03d}_room.wav", frames=int(n), rate=32000)
    touch(tmp_path / "__MACOSX/Audio/._h000_room.wav")
    rows = sets.mit(tmp_path)
    paths = sorted(str(p) for p in (tmp_path / "Audio").glob("*.wav"))
    # the published cells: duration at 8 kHz below 0.25 s is class 0 ... from 1.75 s on 7
    durations = [round(soundfile.info(p).frames / 4) / 8000 for p in paths]
    labels = [sum(d >= edge for edge in (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75)) for d in durations]
    train, test = train_test_split(paths, test_size=0.20, random_state=27, stratify=labels)
    assert {row[1] for row in rows if row[2] == "test"} == set(test)
    assert {row[1] for row in rows if row[2] == "train"} == set(train)
    assert labels[-2:] == [0, 1] and set(labels) == set(range(8))


# room: channels that count, kind of folder that holds them
OPENAIR_TRAIN = {
    "lady-chapel-st-albans-cathedral": (3, "mono"),
    "spokane-womans-club": (2, "stereo"),
    "falkland-palace-royal-tennis-court": (1, "mono"),
    "stairway-university-york": (2, "stereo"),
    "gill-heads-mine": (4, "stereo"),
    "york-minster": (2, "stereo"),
    "koli-national-park-winter": (8, "stereo"),
    "terrys-factory-warehouse": (1, "mono"),
    "st-patricks-church-patrington": (6, "stereo"),
    "waveguide-web-example-audio": (1, "mono"),
    "saint-lawrence-church-molenbeek-wersbeek-belgium": (2, "stereo"),
    "st-andrews-church": (2, "mono"),
    "hamilton-mausoleum": (2, "stereo"),
    "st-margarets-church-ncem-5-piece-band-spatial-measurements": (20, "mono"),
    "shrine-and-parish-church-all-saints-north-street-_": (6, "mono"),
    "tyndall-bruce-monument": (1, "mono"),
    "trollers-gill": (6, "stereo"),
    "elveden-hall-suffolk-england": (8, "mono"),
    "usina-del-arte-symphony-hall": (8, "stereo"),
    "st-matthews-church-walsall": (6, "stereo"),
    "innocent-railway-tunnel": (14, "stereo"),
}
OPENAIR_TEST = {
    "spring-lane-building-university-york": (20, "mono"),
    "r1-nuclear-reactor-hall": (1, "mono"),
    "koli-national-park-summer": (8, "stereo"),
    "sports-centre-university-york": (2, "stereo"),
    "terrys-typing-room": (1, "mono"),
    "wheldrake-wood": (4, "IR_M30"),
    "maes-howe": (2, "stereo"),
}
# rooms that do not count, with files where those that count have theirs
OPENAIR_OUTSIDE = (
    "slinky-ir virtual-membranes tvisongur-sound-sculpture-iceland-model 1st-baptist-nashville"
    " st-georges-episcopal-church st-marys-abbey-reconstruction arthur-sykes-rymer-auditorium"
).split()


def openair_tree(folder):
    """All that OpenAIR's download holds to mislead: every kind of folder, files and rooms that do not count."""
    for room, (channels, kind) in (OPENAIR_TRAIN | OPENAIR_TEST).items():
        if room in ("waveguide-web-example-audio", "r1-nuclear-reactor-hall"):
            continue
        each = 2 if kind == "stereo" else 1
        for k in range(channels // each):
            touch(folder / room / kind / f"{k}.wav", channels=each)
        if kind == "mono":  # the same measurements once more
            touch(folder / room / "stereo" / "both.wav", channels=2)
        touch(folder / room / "b-format" / "w.wav", channels=4)
        touch(folder / room / "surround-5-1" / "five.wav", channels=6)
        touch(folder / room / "examples" / "speech.wav")
    for kind in ("mono", "stereo"):
        touch(folder / "wheldrake-wood" / kind / "other.wav")
    for kind in ("mono", "stereo"):
        for name in ("courtyard_modelled_ir.wav", "dry_speech.wav"):
            touch(folder / "waveguide-web-example-audio" / kind / name)
    touch(folder / "waveguide-web-example-audio/mono/courtyard_recorded_ir.wav")
    touch(folder / "r1-nuclear-reactor-hall/mono/r1_omni_48k.wav")
    touch(folder / "r1-nuclear-reactor-hall/mono/r1_omni.wav", rate=32000)
    (folder / "creswell-crags/mono").mkdir(parents=True)
    for room in OPENAIR_OUTSIDE:
        touch(folder / room / "mono/a.wav")
        touch(folder / room / "stereo/a.wav", channels=2)
    touch(folder / "__MACOSX/york-minster/mono/._a.wav")


@pytest.mark.parametrize("below", ["", "openair/irs"])
def test_openair_has_the_papers_28_rooms_channel_by_channel(tmp_path, below):
    openair_tree(tmp_path / below)
    rows = sets.openair(tmp_path)
    counts = {"train": Counter(), "test": Counter()}
    for _, path, role, _ in rows:
        counts[role][tmp_path.joinpath(path).parent.parent.name] += soundfile.info(path).channels
    assert counts["train"] == {room: channels for room, (channels, _) in OPENAIR_TRAIN.items()}
    assert counts["test"] == {room: channels for room, (channels, _) in OPENAIR_TEST.items()}
    assert len(counts["train"]) + len(counts["test"]) == 28
    sets.check_counts(rows, {"train": 105, "test": 38}, "openair")
    assert [row[1] for row in rows] == sorted(row[1] for row in rows)
    rates = {soundfile.info(path).samplerate for _, path, *_ in rows if "r1-nuclear" in path}
    assert rates == {32000}


def test_openair_without_the_papers_rooms_is_a_sentence(tmp_path):
    touch(tmp_path / "slinky-ir/mono/a.wav")
    with pytest.raises(NmfpError, match="holds no responses in <room>/mono or <room>/stereo of the paper's"):
        sets.openair(tmp_path)


def write_air(folder, name, response, rate=48000):
    folder.mkdir(parents=True, exist_ok=True)
    content = {"h_air": response[np.newaxis], "air_info": {"fs": rate, "room": "x", "head": 0}}
    scipy.io.savemat(folder / f"{name}.mat", content)


def test_aachen_channels_without_dummy_head_become_wavs(tmp_path):
    response = np.array([0.0, 4.0, -2.0, 1.0])
    air = tmp_path / "AIR_1_4"
    for name in (
        "air_binaural_lecture_0_0_1",
        "air_binaural_lecture_1_0_1",
        "air_binaural_lecture_0_1_1",  # dummy head
        "air_binaural_stairway_1_0_3_90",
        "air_binaural_aula_carolina_0_0_1_90_3",
        "air_binaural_booth_1_0_2",
        "air_phone_lecture_hhp_0",
    ):
        write_air(air, name, response)
    rows = sets.aachen(tmp_path, tmp_path / "wav")
    assert {r[0].removeprefix("aachen/air_binaural_").removesuffix(".wav"): r[2] for r in rows} == {
        "lecture_0_0_1": "train",
        "lecture_1_0_1": "train",
        "stairway_1_0_3_90": "train",
        "aula_carolina_0_0_1_90_3": "test",
        "booth_1_0_2": "test",
    }
    audio, rate = soundfile.read(rows[0][1])
    assert rate == 48000 and np.array_equal(audio, response / 4)
    assert sets.aachen(tmp_path, tmp_path / "wav") == rows


def test_broken_aachen_files_are_named(tmp_path):
    (tmp_path / "air_binaural_booth_0_0_1.mat").write_bytes(b"MATLAB 5.0 MAT-file, cut")
    with pytest.raises(NmfpError, match="air_binaural_booth_0_0_1.mat holds no response"):
        sets.aachen(tmp_path, tmp_path / "wav")
    write_air(tmp_path, "air_binaural_booth_0_0_1", np.zeros(4))
    with pytest.raises(NmfpError, match="silent"):
        sets.aachen(tmp_path, tmp_path / "wav")


def test_tut_and_nafp_come_split(tmp_path):
    touch(tmp_path / "dev/TUT-acoustic-scenes-2016-development/audio/a001_0_30.wav", channels=2)
    rows = sets.tut(tmp_path / "dev", "tut_development", "train")
    assert rows[0][0] == "tut_development/TUT-acoustic-scenes-2016-development/audio/a001_0_30.wav"
    assert roles(rows) == {"train": 1}
    for name in (
        "bg/tr/pub/a.wav",
        "bg/tr/random_noise/deep/b.wav",
        "bg/ts/pub/c.wav",
        "ir/tr/d.wav",
        "ir/ts/x/e.wav",
    ):
        touch(tmp_path / "nafp/neural-audio-fp-dataset/aug" / name)
    assert [(r[0], r[2]) for r in sets.nafp(tmp_path / "nafp", "bg")] == [
        ("nafp/tr/pub/a.wav", "train"),
        ("nafp/ts/pub/c.wav", "test"),
    ]
    assert roles(sets.nafp(tmp_path / "nafp", "ir")) == {"train": 1, "test": 1}
    with pytest.raises(NmfpError, match="holds no folder aug/bg"):
        sets.nafp(tmp_path / "dev", "bg")


def test_noise_counts_files_not_channels(tmp_path):
    touch(tmp_path / "a.wav", channels=2)
    rows = sets.tut(tmp_path, "tut_development", "train")
    sets.check_counts(rows, {"train": 1}, "tut_development", channels=False)
