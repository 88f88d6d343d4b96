"""Databases that are no database folder: .npy files, a memmap, an index; ours, and those of the published program.

The published program keeps `database.mm` (raw float32), `database.csv` (`file_name, start, end, emb_dim`: rows of each
file, end exclusive) and `<kind>.index` (FAISS) in one folder.
"""

from pathlib import Path

import numpy as np

from nmfp.database.fingerprints import NPY_ERRORS, TRACK_COLUMNS, check_ranges, npy_problem, open_npy
from nmfp.errors import NmfpError
from nmfp.extraction.folder import model_digest_of, npy_files, read_fingerprints
from nmfp.files import read_csv, read_json
from nmfp.identification.reference import Reference, open_reference
from nmfp.identification.store import is_store
from nmfp.model.folder import read_model
from nmfp.search.matching import Bounds

PUBLISHED_COLUMNS = ["file_name", "start", "end", "emb_dim"]
KINDS = {"ivf": "IVF256,Flat", "ivfpq": "IVF256,PQ64x8"}  # the paper's, besides exact search and auto
SEED = 27  # of the sample that an index learns from


def from_folder(folder: str | Path) -> Reference:
    """All .npy files below a folder; tracks are named by their paths below it, without .npy. Held in memory.

    Raises:
        NmfpError: there are none, one is no array of fingerprints, or their dimensions differ.
    """
    if not Path(folder).is_dir():
        what = "is no folder" if Path(folder).exists() else "does not exist"
        raise NmfpError(f"{folder} {what}; name a folder that `nmfp fingerprint` has written.")
    paths = npy_files(folder)
    if not paths:
        raise NmfpError(f"{folder} holds no .npy files; `nmfp fingerprint` makes them.")
    first = read_fingerprints(paths[0])[0]
    parts = [read_fingerprints(path, first.shape[1]) for path in paths]
    rows = np.array([len(vectors) for vectors, _ in parts], np.int64)
    names = np.array([path.relative_to(folder).as_posix().removesuffix(".npy") for path in paths], object)
    end = np.cumsum(rows)
    held = rows > 0
    if not held.any():
        raise NmfpError(f"the .npy files in {folder} hold no fingerprints.")
    return Reference(
        np.concatenate([vectors for vectors, _ in parts]),
        np.concatenate([silent for _, silent in parts]),
        Bounds((end - rows)[held], end[held]),
        names[held],
        model_digest_of(folder),
        Path(folder),
    )


def from_memmap(path: str | Path, dimension: int) -> Reference:
    """A .npy of shape (rows, d), or raw float32 of `dimension` numbers a row; tracks.csv (or the
    published database.csv) and silent.npy beside it count.

    Without such a table the whole array is one track, named by the file.

    Raises:
        NmfpError: missing, of another dimension, or its tables do not belong to it.
    """
    path = Path(path)
    try:
        if path.suffix == ".npy":
            vectors = open_npy(path)
        else:
            vectors = np.memmap(path, np.float32, "r")
            if vectors.size % dimension:
                raise NmfpError(
                    f"{path} is no array of {dimension} float32 numbers a row, as the queries are."
                )
            vectors = vectors.reshape(-1, dimension)
    except NPY_ERRORS as error:
        problem = npy_problem(path, error) if path.suffix == ".npy" else getattr(error, "strerror", error)
        raise NmfpError(f"{path} cannot be read as a memmap ({problem}); name a database.npy.") from None
    if vectors.ndim != 2 or vectors.shape[1] != dimension or vectors.dtype not in (np.float32, np.float16):
        raise NmfpError(
            f"{path} holds {vectors.dtype} {vectors.shape}, the queries have {dimension} numbers a row."
        )
    silent = np.zeros(len(vectors), bool)
    flags = path.with_name("silent.npy")
    if flags.is_file():
        from nmfp.database.fingerprints import load_array

        silent = np.asarray(load_array(flags, (len(vectors),), "bool"))
    bounds, names = _tracks(path, vectors.shape)
    described = path.with_name("database.json")
    digest = str(read_json(described).get("model_digest", "")) if described.is_file() else ""
    return Reference(vectors, silent, bounds, names, digest, path.parent)


def from_index(path: str | Path, trusted: bool = False) -> Reference:
    """A FAISS index with its .json, or one of the published program with its database.mm and database.csv beside it.

    Of ours the vectors are decoded from it, so scores are those of compressed fingerprints.

    unless the database lies in the same results (results/<experiment>/fingerprints).

    Args:
        trusted: read it although no .json vouches for its bytes.

    Raises:
        NmfpError: missing, not what its .json describes, or it cannot decode its vectors.
    """
    from nmfp.search import index as nn

    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise NmfpError(f"{path} {what}; name an index file (index.faiss).")
    if path.suffix == ".npy":
        raise NmfpError(
            f"{path} is an array of fingerprints and no index; name it by --database-memmap, or an index file "
            "(index.faiss)."
        )
    if not path.with_suffix(".json").exists():
        if not trusted:
            raise NmfpError(
                f"{path.with_suffix('.json')} does not exist, so nothing vouches for {path.name}, and a damaged or hostile "
                "index can crash FAISS; say --trust-index if you know who made it."
            )
        return _from_published_index(path)
    index, info = nn.read(path, {})
    nn.set_search_parameters(index)
    database = _database_of(path, info)
    if database is not None:
        from nmfp.database.fingerprints import open_fingerprints
        from nmfp.identification.reference import from_database

        reference = from_database(open_fingerprints(database))
        reference.index, reference.every = index, info["every"]
        return reference
    if info["every"] > 1:
        raise NmfpError(
            f"{path} holds only one fingerprint in {info['every']}, and the database it was filled from is not beside "
            "it; name that database by --database-memmap."
        )
    vectors = nn.decode(index)
    bounds, names = _tracks(path, vectors.shape)
    digest = str(info.get("model_digest", ""))
    reference = Reference(vectors, np.zeros(len(vectors), bool), bounds, names, digest, path.parent)
    reference.index = index
    return reference


