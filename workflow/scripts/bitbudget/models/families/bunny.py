"""Bunny: a SigLIP tower, a two-layer projector and a small language model, built in `bitbudget.models.native.bunny`."""

from bitbudget.models.families.chat import conversation
from bitbudget.models.families.loading import model_class
from bitbudget.models.groups import SEEING as GROUPS

__all__ = ["GROUPS", "conversation", "model_class"]

ABOUT = "Bunny: SigLIP, a projector of two layers and a small language model [@he2024bunny]"
MODEL_TYPES = (
    "bunny-phi",
    "bunny-phi3",
    "bunny-llama",
    "bunny-qwen",
    "bunny-qwen2",
    "bunny-stablelm",
    "bunny-minicpm",
)
TRACKS = ("captioning", "vqa")
