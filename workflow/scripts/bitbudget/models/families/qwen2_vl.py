"""Qwen2-VL and Qwen2.5-VL: a tower for any resolution whose merger is the projector, and a Qwen2 decoder.

See Wang et al., arXiv 2409.12191. In Qwen2.5-VL the tower's blocks are built differently inside, but every part that
is a group here has the same path, so one family takes both.
"""

from bitbudget.models.families.chat import conversation
from bitbudget.models.families.loading import model_class
from bitbudget.models.groups import SEEING as GROUPS

__all__ = ["GROUPS", "conversation", "image_refusal", "model_class"]

ABOUT = "Qwen2-VL [@wang2024qwen2vl]"
MODEL_TYPES = ("qwen2_vl", "qwen2_5_vl")
TRACKS = ("captioning", "vqa")


def image_refusal(width: int, height: int) -> str | None:
    """Why the processor cannot take an image of so many pixels (`smart_resize` of transformers); None where it can."""
    ratio = max(width, height) / min(width, height)
    return f"its sides are as {ratio:.0f} to 1, and Qwen2-VL takes at most 200 to 1" if ratio > 200 else None
