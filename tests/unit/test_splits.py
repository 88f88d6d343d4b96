import pandas as pd
import pytest
from nmfp.datasets import splits
from nmfp.errors import NmfpError

SHARES = {"train": 0.5, "validation": 0.05, "unknown": 0.1}
LONG = 30 * 8000 + 2000


def music(n, role="any", samples=100 * 8000, prefix="t"):
    return pd.DataFrame({"id": [f"{prefix}{k}.mp3" for k in range(n)], "role": role, "samples": samples})


def split(tracks, shares=SHARES, seed=27, count=None, unknown_count=None):
    return splits.split_music(tracks, shares, seed, LONG, count, unknown_count)


def ids(table):
    return set(table["id"])


def test_corpora_are_disjoint_and_complete():
    tracks = music(400)
    corpora = split(tracks)
    parts = [ids(corpora[name]) for name in ("train", "validation", "database", "unknown")]
    assert set.union(*parts) == ids(tracks)
    assert sum(len(part) for part in parts) == 400
    assert ids(corpora["queries"]) <= ids(corpora["database"])


def test_shares_are_kept_about():
    corpora = split(music(2000))
    assert len(corpora["train"]) == pytest.approx(1000, abs=100)
    assert len(corpora["validation"]) == pytest.approx(100, abs=40)
    assert len(corpora["unknown"]) == pytest.approx(200, abs=50)


def test_a_new_track_moves_no_other():
    before = splits.assign_roles(music(300), SHARES, 27)
    after = splits.assign_roles(music(301), SHARES, 27)
    assert (after[:300] == before).all()


def test_later_music_joins_the_database_and_nobody_moves(tmp_path):
    registry = tmp_path / "split.registry.csv"

    def again(tracks, shares=SHARES, seed=27):
        corpora = splits.split_music(tracks, shares, seed, LONG, None, None, registry)
        return {role: ids(corpora[role]) for role in splits.MUSIC_ROLES}

    first, remembered = again(music(20)), registry.read_bytes()
    assert again(music(20)) == first and registry.read_bytes() == remembered
    newcomers = music(30, prefix="new")
    grown = again(pd.concat([newcomers, music(20)], ignore_index=True))
    assert grown == {**first, "database": first["database"] | ids(newcomers)}
    assert again(music(20)) == first
    # who was here before has the place of before; a collection of strangers, other shares or seeds start over
    left = music(20)[music(20)["id"].isin(first["train"] | set(sorted(first["database"])[1:]))]
    assert again(left)["train"] == first["train"] and not again(left)["unknown"]
    assert again(music(20)) == first
    assert all(again(music(20, prefix="other")).values())
    assert again(music(20), seed=28)["train"] != first["train"]
    assert len(again(music(20), {**SHARES, "train": 0.8})["train"]) > len(first["train"])


def test_a_split_that_fails_is_not_remembered(tmp_path):
    registry = tmp_path / "split.registry.csv"
    with pytest.raises(NmfpError, match=r"queries\.count asks for 50"):
        splits.split_music(music(20), SHARES, 27, LONG, 50, None, registry)
    assert not registry.exists()


def test_order_does_not_matter_and_seed_does():
    tracks = music(200)
    first = split(tracks)
    shuffled = split(tracks.sample(frac=1, random_state=1))
    assert all(ids(first[name]) == ids(shuffled[name]) for name in splits.CORPORA)
    assert ids(split(tracks, seed=28)["train"]) != ids(first["train"])


@pytest.mark.parametrize("n", range(4, 45))
def test_small_collections_get_something_of_everything(n):
    corpora = split(music(n))
    for name, share in (*SHARES.items(), ("database", 0.35)):
        assert len(corpora[name]) >= max(1, int(0.75 * share * n)), name


def test_given_roles_are_respected():
    tracks = pd.concat(
        [music(3, "train", prefix="a"), music(2, "validation", prefix="b"), music(4, "database", prefix="c")]
        + [music(2, "unknown", prefix="d")],
        ignore_index=True,
    )
    corpora = split(tracks)
    for name, prefix in (("train", "a"), ("validation", "b"), ("database", "c"), ("unknown", "d")):
        assert ids(corpora[name]) == {name for name in tracks["id"] if name.startswith(prefix)}
        assert set(corpora[name]["role"]) == {name}


