"""Neural music fingerprinting: one second of music in, a vector that survives noise, rooms and telephones out."""

import os

__version__ = "0.1.0"

# Read once, when TensorFlow is imported. Left to itself it uses oneDNN only on processors with AVX-512 or AMX; on the
# others a training step then takes more than twice as long.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
