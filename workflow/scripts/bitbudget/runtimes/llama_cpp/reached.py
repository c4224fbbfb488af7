"""What reaches a vision-language model's decoder: for each prompt, its tokens and the embeddings of its pictures.

The torch model runs as ever, but for its decoder and its input embeddings, which have no weights here. In the place of
the embeddings every token is a row that is no number, and in the place of the decoder stands what keeps its inputs. So
whatever row is of numbers came from a picture, and each token of a prompt is known, and each embedding, as
transformers itself lays them out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
import torch
from torch import nn

from bitbudget.errors import UserError, reason
from bitbudget.models import readers
from bitbudget.models.asking import forms, image_tokens
from bitbudget.models.families import parts
from bitbudget.models.groups import READING, group_of
from bitbudget.models.streaming import Streamed
from bitbudget.runtimes.llama_cpp.decoder import Picture, Run, span

# What decoders are called with that llama.cpp does as well, or that says nothing of what is read.
KNOWN = frozenset(
    ("input_ids", "inputs_embeds", "position_ids", "attention_mask", "past_key_values", "use_cache", "cache_position",
     "output_attentions", "output_hidden_states", "return_dict", "logits_to_keep")
)  # fmt: skip
SIZE = 48, 32  # of the picture that a model is tried with, in pixels
# What Qwen3-VL's is called with: which tokens are of pictures (rows, tokens), and what its first layers add to these.
MORE = MORE_OF, MORE_ROWS = "visual_pos_masks", "deepstack_visual_embeds"
REMEDY = "give its language, embeddings and head a format that torch runs"


class _CaughtError(Exception):
    """The decoder was called; what it was called with."""

    def __init__(self, given: dict[str, Any]):
        self.given = given


def divert(model: nn.Module) -> nn.Module:
    """Have a model's decoder keep what reaches it, and its embeddings give no numbers; both need no weights then."""
    decoder, embeddings = model.get_decoder(), model.get_input_embeddings()
    if readers.encodes_text(model.config):
        raise UserError(_cannot(model, "reads its prompt with an encoder"))
    if decoder is None or decoder is model:
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


def undo(model: nn.Module) -> None:
    """Have a model's decoder and embeddings work again as they did before `divert`."""
    for module in (model.get_decoder(), model.get_input_embeddings()):
        vars(module).pop("forward", None)


def given_to_decoder(model: nn.Module, inputs: dict[str, Any]) -> dict[str, Any]:
    """What the decoder of a model that was diverted is called with for these inputs of a batch."""
    try:
        model(**inputs)
    except _CaughtError as caught:
        return caught.given
    raise UserError(_cannot(model, "never calls its decoder"))


def runs(model: nn.Module, inputs: dict[str, Any]) -> list[list[Run]]:
    """Each prompt of a batch without its padding, as runs of tokens, and pictures.

    Raises `UserError` where llama.cpp would not read them as transformers does.
    """
    if "input_ids" not in inputs:
        raise UserError(_cannot(model, "has no tokens in its prompt"))
    given = given_to_decoder(model, inputs)
    ids, rows = inputs["input_ids"], given.get("inputs_embeds")
    if rows is None:
        raise UserError(_cannot(model, "gives its decoder no embeddings of the tokens and pictures"))
    more = [
        name
        for name, value in given.items()
        if name not in (*KNOWN, *MORE) and value is not None and value is not False
    ]
    if more:
        raise UserError(_cannot(model, f"gives its decoder more than one embedding for each token ({more[0]})"))
    if rows.shape[:2] != ids.shape:
        raise UserError(_cannot(model, "has other positions in its decoder than tokens in its prompt"))
    kept = inputs.get("attention_mask", torch.ones_like(ids)).bool()
    seen = ~rows.isnan().any(-1)
    picture = forms.image_token_id(model.config)
    if picture is not None and bool(((ids == picture) & ~seen & kept).any()):
        raise UserError("the vision tower gives no numbers for a picture: choose another format for it.")
    rows = _with_more(rows, given)
    places, masks = _places(model, given, kept), _masks(model, given)
    return [
        _row(model, ids[k][own], rows[k][own], seen[k][own], places[k][:, own],
             [mask[k if len(mask) > 1 else 0, 0][own][:, own] for mask in masks])
        for k, own in enumerate(kept)
    ]  # fmt: skip


def _with_more(rows: torch.Tensor, given: dict[str, Any]) -> torch.Tensor:
    """The embeddings (rows, tokens, width), and beside each what the first layers add to it, (rows, tokens, widths)."""
    layers = given.get(MORE_ROWS)
    if layers is None:
        return rows
    added = rows.new_zeros(*rows.shape[:2], len(layers), rows.shape[2])
    added[given[MORE_OF]] = torch.stack(list(layers), 1).to(rows)
    return torch.cat([rows, added.flatten(2)], -1)


