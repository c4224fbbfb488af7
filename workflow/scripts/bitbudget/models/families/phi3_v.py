"""Phi-3-vision and Phi-3.5-vision: see `bitbudget.models.native.phi3_v`, which builds them."""

from bitbudget.models.families.chat import conversation
from bitbudget.models.families.loading import model_class
from bitbudget.models.groups import SEEING as GROUPS

__all__ = ["GROUPS", "conversation", "image_refusal", "model_class"]

ABOUT = "Phi-3-vision [@phi3]"
MODEL_TYPES = ("phi3_v",)
TRACKS = ("captioning", "vqa")
MOST = 336  # to 1: of a longer picture nothing may be left when its longer side fills one crop


def image_refusal(width: int, height: int) -> str | None:
    """Why the processor cannot take an image of so many pixels; None where it can."""
    ratio = max(width, height) / min(width, height)
    return f"its sides are as {ratio:.0f} to 1, and Phi-3-vision takes at most {MOST} to 1" if ratio > MOST else None
