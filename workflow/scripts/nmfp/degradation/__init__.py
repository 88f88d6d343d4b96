"""Noise, rooms and microphones: drawn once, applied in NumPy or in the training graph."""
