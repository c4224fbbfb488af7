"""Idefics3 and SmolVLM: a SigLIP tower, a connector that shuffles pixels into channels, and a Llama decoder.

See Laurençon et al., arXiv 2408.12637, and Marafioti et al., arXiv 2504.05299. The first SmolVLM models say
`idefics3` in their config.json, SmolVLM2 says `smolvlm`; transformers builds both with the same paths.
"""

from bitbudget.models.families.chat import conversation
from bitbudget.models.families.loading import model_class

__all__ = ["conversation", "model_class"]

ABOUT = "Idefics3 / SmolVLM [@laurencon2024idefics3; @marafioti2025smolvlm]"
MODEL_TYPES = ("idefics3", "smolvlm")
TRACKS = ("captioning", "vqa")
UNAVAILABLE = None

# Where a model ties its head to its embeddings, the shared matrix counts as `embeddings`.
GROUPS = {
    "vision": ("model.vision_model",),
    "projector": ("model.connector",),
    "embeddings": ("model.text_model.embed_tokens",),
    "language": ("model.text_model",),
    "language.attention": ("model.text_model.layers.*.self_attn",),
    "language.mlp": ("model.text_model.layers.*.mlp",),
    "head": ("lm_head",),
}
VISION_MODULES = ("model.vision_model", "model.connector")
