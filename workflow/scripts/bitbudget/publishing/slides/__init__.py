"""The slides of a talk of ten minutes, whose sentences are computed from the records."""
