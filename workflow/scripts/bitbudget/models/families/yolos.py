"""YOLOS: a ViT that reads patches and detection tokens together (Fang et al., arXiv 2106.00666)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitbudget.models.families import detectors
from bitbudget.models.families.detectors import GROUPS, model_class

__all__ = ["GROUPS", "model_class"]

ABOUT = "YOLOS, a plain vision transformer with detection tokens [@fang2021yolos]"
MODEL_TYPES = ("yolos",)
TRACKS = ("detection",)

SOURCE = "transformers"
FROZEN = ("InterpolateInitialPositionEmbeddings", "InterpolateMidPositionEmbeddings")
PIXEL_MASK = False


def detector(config: Mapping[str, Any], processor: Mapping[str, Any]) -> dict[str, Any]:
    """What goes in and what comes out, from config.json and preprocessor_config.json."""
    return detectors.specification(config, processor, "softmax", config["patch_size"])
