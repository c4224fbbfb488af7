"""Bunny (He et al., arXiv 2402.11530): a SigLIP tower, a two-layer projector and one of several small language models.

What is known of it was read from its repository (github.com/BAAI-DCAI/Bunny) and its model cards, and is held by tests
against a transcription in plain torch and against the sizes of the published files.
"""

from __future__ import annotations

from typing import Any


def parts() -> list[tuple[Any, Any, Any]]:
    """Configuration, model and processor of every kind of Bunny; the published names of weights become known, too."""
    from transformers.conversion_mapping import register_checkpoint_conversion_mapping

    from bitbudget.models.native.bunny.configuration import CONFIGURATIONS
    from bitbudget.models.native.bunny.modeling import model_of, renamings
    from bitbudget.models.native.bunny.processing import BunnyProcessor

    for model_type in CONFIGURATIONS:
        register_checkpoint_conversion_mapping(model_type, renamings())
    return [(one, model_of(one), BunnyProcessor) for one in CONFIGURATIONS.values()]
