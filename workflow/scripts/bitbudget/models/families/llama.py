"""Llama (Touvron et al., arXiv 2302.13971) and the many decoders that transformers builds with the same paths."""

from bitbudget.models.families.loading import text_model_class as model_class
from bitbudget.models.groups import READING as GROUPS

__all__ = ["GROUPS", "model_class"]

# A test holds the paths against a model of each.
ABOUT = "a Llama decoder [@touvron2023llama]"
MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3", "smollm3", "olmo2", "granite", "gemma", "gemma2", "phi3")
TRACKS = ("lambada",)
