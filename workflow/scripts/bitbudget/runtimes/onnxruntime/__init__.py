"""ONNX Runtime as what computes whole modules of a model that transformers runs."""
