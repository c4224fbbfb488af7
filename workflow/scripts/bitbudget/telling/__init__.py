"""Telling: what was judged, in words, and the records of it."""
