"""Models that transformers lacks, built from its own modules and read as they are published, without remote code.

A package here is one architecture: its configuration, model and processor. It has `parts()`, which gives a triple of
these classes for every `model_type` that it reads.
"""

from functools import cache


@cache
def register() -> None:
    """Make transformers' Auto classes know these models; whatever loads a model calls this first."""
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    from bitbudget.models.native import bunny, phi3_v

    packages = (bunny, phi3_v)
    for configuration, model, processor in (part for package in packages for part in package.parts()):
        AutoConfig.register(configuration.model_type, configuration)
        AutoModelForImageTextToText.register(configuration, model)
        AutoProcessor.register(configuration, processor)
