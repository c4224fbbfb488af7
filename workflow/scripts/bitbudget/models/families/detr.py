"""DETR: a convolutional backbone, a transformer and a set of queries (Carion et al., arXiv 2005.12872)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitbudget.models.families import detectors
from bitbudget.models.families.detectors import GROUPS, model_class

__all__ = ["GROUPS", "model_class"]

ABOUT = "DETR [@carion2020detr]"
MODEL_TYPES = ("detr",)
TRACKS = ("detection",)

SOURCE = "transformers"
FROZEN = ("DetrSinePositionEmbedding", "DetrLearnedPositionEmbedding")
PIXEL_MASK = True


def detector(config: Mapping[str, Any], processor: Mapping[str, Any]) -> dict[str, Any]:
    """What goes in and what comes out, from config.json and preprocessor_config.json."""
    return detectors.specification(config, processor, "softmax", 32)  # the backbone's stride
