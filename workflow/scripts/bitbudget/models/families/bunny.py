"""Bunny (He et al., arXiv 2402.11530): listed, but not available yet."""

from bitbudget.models.groups import SEEING as GROUPS

__all__ = ["GROUPS"]

ABOUT = "Bunny [@he2024bunny]"
MODEL_TYPES = ("bunny-phi", "bunny-phi3", "bunny-llama")
TRACKS = ("captioning", "vqa")
UNAVAILABLE = (
    "Bunny runs only with remote code from its repository, for which there is no adapter yet: "
    "use a model of the family qwen2-vl, idefics3 or llava instead."
)
