"""Detectors: from a picture to what a LiteRT model is given, and from its outputs to boxes and their precision."""
