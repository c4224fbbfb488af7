"""Judging: what the records say of a precision beside the baseline."""
