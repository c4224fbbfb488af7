"""Loading a ready checkpoint, as transformers does."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from bitbudget.errors import UserError, reason
from bitbudget.models import checkpoint, hub, readers
from bitbudget.models.ready import adopting, methods
from bitbudget.system import verified


def load(folder: Path, made: dict[str, Any], family: ModuleType, device: str) -> nn.Module:
    """The model in the folder of an adopted checkpoint, whose manifest is `made`.

    Raises `UserError` where transformers cannot load it here, or finds weights missing.
    """
    remedy = f"delete {folder} and run the same command again"
    for name, facts in (made["files"] | made["copied"]).items():
        verified.hold(folder / name, facts, remedy)
    known = {*made["files"], *made["copied"], *adopting.OWN, checkpoint.MANIFEST}
    added = sorted(hub.wanted(path.name for path in folder.iterdir() if path.name not in known))
    if added:  # transformers might read it in the place of another
        raise UserError(f"{folder} holds {added[0]}, which is no file of {made['ready']['checkpoint']}: {remedy}.")
    if adopting.hash_of(folder, made) != made["checkpoint_hash"]:
        raise UserError(f"{folder} has changed since it was made: {remedy}.")
    method = made["ready"]["method"]
    methods.import_kernels(method)
    where = {} if device == "cpu" else {"device_map": {"": device}}
    source = made["ready"]["checkpoint"]
    try:
        # compressed-tensors shows bars of its own
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            model, report = family.model_class().from_pretrained(
                folder, dtype=getattr(torch, made["dtype"]), local_files_only=True, output_loading_info=True, **where
            )
            if hasattr(model, "ct_decompress_hook"):  # else its first answer would do it
                model.hf_quantizer.compressor.decompress_model(model)
    except Exception as fault:  # of a library of any method
        raise UserError(f"transformers cannot load {source} in {folder} here ({reason(fault)}).") from None
    missing = sorted(report["missing_keys"])
    if missing:
        number = f"{len(missing)} weight{'s' * (len(missing) > 1)}"
        raise UserError(f"{source} lacks {number} of the model ({missing[0]}), so it is no whole checkpoint.")
    readers.keep_ends(folder, model)
    return model.eval().requires_grad_(False)
