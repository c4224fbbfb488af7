"""A detector of TensorFlow's: a SavedModel folder or a .keras file, which TensorFlow's own converter exports."""

from bitbudget.models.families.detectors import GROUPS

__all__ = ["GROUPS"]

ABOUT = "that of its SavedModel or .keras file"
MODEL_TYPES = ("saved-model",)
TRACKS = ("detection",)

SOURCE = "saved-model"
LOCAL = ("saved_model.pb", "")  # the folder has this file, or `local` is the .keras file itself
NEEDS_DETECTOR = True
