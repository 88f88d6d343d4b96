"""How often the answers are right: sequences of queries, hit rates with intervals, calibration, recall."""
