"""Who learns, who is searched, who asks: disjoint corpora from one seed.

Every draw is keyed by the seed and the id, never by a position, so that a track that comes or goes leaves the
others where they are.
"""

import logging
import math
import re
from pathlib import Path

import pandas as pd

from nmfp.errors import NmfpError
from nmfp.files import digest, key_to_entropy, read_csv, write_csv
from nmfp.segments import SAMPLE_RATE

log = logging.getLogger("nmfp")

CORPORA = ["train", "validation", "database", "queries", "unknown"]
# What a corpus of a small collection has at least, of its expected size.
LEAST_SHARE = 0.75
MUSIC_ROLES = ["train", "validation", "unknown", "database"]
REGISTRY_COLUMNS = ["id", "role", "key"]


def uniform(seed: int, purpose: str, name: str) -> float:
    """The number in [0, 1) that belongs to an id."""
    return key_to_entropy(seed, purpose, name) / 2**128


def file_id(name: str) -> str:
    """The file that a row came from: without the `#2` of a second channel (a file's id ends in its
    suffix)."""
    return re.sub(r"#\d+$", "", name)


def assign_roles(tracks: pd.DataFrame, shares: dict[str, float], seed: int) -> pd.Series:
    """Roles of music tracks: those that have one keep it, `any` becomes one of them.

    Args:
        tracks: columns `id, role`.
        shares: of train, validation and unknown; the rest is the database.

    Each track's place in [0, 1) decides. Where chance leaves a corpus of a small collection nothing, or less
    than three quarters of its share, the tracks nearest to its interval move there.

    Raises:
        NmfpError: too few tracks for one in each corpus that is asked for.
    """
    if bad := sorted(set(tracks["role"]) - {*MUSIC_ROLES, "any"}):
        raise NmfpError(f"The role {bad[0]!r} of a music track is none of {', '.join(MUSIC_ROLES)} and any.")
    roles = tracks["role"].copy()
    free = roles == "any"
    if not free.any():
        return roles
    bounds, end = {}, 0.0
    for role in MUSIC_ROLES:
        start, end = end, (1.0 if role == "database" else end + shares[role])
        if end > start:
            bounds[role] = (start, end)
    if end > 1 + 1e-9 or "database" not in bounds:
        raise NmfpError(
            "dataset.folder.training_share, validation_share and unknown_share leave nothing for "
            "the database; their sum must be below 1."
        )
    if free.sum() < len(bounds):
        raise NmfpError(
            f"The music collection has {free.sum()} usable tracks, but {len(bounds)} are needed, one for "
            f"each of {', '.join(bounds)}; add music or set a share in dataset.folder to 0."
        )
    places = tracks.loc[free, "id"].map(lambda name: uniform(seed, "split", name))
    for role, (start, stop) in bounds.items():
        roles[places.index[(places >= start) & (places < stop)]] = role
    _fill(roles, places, bounds)
    return roles


def _fill(roles: pd.Series, places: pd.Series, bounds: dict[str, tuple[float, float]]) -> None:
    """Give a corpus that lacks tracks the nearest ones of the corpus that has most beyond its least."""
    least = {
        role: max(1, math.floor(LEAST_SHARE * (stop - start) * len(places)))
        for role, (start, stop) in bounds.items()
    }
    for role, (start, stop) in bounds.items():
        while ((mine := roles[places.index]) == role).sum() < least[role]:
            spare = {other: (mine == other).sum() - least[other] for other in bounds}
            distance = (places[mine == max(spare, key=spare.get)] - (start + stop) / 2).abs()
            roles[distance.idxmin()] = role


def recall_roles(tracks: pd.DataFrame, known: dict[str, str]) -> pd.DataFrame:
    """Tracks whose role is `any` get the one of an earlier split; those that it did not know join the database.

    Never training: a new training track means a new model, and with it every fingerprint anew.

    Args:
        tracks: columns `id, role`.
        known: role by id; where none of these tracks is left, nothing is recalled.
    """
    free = tracks["role"] == "any"
    new = free & ~tracks["id"].isin(known.keys())
    if new[free].all():
        return tracks
    if new.any():
        log.info("%d new tracks join the database", new.sum())
    return tracks.assign(role=tracks["role"].mask(free, tracks["id"].map(known).fillna("database")))


def read_registry(path: str | Path | None, key: str) -> dict[str, str]:
    """Role by id as remembered by a split of this key; nothing where there was none."""
    if path is None or not Path(path).exists():
        return {}
    table = read_csv(path, REGISTRY_COLUMNS, text=tuple(REGISTRY_COLUMNS))
    table = table[table["key"] == key]
    return dict(zip(table["id"], table["role"], strict=True))


def write_registry(path: str | Path, roles: dict[str, str], key: str) -> None:
    """Remember the roles for the next split."""
    rows = [(name, role, key) for name, role in roles.items()]
    write_csv(path, pd.DataFrame(rows, columns=REGISTRY_COLUMNS))


