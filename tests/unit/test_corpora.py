"""Names of the corpora of queries."""

import pytest
from nmfp.datasets.corpora import QUERY_SETS, VARIANTS, QueryCorpus


@pytest.mark.parametrize("query_set", QUERY_SETS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_name_is_its_set_and_its_variant(query_set, variant):
    corpus = QueryCorpus.parse(f"{query_set}_{variant}")
    assert corpus == (query_set, variant)
    assert corpus.shifted == ("shifted" in variant) and corpus.unknown == (query_set == "unknown")


@pytest.mark.parametrize("name", ["database", "queries", "queries_loud", "train_clean"])
def test_other_names_are_none(name):
    with pytest.raises(ValueError, match=f"{name} is no variant of queries or unknown"):
        QueryCorpus.parse(name)
