"""RT-DETR: a convolutional backbone, a hybrid encoder and queries chosen by score (Zhao et al., arXiv 2304.08069)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitbudget.models.families import detectors
from bitbudget.models.families.detectors import GROUPS, model_class

__all__ = ["GROUPS", "model_class"]

ABOUT = "RT-DETR [@zhao2024rtdetr]"
MODEL_TYPES = ("rt_detr",)
TRACKS = ("detection",)

SOURCE = "transformers"
# transformers works this embedding out in float64, for which the converter has no kernels.
FROZEN = ("RTDetrSinePositionEmbedding",)
PIXEL_MASK = False


def detector(config: Mapping[str, Any], processor: Mapping[str, Any]) -> dict[str, Any]:
    """What goes in and what comes out, from config.json and preprocessor_config.json."""
    # its processor, unlike the others', does not normalise unless it says so
    return detectors.specification(config, {"do_normalize": False} | dict(processor), "sigmoid", 32)
