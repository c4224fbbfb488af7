"""Any language model that transformers has: its parts are read from the model itself."""

from bitbudget.models.families.loading import text_model_class as model_class
from bitbudget.models.groups import READING as GROUPS

__all__ = ["GROUPS", "model_class"]

ABOUT = "that of transformers' {model_type} [@wolf2020transformers]"
KIND = "language model"
MODEL_TYPES = ()
TRACKS = ("lambada",)
