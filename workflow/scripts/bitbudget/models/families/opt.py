"""OPT (Zhang et al., arXiv 2205.01068): learned positions, and a head that is tied to the embeddings."""

from bitbudget.models.families.loading import text_model_class as model_class
from bitbudget.models.groups import READING as GROUPS

__all__ = ["GROUPS", "model_class"]

ABOUT = "OPT [@zhang2022opt]"
MODEL_TYPES = ("opt",)
TRACKS = ("lambada",)
