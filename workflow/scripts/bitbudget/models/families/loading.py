"""How every family that transformers supports, or `bitbudget.models.native`, is loaded."""

from __future__ import annotations

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
