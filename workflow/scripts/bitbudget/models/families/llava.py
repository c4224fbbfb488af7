"""LLaVA-1.5: a CLIP or SigLIP tower, a two-layer projector and a Llama-like decoder (Liu et al., arXiv 2310.03744)."""

from bitbudget.models.families.chat import conversation
from bitbudget.models.families.loading import model_class

__all__ = ["conversation", "model_class"]

ABOUT = "LLaVA: a vision transformer, a projector and a Llama decoder [@liu2023llava; @liu2024llava15]"
MODEL_TYPES = ("llava",)
TRACKS = ("captioning", "vqa")
UNAVAILABLE = None

# Paths of transformers 5.23; files on disk may use older names, which transformers translates when it loads them.
GROUPS = {
    "vision": ("model.vision_tower",),
    "projector": ("model.multi_modal_projector",),
    "embeddings": ("model.language_model.embed_tokens",),
    "language": ("model.language_model",),
    "language.attention": ("model.language_model.layers.*.self_attn",),
    "language.mlp": ("model.language_model.layers.*.mlp",),
    "head": ("lm_head",),
}
VISION_MODULES = ("model.vision_tower", "model.multi_modal_projector")
