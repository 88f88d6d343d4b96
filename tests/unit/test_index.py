"""Indexes: choice by size, falling back, refusing what is foreign, the same bytes for any number of
threads."""

import faiss
import numpy as np
import pytest
from nmfp.errors import NmfpError
from nmfp.search import index as nn
from search_world import noisy, walk

INFO = {"rows": 12_000, "dimension": 32, "model_digest": "m1", "sha256": "d1"}


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    return np.concatenate([walk(rng, 120, 32) for _ in range(100)])


@pytest.fixture(scope="module")
def queries(vectors):
    return noisy(np.random.default_rng(1), vectors[::150], 0.4)


@pytest.fixture(scope="module")
def exact(vectors, queries):
    distances = ((queries[:, None].astype(np.float64) - vectors[None]) ** 2).sum(axis=2)
    return np.argsort(distances, axis=1, kind="stable")[:, :5]


@pytest.mark.parametrize(
    ("factory", "rows", "resolved"),
    [
        ("IVF256,PQ64x8", 187_465, "IVF256,PQ64x8"),
        ("IVF256,PQ64x8", 9_984, "IVF256,PQ64x8"),
        ("IVF256,PQ64x8", 9_983, "Flat"),
        ("IVF1024,PQ64x8", 12_000, "IVF256,PQ64x8"),
        ("IVF256,Flat", 5_000, "IVF128,Flat"),
        ("IVF256,Flat", 60, "Flat"),
        ("IVF1024,PQ32x4fs,RFlat", 12_000, "IVF256,PQ32x4fs,RFlat"),
        ("PQ32x4fs,RFlat", 600, "Flat"),
        ("PQ32x4fs_64,RFlat", 700, "PQ32x4fs_64,RFlat"),
        ("HNSW32", 3, "HNSW32"),
        ("auto", 1, "Flat"),
        ("auto", 60_000, "PQ64x4fs_64,RFlat"),
        ("auto", 187_465, "PQ64x4fs_64,RFlat"),
        ("auto", 400_000, "IVF1024,PQ64x4fs,RFlat"),
        ("auto", 2_000_000, "IVF4096,PQ64x4fs,RFlat"),
        ("auto", 56_000_000, "IVF32768_HNSW32,PQ64x8"),
    ],
)
def test_falls_back_to_what_the_rows_can_train(factory, rows, resolved):
    assert nn.resolve_factory(factory, rows, 128) == resolved


@pytest.mark.parametrize(
    ("factory", "recall"),
    [
        ("Flat", 1.0),
        ("IVF64,Flat", 0.95),
        ("IVF64,PQ16x8", 0.6),
        ("IVF64,PQ16x4fs,RFlat", 0.95),
        ("PQ16x4fs,RFlat", 0.95),
        ("PQ16x4fs_64,RFlat", 0.95),
        ("PQ16x4fs,Refine(SQfp16)", 0.95),
        ("HNSW16", 0.9),
    ],
)
def test_recall_of_every_kind(vectors, queries, exact, factory, recall):
    index, resolved = nn.train(vectors, factory, seed=1, threads=2)
    assert resolved == factory
    nn.fill(index, vectors, threads=2)
    nn.set_search_parameters(index, nprobe=16)
    _, rows = nn.search(index, queries, 5)
    assert (rows[:, 0] == exact[:, 0]).mean() >= recall
    if factory == "Flat":
        np.testing.assert_array_equal(rows, exact)


@pytest.mark.parametrize("factory", ["IVF64,PQ16x8", "IVF64,PQ16x4fs,RFlat"])
def test_same_bytes_for_any_number_of_threads(vectors, factory):
    made = []
    for threads in (1, 2):
        index, _ = nn.train(vectors, factory, seed=3, threads=threads)
        nn.fill(index, vectors, threads=threads)
        made.append(faiss.serialize_index(index).tobytes())
    assert made[0] == made[1]


def test_the_seed_draws_the_training_sample():
    rows = nn.training_rows("IVF256,PQ64x8", 200_000, seed=1)
    assert len(rows) == len(np.unique(rows)) == 65_536
    assert (np.diff(rows) > 0).all() and rows[-1] < 200_000
    np.testing.assert_array_equal(rows, nn.training_rows("IVF256,PQ64x8", 200_000, seed=1))
    assert not np.array_equal(rows, nn.training_rows("IVF256,PQ64x8", 200_000, seed=2))
    assert len(nn.training_rows("IVF256,PQ64x8", 20_000, seed=1)) == 20_000


