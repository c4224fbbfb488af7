"""A detector that is a .tflite file already."""

from bitbudget.models.families.detectors import GROUPS

__all__ = ["GROUPS"]

ABOUT = "that of its .tflite file"
MODEL_TYPES = ("tflite",)
TRACKS = ("detection",)

SOURCE = "tflite"
LOCAL = ("",)  # `local` is the file itself
NEEDS_DETECTOR = True
