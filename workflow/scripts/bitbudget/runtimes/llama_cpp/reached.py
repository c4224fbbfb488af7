"""What reaches a vision-language model's decoder: for each prompt, its tokens and the embeddings of its pictures.

The torch model runs as ever, but for its decoder and its input embeddings, which have no weights here. In the place of
the embeddings every token is a row that is no number, and in the place of the decoder stands what keeps its inputs. So
whatever row is of numbers came from a picture, and each token of a prompt is known, and each embedding, as
transformers itself lays them out.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
import torch
from torch import nn

from bitbudget.errors import UserError
from bitbudget.models.asking import forms
from bitbudget.runtimes.llama_cpp.decoder import Run

# What decoders are called with that llama.cpp does as well, or that says nothing of what is read.
KNOWN = frozenset(
    ("input_ids", "inputs_embeds", "position_ids", "attention_mask", "past_key_values", "use_cache", "cache_position",
     "output_attentions", "output_hidden_states", "return_dict", "logits_to_keep")
)  # fmt: skip
REMEDY = "give its language, embeddings and head a format that torch runs"


class _CaughtError(Exception):
    """The decoder was called; what it was called with."""

    def __init__(self, given: dict[str, Any]):
        self.given = given


def divert(model: nn.Module) -> nn.Module:
    """Have a model's decoder keep what reaches it, and its embeddings give no numbers; both need no weights then."""
    decoder, embeddings = model.get_decoder(), model.get_input_embeddings()
    if decoder is None or decoder is model or getattr(decoder, "embed_dim_from_pictures", False):
        raise UserError(_cannot(model, "does not keep its decoder apart from the rest"))
    dtype, width = embeddings.weight.dtype, embeddings.weight.shape[1]

    def nothing(ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return torch.full((*ids.shape, width), torch.nan, dtype=dtype, device=ids.device)

    def catch(*args: Any, **given: Any) -> NoReturn:
        if args:
            given["input_ids"] = args[0]
        raise _CaughtError(given)

    embeddings.forward, decoder.forward = nothing, catch
    return model


def given_to_decoder(model: nn.Module, inputs: dict[str, Any]) -> dict[str, Any]:
    """What the decoder of a model that was diverted is called with for these inputs of a batch."""
    try:
        model(**inputs)
    except _CaughtError as caught:
        return caught.given
    raise UserError(_cannot(model, "never calls its decoder"))


def runs(model: nn.Module, inputs: dict[str, Any]) -> list[list[Run]]:
    """Each prompt of a batch without its padding, as runs of tokens, and of embeddings (tokens, width) in float32.

    Raises `UserError` where llama.cpp would not read them as transformers does.
    """
    given = given_to_decoder(model, inputs)
    refuse(model, given, inputs)
    ids, rows = inputs["input_ids"], given["inputs_embeds"]
    kept = inputs.get("attention_mask", torch.ones_like(ids)).bool()
    seen = ~rows.isnan().any(-1)
    picture = forms.image_token_id(model.config)
    if picture is not None and bool(((ids == picture) & ~seen & kept).any()):
        raise UserError("the vision tower gives no numbers for a picture: choose another format for it.")
    return [[*_split(ids[k][kept[k]], rows[k][kept[k]].float(), seen[k][kept[k]].tolist())] for k in range(len(ids))]


def _split(ids: torch.Tensor, rows: torch.Tensor, seen: list[bool]) -> Iterator[Run]:
    begin = 0
    for end in range(1, len(seen) + 1):
        if end == len(seen) or seen[end] != seen[begin]:
            yield np.ascontiguousarray(rows[begin:end].cpu().numpy()) if seen[begin] else ids[begin:end].tolist()
            begin = end


def refuse(model: nn.Module, given: dict[str, Any], inputs: dict[str, Any]) -> None:
    """Raise `UserError` where a decoder is given what llama.cpp could not be given."""
    if given.get("inputs_embeds") is None or "input_ids" not in inputs:
        raise UserError(_cannot(model, "gives its decoder no embeddings of the tokens and pictures"))
    more = [name for name, value in given.items() if name not in KNOWN and value is not None and value is not False]
    if more:
        raise UserError(_cannot(model, f"gives its decoder more than one embedding for each token ({more[0]})"))
    mask = given.get("attention_mask")
    if mask is not None and not (isinstance(mask, torch.Tensor) and mask.dim() == 2):
        raise UserError(_cannot(model, "has an attention mask of its own, by which image tokens see later ones"))
    if given["inputs_embeds"].shape[:2] != inputs["input_ids"].shape:
        raise UserError(_cannot(model, "has other positions in its decoder than tokens in its prompt"))
    places = given.get("position_ids")
    if places is None:
        return
    if places.dim() > 2:
        raise UserError(_cannot(model, "counts positions in more than one direction (M-RoPE)"))
    kept = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"])).bool()
    places = places.expand(len(kept), -1)
    if any(not torch.equal(row[own] - row[own][:1], torch.arange(int(own.sum()), device=row.device))
           for row, own in zip(places, kept, strict=True)):  # fmt: skip
        raise UserError(_cannot(model, "counts positions of its own"))


def _cannot(model: nn.Module, why: str) -> str:
    return (
        f"llama.cpp cannot run the decoder of a model of type {model.config.model_type} here, which {why}: {REMEDY}, "
        "or leave the precision out."
    )


def check(model: nn.Module, family: ModuleType, processor: Any) -> int:
    """Hold a diverted model to what llama.cpp can be given, by one small picture; returns its tokens of the picture.

    Raises `UserError` that says why it cannot.
    """
    from PIL import Image

    form = forms.probe(processor, model.config.model_type)
    prompt = forms.write(form, processor, family, 1, "What is it?")
    size = (48, 32)
    given = forms.read(processor, [[Image.linear_gradient("L").resize(size).convert("RGB")]], [prompt])
    [found] = runs(model, dict(given.to(device=given["input_ids"].device, dtype=model.dtype)))
    return sum(len(run) for run in found if isinstance(run, np.ndarray))
