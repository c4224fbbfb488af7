"""Measuring speed, memory and energy, each in a pass of its own over the same checkpoint."""
