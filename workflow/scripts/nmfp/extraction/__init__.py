"""Fingerprints of whole tracks: decode as a stream, cut to
segments, fill batches across tracks, keep what is done.

engines    networks that turn batches of segments into fingerprints; nothing else here may import TensorFlow
decoding   processes that decode; they import neither TensorFlow nor OpenVINO
segmenting blocks of samples become overlapping segments
progress   the log of finished work that a killed job goes on from
partition  one job: a list of tracks in, four files out
"""
