"""Approximate nearest neighbours by FAISS: train quantisers on a sample, fill block by block, search.

An index is named by a FAISS factory string
(https://github.com/facebookresearch/faiss/wiki/The-index-factory):
`Flat`, `IVF256,Flat`, `IVF256,PQ64x8` (the paper's), `IVF1024,PQ64x4fs,RFlat` (re-ranked), `HNSW32`, or
`auto`. Distances are squared L2, which orders unit vectors as their inner product does.

An index may leave rows out: with `every` it holds the rows 0, every, 2 every ... of a database (two hops: every
second row, one a second). What it answers are rows of the database all the same.
"""

import logging
import os
import re
from pathlib import Path

# Before FAISS loads OpenMP: threads that wait for each other sleep instead of spinning. On a machine that
# does anything else, spinning makes the training of quantisers five times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import faiss
import numpy as np

from nmfp.database.fingerprints import remedy
from nmfp.errors import NmfpError
from nmfp.files import atomic, generator, read_json, sha256_file, write_json
from nmfp.search.gpu_form import gpu_form

log = logging.getLogger("nmfp")

BLOCK_ROWS = 1 << 16
# FAISS itself warns below this many training rows a centroid
ROWS_PER_CENTROID = 39
FLAT_ROWS = 20_000
EXHAUSTIVE_ROWS = 400_000
RERANKED_ROWS = 20_000_000
ROWS_PER_LIST = 400
MOST_LISTS = 1 << 15

# From 1.14 on FAISS trains product quantisers without BLAS below a threshold that is far too high for
# sub-quantisers of a few dimensions: 20 times slower on small samples.
faiss.cvar.distance_compute_blas_threshold = 20


def auto_factory(rows: int, dimension: int) -> str:
    """The index that answers as exact search does in the least time, by the number of rows.

    Exhaustive search while it is cheap; then 4-bit codes that are scanned in registers and re-ranked on the
    vectors themselves; with inverted lists of about 400 rows from 400,000 rows on; without the copy of the
    vectors where that would not fit in memory (matching scores on the uncompressed fingerprints anyway).
    """
    if rows < FLAT_ROWS or dimension % 2:
        return "Flat"
    codes = f"PQ{dimension // 2}x4fs"
    if rows < EXHAUSTIVE_ROWS:
        return f"{codes}_64,RFlat"  # scanned 64 rows at a time instead of 32: a third less time without lists
    lists = min(MOST_LISTS, 1 << round(np.log2(rows / ROWS_PER_LIST)))
    if rows < RERANKED_ROWS:
        return f"IVF{lists},{codes},RFlat"
    return f"IVF{lists}_HNSW32,PQ{dimension // 2}x8"


