"""Fingerprints on disk: rows, table of tracks, what made them."""