def test_queries_are_drawn_from_tracks_that_are_long_enough():
    tracks = pd.concat(
        [music(1, "train", prefix="t"), music(20, "database", prefix="long", samples=LONG)]
        + [music(20, "database", prefix="short", samples=LONG - 1)],
        ignore_index=True,
    )
    assert len(split(tracks)["queries"]) == 20
    drawn = split(tracks, count=7)["queries"]
    assert len(drawn) == 7 and all(name.startswith("long") for name in drawn["id"])


def test_another_query_does_not_change_the_first_ones():
    tracks = pd.concat([music(1, "train"), music(50, "database", prefix="d")], ignore_index=True)
    assert ids(split(tracks, count=9)["queries"]) < ids(split(tracks, count=10)["queries"])


def test_too_few_tracks_say_how_many_are_needed():
    with pytest.raises(NmfpError, match="has 3 usable tracks, but 4 are needed"):
        split(music(3))
    tracks = pd.concat([music(1, "train"), music(5, "database", prefix="d")], ignore_index=True)
    with pytest.raises(NmfpError, match=r"queries\.count asks for 6 tracks of at least 30\.25 s.* has 5"):
        split(tracks, count=6)
    with pytest.raises(NmfpError, match=r"No track of the database is at least 30\.25 s long"):
        split(tracks.assign(samples=8000))
    with pytest.raises(NmfpError, match=r"queries\.unknown_count asks for 1 .* has 0"):
        split(tracks, unknown_count=1)
    with pytest.raises(NmfpError, match="No usable track has the role train"):
        split(music(5, "database"))


def test_shares_that_leave_no_database_are_refused():
    with pytest.raises(NmfpError, match="sum must be below 1"):
        split(music(50), {"train": 0.6, "validation": 0.2, "unknown": 0.2})


def test_a_share_of_zero_asks_for_nothing():
    corpora = split(music(40), {"train": 0.5, "validation": 0.1, "unknown": 0})
    assert corpora["unknown"].empty


def test_an_unknown_role_is_named():
    with pytest.raises(NmfpError, match="'trian'"):
        split(music(5, "trian"))


def recordings(names, role="any"):
    return pd.DataFrame({"id": names, "role": role})


def test_degradations_have_both_sides_and_keep_channels_together():
    names = [f"{k}.wav#{c}" for k in range(10) for c in (1, 2)]
    roles = splits.split_degradations(recordings(names), 0.3, 27, "room")
    assert (roles == "test").sum() == 6
    for k in range(10):
        assert roles[2 * k] == roles[2 * k + 1]


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_at_least_one_degradation_on_each_side(share):
    roles = splits.split_degradations(recordings(["a.wav", "b.wav"]), share, 27, "noise")
    assert sorted(roles) == ["test", "train"]


def test_one_recording_is_not_enough_however_many_channels():
    with pytest.raises(
        NmfpError, match=r"room collection has 1 usable recording\(s\), but training and queries"
    ):
        splits.split_degradations(recordings(["a.wav#1", "a.wav#2"]), 0.3, 27, "room")


def test_given_degradation_roles_are_respected():
    table = pd.DataFrame({"id": list("abcd"), "role": ["train", "test", "test", "train"]})
    assert splits.split_degradations(table, 0.9, 27, "noise").tolist() == table["role"].tolist()
    with pytest.raises(NmfpError, match="training and queries need"):
        splits.split_degradations(recordings(["a", "b"], "train"), 0.3, 27, "noise")


def test_a_reduced_database_keeps_the_queries_and_grows_by_addition():
    def corpora(count, seed=27):
        return splits.split_music(music(60), SHARES, seed, LONG, 5, None, None, count)

    whole, ten, twenty = (corpora(n) for n in (None, 10, 20))
    assert len(ten["database"]) == 10 and len(twenty["database"]) == 20 < len(whole["database"])
    assert set(whole["queries"]["id"]) == set(ten["queries"]["id"]) <= set(ten["database"]["id"])
    assert set(ten["database"]["id"]) < set(twenty["database"]["id"]) < set(whole["database"]["id"])
    assert ten["database"].index.is_monotonic_increasing
    for count in (4, 1000):
        with pytest.raises(
            NmfpError, match=f"dataset.reduced_database asks for {count} tracks, but the queries"
        ):
            corpora(count)
