"""An index that holds one fingerprint a second, wherever the command line meets it."""

import shutil

import numpy as np
import pytest
from nmfp.errors import NmfpError
from nmfp.identification.open_reference import from_index
from nmfp.identification.reference import open_reference
from search_world import build_index, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = write_world(tmp_path_factory.mktemp("world"), tracks=4, queries=2)
    return root, build_index(root, every=2)


def expected(root):
    """Three queries of the world and their nearest rows among every second one."""
    database = np.load(root / "fingerprints/test/database/database.npy")
    queries = np.load(root / "fingerprints/test/queries_degraded_shifted/database.npy")[:3]
    order = np.argsort(-(queries.astype(np.float64) @ database[::2].T), axis=1)
    return queries, order[:, :7] * 2


def test_retrieval_names_rows_of_the_database(world):
    root, index = world
    queries, rows = expected(root)
    np.testing.assert_array_equal(from_index(index / "index.faiss").neighbours(queries, 7), rows)


def test_identification_uses_it_where_it_lies_beside_a_database(world, tmp_path):
    root, index = world
    queries, rows = expected(root)
    shutil.copytree(root / "fingerprints/test/database", tmp_path / "db")
    for name in ("index.faiss", "index.json"):
        shutil.copy(index / name, tmp_path / "db" / name)
    np.testing.assert_array_equal(open_reference(tmp_path / "db").neighbours(queries, 7), rows)


def test_without_its_database_it_is_refused(world, tmp_path):
    _, index = world
    for name in ("index.faiss", "index.json"):
        shutil.copy(index / name, tmp_path / name)
    with pytest.raises(NmfpError, match="holds only one fingerprint in 2.*--database-memmap"):
        from_index(tmp_path / "index.faiss")