def _places(model: nn.Module, given: dict[str, Any], kept: torch.Tensor) -> torch.Tensor:
    """The positions of every token of every row, (rows, directions, tokens), each row counted from 0."""
    places = given.get("position_ids")
    if places is None:
        return (kept.cumsum(-1) - 1)[:, None]
    places = places.expand(*places.shape[:-2], *kept.shape)
    if places.dim() == 2:
        places = places[None]
    elif places.dim() != 3 or len(places) not in (3, 4):
        raise UserError(_cannot(model, f"counts positions in {len(places)} directions"))
    places = places[-3:].transpose(0, 1)  # the first of four is that of a text
    begins = torch.stack([row[:, own][:, :1] for row, own in zip(places, kept, strict=True)])
    return places - begins


def _masks(model: nn.Module, given: dict[str, Any]) -> list[torch.Tensor]:
    """Which token may see which, (rows, 1, tokens, tokens), in each kind of layer; none where it is the earlier ones"""
    mask = given.get("attention_mask")
    masks = [one for one in (mask.values() if isinstance(mask, dict) else [mask]) if one is not None]
    if any(not isinstance(one, torch.Tensor) or one.dim() not in (2, 4) for one in masks):
        raise UserError(_cannot(model, "has an attention mask of its own"))
    return [one if one.dtype == torch.bool else one == 0 for one in masks if one.dim() == 4]


def _row(
    model: nn.Module,
    ids: torch.Tensor,
    rows: torch.Tensor,
    seen: torch.Tensor,
    places: torch.Tensor,
    masks: list[torch.Tensor],
) -> list[Run]:
    """The runs of one prompt: tokens (tokens,), embeddings (tokens, width), places (directions, tokens)."""
    ends = [*(torch.nonzero(seen[1:] != seen[:-1]).flatten() + 1).tolist(), len(ids)]
    parts = [slice(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]
    mutual = _mutual(model, masks, [part for part in parts if seen[part.start]])
    found: list[Run] = []
    at = 0
    for part in parts:
        here = places[:, part]
        if seen[part.start]:
            values = np.ascontiguousarray(rows[part].float().cpu().numpy())
            own = None if len(places) == 1 else (here - at).cpu().numpy()
            found.append(Picture(values, own, mutual))
        else:
            found.append(ids[part].tolist())
        length = span(found[-1])
        if not (seen[part.start] and len(places) > 1):
            expected = torch.arange(at, at + length, device=here.device)
            if not bool((here == expected).all()):
                raise UserError(_cannot(model, "counts positions in a way of its own"))
        at += length
    return found


def _mutual(model: nn.Module, masks: list[torch.Tensor], pictures: list[slice]) -> bool:
    """Whether the tokens of a picture see one another, by the masks (tokens, tokens) of a prompt."""
    if not masks:
        return False
    count = len(masks[0])
    earlier = torch.ones(count, count, dtype=torch.bool, device=masks[0].device).tril()
    both = earlier.clone()
    for part in pictures:
        both[part, part] = True
    for wanted in (earlier, both):
        if all(torch.equal(mask, wanted) for mask in masks):
            return wanted is both
    raise UserError(_cannot(model, "has an attention mask of its own, by which tokens see later ones"))


def _cannot(model: nn.Module, why: str) -> str:
    return (
        f"llama.cpp cannot run the decoder of a model of type {model.config.model_type} here, which {why}: {REMEDY}, "
        "or leave the precision out."
    )


@contextlib.contextmanager
def trying(original: Streamed, family: ModuleType, source: Path) -> Iterator[tuple[nn.Module, dict[str, Any]]]:
    """The original, diverted and with the weights of what encodes pictures, and its inputs for one small picture.

    Whatever fails with them is raised as a `UserError`.
    """
    from PIL import Image

    model, groups = original.model, parts.groups(family, original.model)
    needed = [name for name, _ in model.named_parameters() if group_of(name, groups) not in READING]
    processor = readers.load_processor(source)
    image_tokens.bound(processor, model.config, family, max(SIZE), None, enlarge=False)  # one tile, where it can be
    form = forms.probe(processor, model.config.model_type)
    noise = np.random.default_rng(0).integers(0, 256, (*reversed(SIZE), 3), dtype=np.uint8)
    device = next(model.buffers(), torch.empty(0)).device
    with original.holding(needed), torch.inference_mode():
        try:
            divert(model)
            prompt = forms.write(form, processor, family, 1, "What is it?")
            given = forms.read(processor, [[Image.fromarray(noise)]], [prompt])
            yield model, dict(given.to(device, model.dtype))
        except UserError:
            raise
        except Exception as fault:  # each processor and model has exceptions of its own
            raise UserError(_cannot(model, f"does not take a small picture ({reason(fault)})")) from None
        finally:
            undo(model)


def check(original: Streamed, family: ModuleType, source: Path) -> None:
    """Hold a model to what llama.cpp can be given, by one small picture.

    What encodes pictures is brought into memory. Raises `UserError` that says why llama.cpp cannot run its decoder.
    """
    with trying(original, family, source) as (model, inputs):
        runs(model, inputs)
