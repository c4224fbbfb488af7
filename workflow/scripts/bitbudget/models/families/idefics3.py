"""Idefics3 and SmolVLM: a SigLIP tower, a connector that shuffles pixels into channels, and a Llama decoder.

See Laurençon et al., arXiv 2408.12637, and Marafioti et al., arXiv 2504.05299. The first SmolVLM models say
`idefics3` in their config.json, SmolVLM2 says `smolvlm`; transformers builds both with the same paths.
"""

from bitbudget.models.families.chat import conversation
from bitbudget.models.families.loading import model_class
from bitbudget.models.groups import SEEING as GROUPS

__all__ = ["GROUPS", "conversation", "model_class"]

ABOUT = "Idefics3 / SmolVLM [@laurencon2024idefics3; @marafioti2025smolvlm]"
MODEL_TYPES = ("idefics3", "smolvlm")
TRACKS = ("captioning", "vqa")
