"""Neural music fingerprinting: one second of music in, a vector that survives noise, rooms and telephones out."""

__version__ = "0.1.0"
