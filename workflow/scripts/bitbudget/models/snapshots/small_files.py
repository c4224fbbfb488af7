"""The JSON files of a snapshot: readable, objects, and a configuration that transformers can build from."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from bitbudget.errors import UserError, reason
from bitbudget.models import readers

OBJECTS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "preprocessor_config.json",
    "processor_config.json",
    "chat_template.json",
    "model.safetensors.index.json",
    "pytorch_model.bin.index.json",
)
MOST_LAYERS = 10_000
AGAIN = "fetch it again, or take it from the model's original repository"


def check_json(folder: Path) -> None:
    """Check that each of these files that is there is a JSON object. Raises `UserError` that names one that is not."""
    for name in OBJECTS:
        if (folder / name).is_file():
            read_object(folder / name)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds. Raises `UserError` where it holds none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as fault:
        raise UserError(f"{path} is not valid JSON ({reason(fault)}): {AGAIN}.") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} holds {_kind(found)} where a JSON object is expected: {AGAIN}.")
    return found


def _kind(value: Any) -> str:
    kinds = ((type(None), "null"), (list, "a list"), (str, "a text"), (bool, "true or false"))
    return next((words for kind, words in kinds if isinstance(value, kind)), "a number")


def check_configuration(folder: Path) -> Any:
    """The configuration that transformers reads from config.json.

    Raises `UserError` where it cannot, where the model is quantized already, and where generation_config.json names
    tokens that the model does not have.
    """
    from transformers import GenerationConfig

    path = folder / "config.json"
    said = read_object(path)
    for part in (said, *(value for value in said.values() if isinstance(value, dict))):
        if part.get("quantization_config"):
            raise UserError(
                f"{path} has a quantization_config, so the model is quantized already: name the original model in "
                "16 or 32 bits here, and this one as a precision of a study, as {name: …, checkpoint: …}."
            )
    _check_layers(path, said)
    try:
        config = readers.load_configuration(folder)
        rows = int(getattr(config.get_text_config(), "vocab_size", 0))
    except UserError as refusal:  # of a model of `bitbudget.models.native`
        raise UserError(f"the model in {folder} cannot be built: {refusal}") from None
    except Exception as fault:  # whatever the class of some model type raises for a value of some type
        raise UserError(f"transformers cannot read {path} ({reason(fault)}): {AGAIN}.") from None
    path = folder / "generation_config.json"
    if path.is_file():
        try:
            own = GenerationConfig.from_pretrained(folder, local_files_only=True)
        except Exception as fault:
            raise UserError(f"transformers cannot read {path} ({reason(fault)}): correct or delete it.") from None
        for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
            value = getattr(own, key)
            numbers = [] if value is None else value if isinstance(value, list) and value else [value]
            wrong = [one for one in numbers if type(one) is not int or not -1 <= one < rows]
            if wrong:
                given = "null" if wrong[0] is None else repr(wrong[0])
                raise UserError(
                    f"{path} gives {given} as {key}, and the model has the tokens 0 to {rows - 1}: "
                    "correct or delete the entry."
                )
    return config


def _check_layers(path: Path, part: dict[str, Any]) -> None:
    """Check that a configuration, or a part of it, does not describe so many layers that nobody could build them."""
    for key, value in part.items():
        if isinstance(value, dict):
            _check_layers(path, value)
        elif isinstance(value, int) and value > MOST_LAYERS and (key.endswith("layers") or key in ("depth", "n_layer")):
            raise UserError(f"{path} describes a model of {value} layers ({key}): {AGAIN}.")


def check_pictures(folder: Path, family: ModuleType, config: Any) -> None:
    """Check that a detector's preprocessor_config.json can be read. Raises `UserError`.

    What it leaves out, and config/models.yaml may say, is the matter of export_detector.
    """
    path = folder / "preprocessor_config.json"
    said = read_object(path) if path.is_file() else {}
    try:
        family.detector(config.to_dict(), said)
    except UserError:
        return
    except Exception as fault:  # a value of another type than the family reckons with
        raise UserError(f"{path} does not say how pictures are prepared ({reason(fault)}): {AGAIN}.") from None
