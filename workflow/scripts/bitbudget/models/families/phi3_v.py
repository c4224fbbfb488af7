"""Phi-3-vision and Phi-3.5-vision: listed, but not available yet."""

from bitbudget.models.groups import SEEING as GROUPS

__all__ = ["GROUPS"]

ABOUT = "Phi-3-vision [@phi3]"
MODEL_TYPES = ("phi3_v",)
TRACKS = ("captioning", "vqa")
UNAVAILABLE = (
    "Phi-3.5-vision runs only with remote code from its repository, for which there is no adapter yet: "
    "use a model of the family qwen2-vl, idefics3 or llava instead."
)
