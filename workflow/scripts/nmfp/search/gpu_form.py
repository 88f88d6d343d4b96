"""Which kinds of index a GPU can search; without FAISS, since the rules ask while they are planned."""

import re

# Of FAISS's GPU form of product quantisers of 8 bits: numbers of codes, and the shared memory that the look-up tables
# of one query must fit into. The paper's 64 codes take 64 KiB in float32 and 32 KiB in float16.
GPU_CODES = frozenset([1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96])
GPU_TABLE_BYTES = 48 << 10


def gpu_form(factory: str) -> str:
    """How a GPU searches an index of this kind: `float32`, `float16 look-up tables`, or `none` where FAISS has no such
    form (codes scanned in registers, graphs, re-ranking, other code lengths)."""
    if re.fullmatch(r"(IVF\d+,)?Flat", factory):
        return "float32"
    codes = re.fullmatch(r"IVF\d+,PQ(\d+)(?:x8)?", factory)
    if not codes or int(codes[1]) not in GPU_CODES:
        return "none"
    fits = int(codes[1]) * 256 * 4 <= GPU_TABLE_BYTES
    return "float32" if fits else "float16 look-up tables"
