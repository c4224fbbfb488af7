"""Whether a vision tower takes what its processor makes of a picture, and makes a feature for each image token."""

from __future__ import annotations

import inspect
import logging
from pathlib import Path
from types import ModuleType
from typing import Any

from bitbudget.errors import UserError, reason
from bitbudget.models.asking import forms
from bitbudget.models.snapshots.small_files import AGAIN

log = logging.getLogger("bitbudget")


def check_picture(folder: Path, family: ModuleType, config: Any, inputs: Any) -> None:
    """Run the tower, with weights of zero, on the `inputs` of one picture; of a picture in tiles, on its first tile.

    Shapes alone matter here. Raises `UserError` where they do not fit: the processor's settings are of another model. A
    model without tokens that stand for a picture, or without a tower of its own, is not looked at.
    """
    import torch

    model = _blank(family, config)
    number, features_of = forms.image_token_id(config), getattr(model, "get_image_features", None)
    if number is None or features_of is None or "input_ids" not in inputs:
        log.info("models of type %s do not say what their tower makes of a picture: not checked", config.model_type)
        return
    tokens = int((inputs["input_ids"] == number).sum())
    takes = inspect.signature(features_of).parameters
    given = {name: value for name, value in inputs.items() if name in takes and name != "input_ids"}
    tiles = given["pixel_values"].shape[1] if "pixel_values" in given and given["pixel_values"].dim() == 5 else None
    if tiles and all(value.dim() >= 3 and value.shape[1] == tiles for value in given.values()):
        tokens //= tiles  # batch, tiles, channels, height, width
        given = {name: value[:, :1] for name, value in given.items()}
    try:
        with torch.inference_mode():
            found = features_of(**given)
    except (RuntimeError, ValueError, IndexError, TypeError) as fault:
        raise UserError(
            f"the vision tower in {folder} cannot take a picture as preprocessor_config.json or processor_config.json "
            f"prepares it ({reason(fault)}): {AGAIN}."
        ) from None
    found = getattr(found, "pooler_output", found)
    features = sum(one.numel() // one.shape[-1] for one in ([found] if torch.is_tensor(found) else found))
    if features != tokens and _compares(model):
        raise UserError(
            f"the processor of {folder} writes {tokens} image tokens for a picture, and the model makes {features}: "
            f"preprocessor_config.json, processor_config.json and config.json are not of one model; {AGAIN}."
        )


def _compares(model: Any) -> bool:
    """Whether a model puts its features in the places of its image tokens, one in each; this project's own do."""
    ways = ("get_placeholder_mask", "inputs_merger")
    own = type(model).__module__.startswith("bitbudget.")
    return own or any(hasattr(one, way) for one in (model, model.base_model) for way in ways)


def _blank(family: ModuleType, config: Any) -> Any:
    """The model with weights of zero; its buffers are real.

    Each weight is one zero that is read again and again, so that the model takes no memory.
    """
    import torch
    from accelerate import init_empty_weights
    from transformers.initialization import no_init_weights

    with no_init_weights(), init_empty_weights(include_buffers=False):
        model = family.model_class().from_config(config, dtype=torch.float32)
    for module in model.modules():
        for name, value in module._parameters.items():
            if value is not None:
                module._parameters[name] = torch.nn.Parameter(torch.zeros(()).expand(value.shape), requires_grad=False)
    return model.eval()