def test_filling_by_blocks_and_parts_is_filling_at_once(vectors, monkeypatch):
    whole, _ = nn.train(vectors, "IVF64,PQ16x8", seed=1)
    parts = faiss.clone_index(whole)
    nn.fill(whole, vectors)
    monkeypatch.setattr(nn, "BLOCK_ROWS", 1000)
    nn.fill(parts, vectors[:5_500])
    nn.fill(parts, vectors, 5_500)
    assert faiss.serialize_index(whole).tobytes() == faiss.serialize_index(parts).tobytes()


@pytest.mark.parametrize("every", [2, 3])
def test_an_index_of_every_so_manyth_row_answers_with_rows_of_the_database(vectors, queries, every):
    held = np.arange(0, len(vectors), every)
    distances = ((queries[:, None].astype(np.float64) - vectors[held][None]) ** 2).sum(axis=2)
    expected = held[np.argsort(distances, axis=1, kind="stable")[:, :5]]
    index, _ = nn.train(vectors[::every], "Flat", seed=1)
    nn.fill(index, vectors[::every])
    assert index.ntotal == nn.rows_held(len(vectors), every) == len(held)
    np.testing.assert_array_equal(nn.search(index, queries, 5, every=every)[1], expected)
    np.testing.assert_array_equal(nn.search(index, queries, 5, 1, 40, every)[1], expected + 40)


def test_k_larger_than_the_database(vectors):
    index, _ = nn.train(vectors[:3], "auto", seed=1)
    nn.fill(index, vectors[:3])
    _, rows = nn.search(index, vectors[:1], 5)
    assert sorted(rows[0]) == [-1, -1, 0, 1, 2]


def test_a_foreign_index_is_refused(vectors, tmp_path):
    index, resolved = nn.train(vectors, "Flat", seed=1)
    nn.fill(index, vectors)
    nn.write(tmp_path / "index.faiss", index, nn.describe("auto", resolved, INFO))
    read, info = nn.read(tmp_path / "index.faiss", {"model_digest": "m1", "dimension": 32})
    assert read.ntotal == 12_000 and info["resolved"] == "Flat"
    with pytest.raises(NmfpError, match="model_digest is m1, wanted is m2"):
        nn.read(tmp_path / "index.faiss", {"model_digest": "m2"})
    with pytest.raises(NmfpError, match="dimension is 32, wanted is 128"):
        nn.read(tmp_path / "index.faiss", {"dimension": 128})


@pytest.mark.parametrize("every", [0, "2", None])
def test_a_description_that_makes_no_sense_is_refused(vectors, tmp_path, every):
    index, resolved = nn.train(vectors, "Flat", seed=1)
    nn.write(tmp_path / "index.faiss", index, nn.describe("Flat", resolved, INFO, every))
    with pytest.raises(NmfpError, match="index.json is damaged: every is"):
        nn.read(tmp_path / "index.faiss", {})


def test_a_damaged_index_is_refused(vectors, tmp_path):
    index, resolved = nn.train(vectors, "Flat", seed=1)
    nn.write(tmp_path / "index.faiss", index, nn.describe("Flat", resolved, INFO))
    (tmp_path / "index.faiss").write_bytes(b"no index")
    with pytest.raises(NmfpError, match="cannot be read as a FAISS index"):
        nn.read(tmp_path / "index.faiss", {})
    (tmp_path / "index.json").unlink()
    with pytest.raises(NmfpError, match="does not exist"):
        nn.read(tmp_path / "index.faiss", {})


@pytest.mark.parametrize("factory", ["Bogus", "IVF64,PQ7x8"])
def test_factory_strings_that_faiss_refuses_name_the_key(vectors, factory):
    with pytest.raises(NmfpError, match=f"indexes: the factory string '{factory}'"):
        nn.train(vectors, factory, seed=1)


def test_an_empty_database_is_a_sentence():
    with pytest.raises(NmfpError, match="holds no fingerprints"):
        nn.train(np.zeros((0, 32), np.float32), "auto", seed=1)


def test_unknown_search_parameters_are_a_sentence(vectors):
    index, _ = nn.train(vectors, "Flat", seed=1)
    with pytest.raises(NmfpError, match="refuses the search parameters 'speed=11'"):
        nn.set_search_parameters(index, parameters="speed=11")


