"""Where audio comes from: archives, folders, splits, chunks, degraded queries."""
