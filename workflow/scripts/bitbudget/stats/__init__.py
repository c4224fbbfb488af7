"""Intervals and tests: the bootstrap, paired differences and exact bounds."""