def rows_held(rows: int, every: int) -> int:
    """How many of a database's rows an index holds that takes the rows 0, every, 2 every ..."""
    return -(-rows // every)


def resolve_factory(factory: str, rows: int, dimension: int) -> str:
    """The factory string that `rows` rows can train: fewer lists, uncompressed, or flat when they are too few.

    Args:
        factory: what the configuration asks for; `auto` chooses by size.
    """
    if factory == "auto":
        factory = auto_factory(rows, dimension)
    quantiser = re.search(r"PQ\d+(?:\+\d+)?(?:x(\d+))?", factory)
    if quantiser and rows < ROWS_PER_CENTROID * 2 ** int(quantiser.group(1) or 8):
        return "Flat"
    inverted = re.search(r"IVF(\d+)", factory)
    if inverted and rows < ROWS_PER_CENTROID * int(inverted.group(1)):
        if rows < ROWS_PER_CENTROID * 2:
            return "Flat"
        lists = 1 << int(np.log2(rows / ROWS_PER_CENTROID))
        factory = factory.replace(inverted.group(0), f"IVF{lists}")
    return factory


def training_rows(resolved: str, rows: int, seed: int) -> np.ndarray:
    """Rows that the quantisers learn from: int64, ascending, at most 65,536 or 64 a list, drawn by the
    seed."""
    inverted = re.search(r"IVF(\d+)", resolved)
    wanted = max(65_536, 64 * int(inverted.group(1)) if inverted else 0)
    if rows <= wanted:
        return np.arange(rows)
    return np.sort(generator(seed, "index training rows", rows).choice(rows, wanted, replace=False))


def train(vectors: np.ndarray, factory: str, seed: int, threads: int = 1) -> tuple[faiss.Index, str]:
    """An empty index whose quantisers are trained on a bounded, seeded sample of `vectors`.

    Args:
        vectors: (rows, dimension) float32 or float16, may be a memmap.

    Returns:
        The index and the factory string it was made from after falling back.

    Raises:
        NmfpError: FAISS does not know the factory string or cannot make it for this dimension.
    """
    faiss.omp_set_num_threads(threads)
    rows, dimension = vectors.shape
    if not rows:
        raise NmfpError("The database holds no fingerprints; nothing can be indexed (see its failures.csv).")
    resolved = resolve_factory(factory, rows, dimension)
    try:
        index = faiss.index_factory(dimension, resolved, faiss.METRIC_L2)
        _skip_polysemous_training(index)
        if not index.is_trained:
            index.train(np.ascontiguousarray(vectors[training_rows(resolved, rows, seed)], dtype=np.float32))
    except RuntimeError as error:
        raise NmfpError(
            f"indexes: the factory string '{factory}' cannot index {rows} fingerprints of {dimension} "
            f"numbers: {_reason(error)}; see the FAISS index factory."
        ) from None
    return index, resolved


def fill(index: faiss.Index, vectors: np.ndarray, start: int = 0, threads: int = 1) -> None:
    """Add the rows of `vectors` from `start` on, block by block; adding needs no retraining."""
    faiss.omp_set_num_threads(threads)
    for first in range(start, len(vectors), BLOCK_ROWS):
        index.add(np.ascontiguousarray(vectors[first : first + BLOCK_ROWS], dtype=np.float32))


def set_search_parameters(index: faiss.Index, nprobe: int | None = None, parameters: str = "") -> None:
    """Set the lists to visit, and any other FAISS search parameters such as `k_factor_rf=8` or `efSearch=128`.

    Args:
        nprobe: inverted lists visited a query; None visits four times the root of their
            number. No effect without lists.

    Raises:
        NmfpError: FAISS does not know a parameter for this index.
    """
    lists = _lists(index)
    space = faiss.ParameterSpace()
    if lists:
        space.set_index_parameter(index, "nprobe", min(lists, nprobe or round(4 * lists**0.5)))
    if isinstance(index, faiss.IndexRefine):
        # Codes of 4 bits order roughly: take four times as many by the codes, keep the best by the vectors.
        index.k_factor = 4
    try:
        if parameters:
            space.set_index_parameters(index, parameters)
    except RuntimeError as error:
        raise NmfpError(
            f"indexes: FAISS refuses the search parameters '{parameters}': {_reason(error)}"
        ) from None


def probes(index: faiss.Index) -> int | None:
    """Inverted lists that a search visits; None without lists."""
    return faiss.extract_index_ivf(index).nprobe if _lists(index) else None


def search(
    index: faiss.Index, queries: np.ndarray, k: int, threads: int = 1, first_row: int = 0, every: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of every query.

    Args:
        queries: (n, dimension) float32.
        first_row: row of the database that the index's first vector is.
        every: rows of the database from one vector of the index to the next.

    Returns:
        Squared distances (n, k) float32, ascending, and rows of the database (n, k) int64; -1 where the
        index holds or visits fewer.
    """
    faiss.omp_set_num_threads(threads)
    distances, found = index.search(np.ascontiguousarray(queries, dtype=np.float32), k)
    return distances, np.where(found < 0, -1, first_row + found * every)


def to_gpu(index: faiss.Index, factory: str, devices: list[str]) -> tuple[faiss.Index, str]:
    """The index on every GPU that this process may use, or itself.

    Args:
        factory: what the index is, after falling back.
        devices: names of the GPUs, see `nmfp.model.devices`; none is the CPU, without a word.

    Returns:
        The index, and where it is searched: `GPU`, `GPU, float16 look-up tables`, `CPU`, or `CPU: ` and why no GPU that
        is there is used, which is also a warning in the log.
    """
    if not devices:
        return index, "CPU"
    form, reason = gpu_form(factory), ""
    if form == "none":
        reason = f"{factory} has no GPU form in FAISS"
    elif not hasattr(faiss, "StandardGpuResources"):
        reason = "this FAISS is built for CPUs; install faiss-gpu"
    elif not faiss.get_num_gpus():
        reason = "FAISS sees no GPU; look at the driver"
    else:
        options = faiss.GpuMultipleClonerOptions()
        options.useFloat16 = form != "float32"
        try:
            found = faiss.index_cpu_to_all_gpus(index, options)
        except RuntimeError as error:  # most often its memory is too small
            reason = f"FAISS cannot put {factory} there ({_reason(error)})"
        else:
            return found, "GPU" if form == "float32" else f"GPU, {form}"
    log.warning("a GPU is there, but the CPU searches: %s", reason)
    return index, f"CPU: {reason}"


def write(path: str | Path, index: faiss.Index, info: dict) -> None:
    """Write `<path>` and, last, the JSON file of the same stem that holds `info` and the SHA-256 of the index file."""
    with atomic(path) as temporary:
        faiss.write_index(index, str(temporary))
    write_json(Path(path).with_suffix(".json"), {**info, "sha256": sha256_file(path)})


def describe(factory: str, resolved: str, database_info: dict, every: int = 1) -> dict:
    """What is stored beside an index: how it was made and of which database.

    Args:
        every: the index takes the rows 0, every, 2 every ... of the database.
    """
    return {
        "factory": factory,
        "resolved": resolved,
        "gpu_form": gpu_form(resolved),
        "every": every,
        "rows": database_info["rows"],
        "dimension": database_info["dimension"],
        "model_digest": database_info["model_digest"],
        "database_sha256": database_info["sha256"],
    }


def read(path: str | Path, expect: dict, on_disk: bool = False) -> tuple[faiss.Index, dict]:
    """Read an index and refuse a foreign one.

    Args:
        expect: keys of its JSON file with the values they must have (dimension, model_digest, rows ...).
        on_disk: leave inverted lists on the disk and read what a search visits.

    Raises:
        NmfpError: missing, unreadable, or made from another model or database.
    """
    path = Path(path)
    # indexes of before this key existed hold every row
    info = {"every": 1, **read_json(path.with_suffix(".json"), remedy(path))}
    for key, value in expect.items():
        if info.get(key) != value:
            raise NmfpError(
                f"{path} does not fit: its {key} is {info.get(key)}, wanted is {value}; "
                "it was made from another database or model, delete its folder and build it again."
            )
    if type(info["every"]) is not int or info["every"] < 1:
        raise NmfpError(
            f"{path.with_suffix('.json')} is damaged: every is {info['every']!r}; build it again."
        )
    _check_digest(path, info)
    index = read_unchecked(path, on_disk)
    if index.d != info.get("dimension"):
        raise NmfpError(
            f"{path} holds vectors of {index.d} numbers, its JSON file says {info.get('dimension')}."
        )
    return index, info


def read_unchecked(path: str | Path, on_disk: bool = False) -> faiss.Index:
    """Read an index of whose bytes the caller is sure: a file made to do harm can crash FAISS's reader.

    Raises:
        NmfpError: FAISS cannot read it.
    """
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP if on_disk else 0)
    except RuntimeError as error:
        raise NmfpError(
            f"{path} cannot be read as a FAISS index ({_reason(error)}); delete it and build it again."
        ) from None


def _check_digest(path: Path, info: dict) -> None:
    """FAISS's reader trusts what it reads: only bytes that we wrote ourselves get there."""
    if not path.is_file():
        raise NmfpError(f"{path} does not exist; build the index again.")
    if sha256_file(path) != info.get("sha256"):
        raise NmfpError(
            f"{path} cannot be read as a FAISS index of ours: its SHA-256 is not the one in its JSON file; "
            f"{remedy(path)}."
        )


def decode(index: faiss.Index) -> np.ndarray:
    """What an index remembers of its vectors: float32 (rows, dimension) of unit length.

    Raises:
        NmfpError: this kind of index cannot give its vectors back.
    """
    try:
        if _lists(index):
            faiss.extract_index_ivf(index).make_direct_map()
        vectors = index.reconstruct_n(0, index.ntotal)
    except RuntimeError as error:
        raise NmfpError(
            f"this index does not give its vectors back ({_reason(error)}); name the database instead of it."
        ) from None
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _skip_polysemous_training(index: faiss.Index) -> None:
    """The factory asks for codes whose Hamming distance means something; nobody here uses it, and it takes 2
    s a code byte."""
    part = index
    while part is not None:
        part = faiss.downcast_index(part)
        if hasattr(part, "do_polysemous_training"):
            part.do_polysemous_training = False
        part = next((getattr(part, name) for name in ("base_index", "index") if hasattr(part, name)), None)


def _lists(index: faiss.Index) -> int:
    """Number of inverted lists at any depth, 0 without."""
    try:
        return faiss.extract_index_ivf(index).nlist
    except RuntimeError:
        return 0


def _reason(error: RuntimeError) -> str:
    """What FAISS says, without the place in its source."""
    text = str(error).splitlines()[0]
    return text.split(": ", 2)[-1][:200]
