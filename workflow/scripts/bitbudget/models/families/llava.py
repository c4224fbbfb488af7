"""LLaVA-1.5: a CLIP or SigLIP tower, a two-layer projector and a Llama-like decoder (Liu et al., arXiv 2310.03744)."""

from bitbudget.models.families.chat import conversation
from bitbudget.models.families.loading import model_class
from bitbudget.models.groups import SEEING as GROUPS

__all__ = ["GROUPS", "conversation", "model_class"]

ABOUT = "LLaVA: a vision transformer, a projector and a Llama decoder [@liu2023llava; @liu2024llava15]"
MODEL_TYPES = ("llava",)
TRACKS = ("captioning", "vqa")