def draw(
    tracks: pd.DataFrame,
    count: int | None,
    minimum_samples: int,
    seed: int,
    purpose: str,
    first: frozenset[str] = frozenset(),
) -> pd.DataFrame:
    """`count` of the tracks that are long enough (None: all of them), drawn by seed, in their own order.

    Args:
        purpose: "queries" (from the database) or "unknown"; also the name in messages.
        first: ids that are taken before any other is drawn.

    Raises:
        NmfpError: fewer tracks are long enough than are asked for, or none of the queries' is.
    """
    long_enough = tracks[tracks["samples"] >= minimum_samples]
    if len(long_enough) < len(tracks):
        log.info("%s: %d tracks are too short to be cut", purpose, len(tracks) - len(long_enough))
    key = {"queries": "queries.count", "unknown": "queries.unknown_count"}[purpose]
    source = {"queries": "database", "unknown": "unknown"}[purpose]
    seconds = f"{minimum_samples / SAMPLE_RATE:g} s"
    if purpose == "queries" and long_enough.empty:
        raise NmfpError(
            f"No track of the database is at least {seconds} long, so there is nothing to ask; add longer "
            f"music or lower queries.seconds."
        )
    if len(long_enough) < (count or 0):
        raise NmfpError(
            f"{key} asks for {count} tracks of at least {seconds}, but the {source} corpus has "
            f"{len(long_enough)}; lower {key}, set it to null (all there are), or add music."
        )
    if count is None:
        return long_enough
    places = long_enough["id"].map(lambda name: uniform(seed, purpose, name) - (name in first))
    return long_enough.loc[sorted(places.sort_values(kind="stable").index[:count])]


def reduce_database(database: pd.DataFrame, queries: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """`count` tracks of the database in their own order: those of the queries, and others drawn by the seed; a larger
    count holds all of a smaller one.

    Raises:
        NmfpError: the queries alone are more, or the database is smaller.
    """
    if not len(queries) <= count <= len(database):
        raise NmfpError(
            f"dataset.reduced_database asks for {count} tracks, but the queries are of {len(queries)} and the database "
            f"has {len(database)}; choose a number from the one to the other, or null for all."
        )
    asked = set(queries["id"])
    places = database["id"].map(lambda name: uniform(seed, "database", name) - (name in asked))
    return database.loc[sorted(places.sort_values(kind="stable").index[:count])]


def split_music(
    tracks: pd.DataFrame,
    shares: dict[str, float],
    seed: int,
    minimum_samples: int,
    query_count: int | None,
    unknown_count: int | None,
    registry: str | Path | None = None,
    database_count: int | None = None,
) -> dict[str, pd.DataFrame]:
    """The corpora of an experiment: disjoint, but for the queries, which are tracks of the database.

    Args:
        tracks: usable tracks; columns `id, role, samples` and whatever else is to be kept. The role
            `query` is a track of the database that is among the queries whoever else is drawn.
        shares, seed: as `assign_roles`.
        minimum_samples: length that a query's track needs.
        registry: file that keeps the roles of tracks without a given one, so that music which comes later joins
            the database. Other shares or another seed assign all roles anew.
        database_count: tracks of a reduced database, the queries' among them; None takes all.

    Raises:
        NmfpError: as `assign_roles` and `draw`, or a corpus without which nothing works is empty.
    """
    tracks = tracks.reset_index(drop=True)
    asked_first = tracks["role"] == "query"
    tracks.loc[asked_first, "role"] = "database"
    free = tracks["role"] == "any"
    key = digest(shares, seed)
    known = read_registry(registry, key)
    tracks["role"] = assign_roles(recall_roles(tracks, known), shares, seed)
    corpora = {role: tracks[tracks["role"] == role] for role in MUSIC_ROLES}
    for role in ("train", "database"):
        if corpora[role].empty:
            raise NmfpError(
                f"No usable track has the role {role}; add music or correct the shares in dataset.folder."
            )
    first = frozenset(tracks["id"][asked_first])
    corpora["queries"] = draw(corpora["database"], query_count, minimum_samples, seed, "queries", first)
    if database_count is not None:
        corpora["database"] = reduce_database(corpora["database"], corpora["queries"], database_count, seed)
    corpora["unknown"] = draw(corpora["unknown"], unknown_count, minimum_samples, seed, "unknown")
    # only now: a split that fails is none that later music has to fit
    if registry is not None and free.any():
        write_registry(
            registry, {**known, **dict(zip(tracks["id"][free], tracks["role"][free], strict=True))}, key
        )
    return corpora


def split_degradations(recordings: pd.DataFrame, test_share: float, seed: int, collection: str) -> pd.Series:
    """`train` or `test` for each recording; given roles are kept, the channels of one file stay together.

    Args:
        recordings: columns `id, role` (train, test or any).
        test_share: share of the files for the queries; each side gets at least one.

    Raises:
        NmfpError: an unknown role, or too few recordings for both sides.
    """
    if bad := sorted(set(recordings["role"]) - {"train", "test", "any"}):
        raise NmfpError(f"The role {bad[0]!r} of a {collection} recording is none of train, test and any.")
    roles = recordings["role"].copy()
    free = roles == "any"
    files = recordings["id"].map(file_id)
    names = sorted(set(files[free]), key=lambda name: uniform(seed, "degradation", name))
    given = {side for side in ("train", "test") if (roles == side).any()}
    least = {side: 0 if side in given or not names else 1 for side in ("train", "test")}
    if least["train"] + least["test"] <= len(names):
        n_test = min(max(round(test_share * len(names)), least["test"]), len(names) - least["train"])
        test = set(names[:n_test])
        roles[free] = files[free].map(lambda name: "test" if name in test else "train")
    if not {"train", "test"} <= set(roles):
        raise NmfpError(
            f"The {collection} collection has {files.nunique()} usable recording(s), but training and "
            f"queries need at least one each; add recordings to it."
        )
    return roles
