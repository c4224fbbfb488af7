"""Phi-3-vision and Phi-3.5-vision: a CLIP tower, pictures cut into crops of 336 pixels, and a Phi-3 decoder.

See Abdin et al., arXiv 2404.14219, section 6. How a picture is cut follows Dong et al., arXiv 2404.06512. Files are
those of microsoft/Phi-3.5-vision-instruct on the Hub, whose own code is neither needed nor run.
"""

from __future__ import annotations

from typing import Any


def parts() -> list[tuple[Any, Any, Any]]:
    """Configuration, model and processor of each `model_type`."""
    from bitbudget.models.native.phi3_v.configuration import Phi3VConfig
    from bitbudget.models.native.phi3_v.model import Phi3VForCausalLM
    from bitbudget.models.native.phi3_v.processor import Phi3VProcessor

    return [(Phi3VConfig, Phi3VForCausalLM, Phi3VProcessor)]