def _from_published_index(path: Path) -> Reference:
    from nmfp.search import index as nn

    index = nn.read_unchecked(path)
    nn.set_search_parameters(index)
    memmap = path.with_name("database.mm")
    if memmap.is_file():
        reference = from_memmap(memmap, index.d)
    else:
        vectors = nn.decode(index)
        bounds, names = _tracks(path, vectors.shape)
        reference = Reference(vectors, np.zeros(len(vectors), bool), bounds, names, "", path.parent)
    if index.ntotal != len(reference.vectors):
        raise NmfpError(
            f"{path} holds {index.ntotal} fingerprints and {memmap} {len(reference.vectors)}; they do not belong "
            "together: build the index again."
        )
    reference.index = index
    return reference


def open_any(path: str | Path, model: Path | None, trusted: bool = False) -> Reference:
    """Whatever holds fingerprints: a database's folder, a folder of .npy files, an index, a memmap.

    Args:
        model: model folder, which says how many numbers a row of raw float32 has.
        trusted: see `from_index`.

    Raises:
        NmfpError: it is none of these, or needs the model.
    """
    path = Path(path)
    if path.is_dir():
        is_database = is_store(path) or (path / "database.json").is_file()
        return open_reference(path) if is_database or not npy_files(path) else from_folder(path)
    if path.suffix in (".faiss", ".index"):
        return from_index(path, trusted)
    if path.suffix == ".npy" and path.is_file():
        return from_memmap(path, read_fingerprints(path)[0].shape[1])
    if path.suffix == ".mm" and path.is_file():
        if model is None:
            raise NmfpError(
                f"{path} does not say how many numbers a fingerprint has; name the model by --model."
            )
        return from_memmap(path, read_model(model)["embedding_size"])
    return open_reference(path)


def build_index(reference: Reference, kind: str) -> str:
    """Give a database that has none an index, in memory.

    Args:
        kind: `exact` (none), one of KINDS, `auto`, or a FAISS factory string.

    Returns:
        What was built: the factory string after falling back where the database is too small, "" for exact search.

    Raises:
        NmfpError: FAISS does not know the factory string.
    """
    if kind == "exact":
        return ""
    from nmfp.search import index as nn

    reference.index, resolved = nn.train(reference.vectors, KINDS.get(kind, kind), SEED, reference.threads)
    nn.fill(reference.index, reference.vectors, threads=reference.threads)
    nn.set_search_parameters(reference.index)
    return resolved


def _database_of(path: Path, info: dict) -> Path | None:
    """The database that an index of the workflow, or of a store, was filled from."""
    places = [path.parent]
    if len(path.resolve().parents) > 3:
        # results/<experiment>/index/<model>/<index>/index.faiss
        model = path.resolve().parents[1]
        places.append(model.parents[1] / "fingerprints" / model.name / "database")
    for place in places:
        if (place / "database.json").is_file():
            if read_json(place / "database.json").get("sha256") == info.get("database_sha256"):
                return place
    return None


def _tracks(path: Path, shape: tuple[int, int]) -> tuple[Bounds, np.ndarray]:
    """Bounds and names of the tracks whose fingerprints a file holds, from the table beside it: ours, the published
    program's, or one track named by the file."""
    rows, dimension = shape
    ours, published = path.with_name("tracks.csv"), path.with_name("database.csv")
    if ours.is_file():
        tracks = read_csv(ours, TRACK_COLUMNS[:3], text=("id", "sha256", "status", "reason"))
        tracks = tracks[tracks["row_end"] > tracks["row_start"]]
        check_ranges(tracks, rows, ours)
        names = tracks["id"]
    elif published.is_file():
        tracks = read_csv(published, PUBLISHED_COLUMNS, text=("file_name",))
        tracks = tracks.rename(columns={"file_name": "id", "start": "row_start", "end": "row_end"})
        check_ranges(tracks, rows, published)
        if len(tracks) and (tracks["row_end"].iloc[-1] != rows or (tracks["emb_dim"] != dimension).any()):
            raise NmfpError(
                f"{published} says {tracks['row_end'].iloc[-1]} fingerprints of {tracks['emb_dim'].iloc[0]} numbers and "
                f"{path} holds {rows} of {dimension}; they do not belong together, or the queries are of another model."
            )
        tracks = tracks[tracks["row_end"] > tracks["row_start"]]
        names = tracks["id"].str.removesuffix(".npy")
    else:
        return Bounds(np.array([0]), np.array([rows])), np.array([str(path)], object)
    if tracks.empty:
        raise NmfpError(f"the table beside {path} names no track with fingerprints.")
    bounds = Bounds(tracks["row_start"].to_numpy(np.int64), tracks["row_end"].to_numpy(np.int64))
    return bounds, names.to_numpy(object)
