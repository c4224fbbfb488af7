"""OPT (Zhang et al., arXiv 2205.01068): learned positions, and a head that is tied to the embeddings."""

from bitbudget.models.families.loading import text_model_class as model_class

__all__ = ["model_class"]

ABOUT = "OPT [@zhang2022opt]"
MODEL_TYPES = ("opt",)
TRACKS = ("lambada",)
UNAVAILABLE = None

# OPT-350m alone has two projections, from and to narrower embeddings; they stay in `language` itself.
GROUPS = {
    "embeddings": ("model.decoder.embed_tokens", "model.decoder.embed_positions"),
    "language": ("model.decoder",),
    "language.attention": ("model.decoder.layers.*.self_attn",),
    "language.mlp": ("model.decoder.layers.*.fc1", "model.decoder.layers.*.fc2"),
    "head": ("lm_head",),
}
VISION_MODULES: tuple[str, ...] = ()
