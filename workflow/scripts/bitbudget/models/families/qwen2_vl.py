"""Qwen2-VL and Qwen2.5-VL: a tower for any resolution whose merger is the projector, and a Qwen2 decoder.

See Wang et al., arXiv 2409.12191. In Qwen2.5-VL the tower's blocks are built differently inside, but every part that
is a group here has the same path, so one family takes both.
"""

from bitbudget.models.families.chat import conversation
from bitbudget.models.families.loading import model_class

__all__ = ["conversation", "image_refusal", "model_class"]

ABOUT = "Qwen2-VL [@wang2024qwen2vl]"
MODEL_TYPES = ("qwen2_vl", "qwen2_5_vl")
TRACKS = ("captioning", "vqa")
UNAVAILABLE = None

# Qwen2-VL-2B ties its head to its embeddings: the shared matrix then counts as `embeddings`.
GROUPS = {
    "vision": ("model.visual",),
    "projector": ("model.visual.merger",),
    "embeddings": ("model.language_model.embed_tokens",),
    "language": ("model.language_model",),
    "language.attention": ("model.language_model.layers.*.self_attn",),
    "language.mlp": ("model.language_model.layers.*.mlp",),
    "head": ("lm_head",),
}
# The tower's forward pass ends with its merger, which is therefore not named beside it.
VISION_MODULES = ("model.visual",)


def image_refusal(width: int, height: int) -> str | None:
    """Why the processor cannot take an image of so many pixels (`smart_resize` of transformers); None where it can."""
    ratio = max(width, height) / min(width, height)
    return f"its sides are as {ratio:.0f} to 1, and Qwen2-VL takes at most 200 to 1" if ratio > 200 else None