def test_probes_reach_lists_below_a_refined_index(vectors):
    index, _ = nn.train(vectors, "IVF64,PQ16x4fs,RFlat", seed=1)
    nn.set_search_parameters(index, nprobe=11, parameters="k_factor_rf=7")
    assert faiss.extract_index_ivf(index).nprobe == 11 and index.k_factor == 7
    nn.set_search_parameters(index, nprobe=1000)
    assert faiss.extract_index_ivf(index).nprobe == 64
    nn.set_search_parameters(index)
    assert faiss.extract_index_ivf(index).nprobe == 32


def test_lists_left_on_the_disk_answer_alike(vectors, queries, tmp_path):
    index, resolved = nn.train(vectors, "IVF64,PQ16x8", seed=1)
    nn.fill(index, vectors)
    nn.write(tmp_path / "index.faiss", index, nn.describe("IVF64,PQ16x8", resolved, INFO))
    on_disk, _ = nn.read(tmp_path / "index.faiss", {}, on_disk=True)
    assert isinstance(faiss.downcast_InvertedLists(on_disk.invlists), faiss.OnDiskInvertedLists)
    for a, b in zip(nn.search(index, queries, 5), nn.search(on_disk, queries, 5), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("factory", "form"),
    [
        ("Flat", "float32"),
        ("IVF256,Flat", "float32"),
        ("IVF256,PQ48x8", "float32"),
        ("IVF256,PQ64x8", "float16 look-up tables"),  # the paper's: 64 KiB do not fit into shared memory
        ("IVF256,PQ64", "float16 look-up tables"),
        ("IVF256,PQ64x4fs,RFlat", "none"),
        ("IVF256,PQ64x10", "none"),
        ("IVF1024_HNSW32,PQ64x8", "none"),
        ("PQ16x8", "none"),
        ("HNSW32", "none"),
        ("auto", "none"),
    ],
)
def test_what_a_gpu_can_search(factory, form):
    assert nn.gpu_form(factory) == form
    assert nn.describe(factory, factory, INFO)["gpu_form"] == form


@pytest.fixture
def gpu(monkeypatch):
    """A FAISS with one GPU, that says what it was asked for."""
    asked = []

    class Options:
        useFloat16 = False

    def clone(index, options):
        asked.append(options.useFloat16)
        return "on the GPU"

    for name, value in {
        "StandardGpuResources": object,
        "get_num_gpus": lambda: 1,
        "GpuMultipleClonerOptions": Options,
        "index_cpu_to_all_gpus": clone,
    }.items():
        monkeypatch.setattr(faiss, name, value, raising=False)
    return asked


def test_the_papers_index_goes_to_the_gpu_with_float16_tables(gpu):
    assert nn.to_gpu("index", "IVF256,PQ64x8", ["0"]) == ("on the GPU", "GPU, float16 look-up tables")
    assert nn.to_gpu("index", "IVF256,PQ32x8", ["0"]) == ("on the GPU", "GPU")
    assert gpu == [True, False]


def test_a_fall_back_to_the_cpu_is_said(gpu, monkeypatch, caplog):
    def too_small(index, options):
        raise RuntimeError("Error in void f() at x.cpp:1: out of memory")

    monkeypatch.setattr(faiss, "index_cpu_to_all_gpus", too_small)
    index, device = nn.to_gpu("index", "IVF256,PQ64x8", ["0"])
    assert index == "index" and device.startswith("CPU: FAISS cannot put IVF256,PQ64x8 there (")
    assert nn.to_gpu("index", "HNSW32", ["0"]) == ("index", "CPU: HNSW32 has no GPU form in FAISS")
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    assert "FAISS sees no GPU" in nn.to_gpu("index", "Flat", ["0"])[1]
    monkeypatch.delattr(faiss, "StandardGpuResources")
    assert "install faiss-gpu" in nn.to_gpu("index", "Flat", ["0"])[1]
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 4 and all(line.startswith("a GPU is there, but the CPU searches: ") for line in said)


def test_without_a_gpu_the_index_stays_where_it_is_without_a_word(vectors, caplog):
    index, _ = nn.train(vectors, "Flat", seed=1)
    assert nn.to_gpu(index, "Flat", []) == (index, "CPU") and not caplog.records
