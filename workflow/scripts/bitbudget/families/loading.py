"""How every family that transformers itself supports is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def model_class() -> Any:
    """The transformers class to call `from_pretrained` or `from_config` on; config.json decides what it builds."""
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText


def load_model(folder: Path, dtype: Any) -> Any:
    """The model in `folder`, in evaluation mode on the CPU.

    `dtype` is a `torch.dtype`, or "auto" for the one that the files are in. Nothing is looked up on the Hub and no
    code from the folder is run.
    """
    return model_class().from_pretrained(folder, dtype=dtype, local_files_only=True).eval()
