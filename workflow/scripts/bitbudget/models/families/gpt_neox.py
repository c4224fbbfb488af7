"""GPT-NeoX (Black et al., arXiv 2204.06745), and Pythia, which is built like it (Biderman et al., arXiv 2304.01373)."""

from bitbudget.models.families.loading import text_model_class as model_class
from bitbudget.models.groups import READING as GROUPS

__all__ = ["GROUPS", "model_class"]

ABOUT = "GPT-NeoX, as in Pythia [@biderman2023pythia]"
MODEL_TYPES = ("gpt_neox",)
TRACKS = ("lambada",)
