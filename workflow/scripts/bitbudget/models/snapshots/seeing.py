"""Whether a vision tower takes what its processor makes of a picture, and makes a feature for each image token."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

from bitbudget.errors import UserError, reason
from bitbudget.models.families import parts
from bitbudget.models.snapshots.small_files import AGAIN


def check_picture(folder: Path, family: ModuleType, config: Any, inputs: Any) -> None:
    """Run the tower, with weights of zero, on the `inputs` of one picture; of a picture in tiles, on its first tile.

    Shapes alone matter here. Raises `UserError` where they do not fit: the processor's settings are of another model.
    """
    import torch

    tokens = int((inputs["input_ids"] == config.image_token_id).sum())
    given = {name: value for name, value in inputs.items() if name.startswith(("pixel_", "image_"))}
    if given["pixel_values"].dim() == 5:  # batch, tiles, channels, height, width
        tokens //= given["pixel_values"].shape[1]
        given = {name: value[:, :1] for name, value in given.items()}
    model = _blank(family, config)
    takes = inspect.signature(model.get_image_features).parameters
    try:
        with torch.inference_mode():
            found = model.get_image_features(**{name: value for name, value in given.items() if name in takes})
    except (RuntimeError, ValueError, IndexError, TypeError) as fault:
        raise UserError(
            f"the vision tower in {folder} cannot take a picture as preprocessor_config.json or processor_config.json "
            f"prepares it ({reason(fault)}): {AGAIN}."
        ) from None
    found = getattr(found, "pooler_output", found)
    features = sum(one.numel() // one.shape[-1] for one in ([found] if torch.is_tensor(found) else found))
    if features != tokens:
        raise UserError(
            f"the processor of {folder} writes {tokens} image tokens for a picture, and the model makes {features}: "
            f"preprocessor_config.json, processor_config.json and config.json are not of one model; {AGAIN}."
        )


def _blank(family: ModuleType, config: Any) -> Any:
    """The model with weights of zero in its vision modules, and none elsewhere; its buffers are real.

    Each weight is one zero that is read again and again, so that the tower takes no memory.
    """
    import torch
    from accelerate import init_empty_weights
    from transformers.initialization import no_init_weights

    with no_init_weights(), init_empty_weights(include_buffers=False):
        model = family.model_class().from_config(config, dtype=torch.float32)
    for path in parts.vision_modules(family, model):
        for module in model.get_submodule(path).modules():
            for name, value in module._parameters.items():
                if value is not None:
                    module._parameters[name] = torch.nn.Parameter(
                        torch.zeros(()).expand(value.shape), requires_grad=False
                    )
    return model.eval()
