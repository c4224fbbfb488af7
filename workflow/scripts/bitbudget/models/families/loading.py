"""How every family that transformers supports, or `bitbudget.models.native`, is loaded."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from bitbudget.models import native


def model_class() -> Any:
    """The transformers class to call `from_pretrained` or `from_config` on; config.json decides what it builds."""
    from transformers import AutoModelForImageTextToText

    native.register()
    return AutoModelForImageTextToText


def text_model_class() -> Any:
    """The same for a model of text alone."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM


def takes(family: ModuleType, model_type: str) -> bool:
    """Whether the family's class builds models of this `model_type` in config.json."""
    from transformers import CONFIG_MAPPING

    built = family.model_class()._model_mapping
    return model_type in CONFIG_MAPPING and CONFIG_MAPPING[model_type] in built
