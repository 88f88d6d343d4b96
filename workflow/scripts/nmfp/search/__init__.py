"""Nearest fingerprints: FAISS indexes, their growth and shards, and the alignment of what they find."""
