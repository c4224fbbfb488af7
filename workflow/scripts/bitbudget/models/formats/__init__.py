"""Formats: how the weights of a module group are held, quantized and recognised."""
