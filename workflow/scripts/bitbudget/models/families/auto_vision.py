"""Any vision-language model that transformers has: its parts are read from the model itself."""

from bitbudget.models.families.chat import conversation
from bitbudget.models.families.loading import model_class
from bitbudget.models.groups import SEEING as GROUPS

__all__ = ["GROUPS", "conversation", "model_class"]

ABOUT = "that of transformers' {model_type} [@wolf2020transformers]"
KIND = "vision-language model"
MODEL_TYPES = ()
TRACKS = ("captioning", "vqa")
