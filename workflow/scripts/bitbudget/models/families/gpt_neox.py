"""GPT-NeoX (Black et al., arXiv 2204.06745), and Pythia, which is built like it (Biderman et al., arXiv 2304.01373)."""

from bitbudget.models.families.loading import text_model_class as model_class

__all__ = ["model_class"]

ABOUT = "GPT-NeoX, as in Pythia [@biderman2023pythia]"
MODEL_TYPES = ("gpt_neox",)
TRACKS = ("lambada",)
UNAVAILABLE = None

# Paths of transformers 5.23; files on disk call the head `embed_out`, which transformers translates when it loads them.
GROUPS = {
    "embeddings": ("gpt_neox.embed_in",),
    "language": ("gpt_neox",),
    "language.attention": ("gpt_neox.layers.*.attention",),
    "language.mlp": ("gpt_neox.layers.*.mlp",),
    "head": ("lm_head",),
}
VISION_MODULES: tuple[str, ...] = ()
