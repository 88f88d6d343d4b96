"""Names of the corpora of queries: a set, and a variant of it."""

from typing import NamedTuple

QUERY_SETS = ["queries", "unknown"]
VARIANTS = ["clean", "clean_shifted", "degraded", "degraded_shifted"]


class QueryCorpus(NamedTuple):
    """A corpus that is searched for: `queries_degraded_shifted` is the variant degraded_shifted of the set queries.

    Further sets of the same tracks are called `queries-<name>`.
    """

    query_set: str
    variant: str

    @classmethod
    def parse(cls, name: str) -> "QueryCorpus":
        """Take a corpus's name apart.

        Raises:
            ValueError: it names no variant of a set of queries.
        """
        query_set, _, variant = name.partition("_")
        if query_set.partition("-")[0] not in QUERY_SETS or variant not in VARIANTS:
            raise ValueError(f"{name} is no variant of {' or '.join(QUERY_SETS)}")
        return cls(query_set, variant)

    @property
    def shifted(self) -> bool:
        """Whether its queries start beside their twins'."""
        return self.variant.endswith("_shifted")

    @property
    def unknown(self) -> bool:
        """Whether its tracks are in no database."""
        return self.query_set == "unknown"
