"""A GGUF file (llama.cpp's form of a model): what it holds, and the snapshot that it is turned into.

The format is https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. transformers reads a file of the architectures
that it knows, tokenizer and configuration included, and brings its blocks of quantized weights back to floats. What is
written here is that model in safetensors, so that nothing after fetching knows where it came from.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from bitbudget.errors import UserError, reason

MAGIC = b"GGUF"
PART = re.compile(r"-\d{5}-of-\d{5}\.gguf$")
LEFT_OVER = ("quantization_config", "_name_or_path", "_model_name_or_path")  # of the configuration that was read
ON_LOADING = ("is_local", "local_files_only")  # of the tokenizer's


@dataclass(frozen=True)
class Held:
    """What a file holds: the number of tensors of each type, by falling number, and the bits of a matrix's weight.

    `bits` counts the scales and offsets of blocks, and only matrices, which are what is quantized.
    """

    types: dict[str, int]
    bits: float


def is_gguf(entry: dict[str, Any]) -> bool:
    """Whether an entry of config/models.yaml names a GGUF file."""
    return "file" in entry or entry.get("local", "").endswith(".gguf")


def held(path: Path) -> Held:
    """What a file holds. Raises `UserError` for one that is no GGUF file, cut off, or a part of one."""
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise UserError(f"{path} is no GGUF file: name one that llama.cpp reads.")
    if PART.search(path.name):
        raise UserError(f"{path} is one part of several: join them with llama.cpp's llama-gguf-split --merge.")
    try:
        from gguf import GGUFReader
    except ImportError:
        raise UserError(f"{path} can only be read with the package gguf: run `pip install gguf`.") from None
    try:
        tensors = GGUFReader(path).tensors
    except Exception as fault:  # the reader raises what numpy does for a file that ends too early
        raise UserError(f"{path} cannot be read as GGUF ({reason(fault)}): fetch it again.") from None
    types: dict[str, int] = {}
    for tensor in tensors:
        types[tensor.tensor_type.name] = types.get(tensor.tensor_type.name, 0) + 1
    matrices = [tensor for tensor in tensors if len(tensor.shape) > 1]
    weights = sum(math.prod(map(int, tensor.shape)) for tensor in matrices)
    if not weights:
        raise UserError(f"{path} holds no weights: name the file of a model.")
    bits = 8 * sum(int(tensor.n_bytes) for tensor in matrices) / weights
    return Held(dict(sorted(types.items(), key=lambda item: -item[1])), round(bits, 3))


def convert(path: Path, folder: Path, family: ModuleType, check_config: Callable[[Path], None]) -> str:
    """Write the model of a file to `folder`, as configuration, safetensors and tokenizer, and return its float format.

    The format is the smallest that holds every weight exactly: float32 for most files of quantized weights, whose
    products of scale and number need more digits than 16 bits have. `check_config` looks at config.json before the
    weights are read. The whole model is in memory once, in float32. Raises `UserError` for an architecture that
    transformers does not read, and for a file that lacks weights.
    """
    import torch
    from transformers import AutoConfig, AutoTokenizer

    place = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name, "local_files_only": True}
    folder.mkdir(parents=True, exist_ok=True)
    try:
        read = AutoConfig.from_pretrained(**place)
        settings = {key: value for key, value in read.to_dict().items() if key not in LEFT_OVER}
        type(read)(**settings).save_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(**place)
    except Exception as fault:  # a ValueError for an architecture, whatever a value's class raises for the rest
        raise UserError(f"transformers cannot read {path} ({reason(fault)}): name a GGUF file that it can.") from None
    check_config(folder / "config.json")
    tokenizer.save_pretrained(folder)
    _forget(folder / "tokenizer_config.json", ON_LOADING)

    loaded, about = family.model_class().from_pretrained(**place, dtype=torch.float32, output_loading_info=True)
    if about["missing_keys"]:
        name = sorted(about["missing_keys"])[0]
        raise UserError(f"{path} lacks weights of its model ({name} …): fetch it again, or name another file.")
    weights = loaded.state_dict()
    dtype = next((one for one in (torch.bfloat16, torch.float16) if _exact(weights.values(), one)), torch.float32)
    with torch.device("meta"):  # the one that was read counts as quantized, and does not let itself be saved
        model = type(loaded)(type(read)(**settings))
    model.load_state_dict({name: value.to(dtype) for name, value in weights.items()}, assign=True)
    model.tie_weights()
    model.generation_config = loaded.generation_config
    model.config.dtype = dtype
    model.save_pretrained(folder)
    return str(dtype).removeprefix("torch.")


def _exact(weights: Any, dtype: Any) -> bool:
    """Whether a 16-bit format holds every one of these float32 weights to the last bit."""
    return all(bool((value == value.to(dtype).to(value.dtype)).all()) for value in weights)


def _forget(path: Path, keys: tuple[str, ...]) -> None:
    said = {key: value for key, value in json.loads(path.read_text(encoding="utf-8")).items() if key not in keys}
    path.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
