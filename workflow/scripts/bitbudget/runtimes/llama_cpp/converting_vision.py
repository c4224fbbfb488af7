"""From a snapshot to a GGUF file of its vision tower and projector (mmproj), by llama.cpp's own converter.

Pictures reach it as the tiles that transformers makes, so the file says of pictures that they are of a tile's size.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from bitbudget import files
from bitbudget.errors import UserError, reason
from bitbudget.models import readers
from bitbudget.models.families import parts
from bitbudget.models.groups import PROJECTOR, VISION, group_of
from bitbudget.models.streaming import Streamed
from bitbudget.runtimes.llama_cpp.converting import later

REMEDY = "give vision another format"


def convert(source: Path, original: Streamed, family: ModuleType, out: Path, file_type: str) -> dict[str, Any]:
    """Write tower and projector of the model in `source` to the file `out`, in a type (`gguf.LlamaFileType`'s name).

    Returns what is told of it: architecture, size of a tile, and how its pixels are normalised. Raises `UserError`
    where llama.cpp's converter does not know the architecture.
    """
    try:
        import gguf
        from conversion import MMPROJ_MODEL_MAP, get_model_class
    except ImportError as fault:
        raise UserError(readers.missing_package(f"a GGUF file of {source.name}", fault)) from None
    logging.getLogger("hf-to-gguf").setLevel(logging.ERROR)
    logging.getLogger("gguf").setLevel(logging.ERROR)
    config = original.model.config
    name = next(iter(config.architectures or [type(original.model).__name__]))
    if name not in MMPROJ_MODEL_MAP:
        raise UserError(
            f"llama.cpp's converter does not know the vision tower of the architecture {name} of {source}: {REMEDY}."
        )
    told = {"architecture": name, **_normalising(source), "size": config.vision_config.image_size}
    edges = dict.fromkeys(("longest_edge", "shortest_edge", "height", "width"), told["size"])
    names = seeing_names(original, family)

    try:
        Known = get_model_class(name, mmproj=True)

        class Converter(Known):
            """The converter for this architecture, with names and weights as they are here."""

            model_arch = Known.model_arch

            def __init__(self, *args: Any, **kwargs: Any):
                super().__init__(*args, **kwargs)
                pixels = {"image_mean": told["mean"], "image_std": told["std"], "size": edges}
                self.preprocessor_config = {**self.preprocessor_config, **pixels}

            def index_tensors(self, remote_hf_model_id: str | None = None) -> dict[str, Callable[[], Any]]:
                taken = [self.filter_tensors(one) for one in later(original, {name: name for name in names}).items()]
                if not all(taken):
                    raise LookupError("it leaves weights out")
                return dict(taken)

        settings = config.to_dict() | {"architectures": [name]}
        settings.pop("quantization_config", None)
        with torch.inference_mode(), files.written_whole(out) as temporary:
            kind = gguf.LlamaFileType[file_type]
            Converter(source, kind, temporary, hparams=settings, model_name=source.name).write()
    except (OSError, UserError):
        raise
    except Exception as fault:  # a converter of 50 architectures raises whatever its tensors make it
        raise UserError(
            f"llama.cpp's converter cannot convert the vision tower of {source} as {name} ({reason(fault)}): {REMEDY}."
        ) from None
    return told


def seeing_names(original: Streamed, family: ModuleType) -> list[str]:
    """The names of the weights that encode pictures."""
    groups = parts.groups(family, original.model)
    return [name for name, _ in original.model.named_parameters() if group_of(name, groups) in (VISION, PROJECTOR)]


def _normalising(source: Path) -> dict[str, list[float]]:
    """By what a snapshot's processor normalises pixels between 0 and 1."""
    pictures = readers.load_processor(source).image_processor
    if not pictures.do_rescale or not math.isclose(pictures.rescale_factor, 1 / 255, rel_tol=1e-6):
        raise UserError(f"llama.cpp reads pixels by 255ths, which the processor of {source} does not: {REMEDY}.")
    plain = not pictures.do_normalize
    mean, std = ([0.0] * 3, [1.0] * 3) if plain else (pictures.image_mean, pictures.image_std)
    return {"mean": [*map(float, mean)], "std": [*map(float, std)]}
