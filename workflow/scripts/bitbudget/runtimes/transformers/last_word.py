"""How well a language model knows the last word of a passage: the tokens that are scored, and their scores.

The passage is split as lm-evaluation-harness (`TemplateLM._encode_pair`) splits it: passage and context are encoded,
and the target is what the passage has more, so that the space before the word goes to the word, in whatever way the
tokenizer writes it. Encoding the word by itself goes wrong: Llama 2's tokenizer would put a second `▁` before it, and
byte-level ones know `mat` and ` mat` as different tokens. Two things are done differently, and recorded:

- Where word and context share a token, the target begins with that token and the context ends before it; the harness
  would score tokens that are no encoding of the passage.
- Where a passage is longer than the model's positions, tokens are dropped from the left as in the harness, but the one
  that begins the text stays, because models that were trained with one break without it.

What begins a text, `bos`, is `auto` (what the tokenizer itself puts before a text: Llama and OPT do, GPT-NeoX and Qwen
do not), `always` or `never`. The harness leaves it to the tokenizer, too, since its pull request 3347 of October 2025;
before, the default was `never`, but for Gemma, whose LAMBADA accuracy is 0.004 without and 0.67 with it (pull request
1465).
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from bitbudget.errors import UserError
from bitbudget.untrusted import plain_text

Tensor = torch.Tensor


@dataclass(frozen=True)
class Passage:
    """An item's tokens: what is read, with what begins the text, and the last word.

    `shortened`: tokens were dropped from the left; `merged`: the first target token also holds the end of the context.
    """

    id: str
    prompt: list[int]
    target: list[int]
    shortened: bool
    merged: bool

    @property
    def read(self) -> int:
        """How many tokens the model reads: all but the last one of the target, which is only predicted."""
        return len(self.prompt) + len(self.target) - 1


@dataclass(frozen=True)
class LastWord:
    """What a model makes of a passage's last word; a line of predictions.jsonl, beside the id."""

    text: str  # the likeliest token at each of the target's positions, given the target's tokens before it
    rank: int  # of the target's first token: one more than the tokens with a greater logit, or an equal one before it
    greedy: bool  # every target token is the likeliest: greedy decoding writes the whole word
    logprob: float  # natural logarithm of the probability of all target tokens
    target_tokens: int
    prompt_tokens: int  # padding not counted


def beginning(tokenizer: Any, bos: str) -> list[int]:
    """The tokens before every text: for `bos` `auto` the tokenizer's own, for `always` a BOS in any case.

    Raises `UserError` where `always` asks for a token that the tokenizer does not have.
    """
    if bos == "never":
        return []
    plain, whole = tokenizer("a", add_special_tokens=False)["input_ids"], tokenizer("a")["input_ids"]
    start = next(k for k in range(len(whole)) if whole[k : k + len(plain)] == plain)
    if start or bos == "auto":
        return whole[:start]
    if tokenizer.bos_token_id is None:
        raise UserError(
            f"the tokenizer in {tokenizer.name_or_path} has no token that begins a text, which the study's "
            "`last_word: {bos: always}` asks for: set it to auto or never."
        )
    return [tokenizer.bos_token_id]


def positions(model: Any) -> int | None:
    """How many tokens the model can read; None where its configuration sets no limit."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


def encode(tokenizer: Any, begin: list[int], item: dict[str, Any], room: int | None) -> Passage:
    """The tokens of an item (a line of items.jsonl), so many that the model reads at most `room` of them.

    The last target token is predicted and never read. Raises `UserError` that names an item without a token to read,
    one whose last word has none, and one whose last word alone is too long.
    """
    context, word = item["question"], item["references"][0]
    stem = context.rstrip()  # white space before the word goes to the word
    before, whole = _ids(tokenizer, stem, item), _ids(tokenizer, f"{context} {word}", item)
    shared = _common(before, whole)
    target = whole[shared:]
    if not target:
        raise UserError(f"the last word {word!r} of item {item['id']} is nothing to the tokenizer: leave the item out.")
    if not begin and not shared:
        raise UserError(
            f"nothing stands before the last word {word!r} of item {item['id']}: leave the item out, or set "
            "`last_word: {bos: always}` in the study."
        )
    kept = _last(whole[:shared], None if room is None else room + 1 - len(begin) - len(target))
    if kept is None or not begin + kept:
        raise UserError(
            f"the last word {word[:40]!r} of item {item['id']} has {len(target)} tokens, too many for the {room} "
            "positions that the model knows: leave the item out."
        )
    return Passage(item["id"], begin + kept, target, len(kept) < shared, shared < len(before))


def _ids(tokenizer: Any, text: str, item: dict[str, Any]) -> list[int]:
    """A text's tokens, without any that the tokenizer puts before it or, as some do, after it."""
    return plain_text.of(tokenizer).ids(text, f"item {item['id']}")


def _common(first: list[int], second: list[int]) -> int:
    """How many tokens the two begin with alike."""
    return next(
        (k for k, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


def _last(ids: list[int], count: int | None) -> list[int] | None:
    """The last `count` tokens, all where it is None; None for a negative count."""
    if count is None:
        return ids
    return None if count < 0 else ids[max(0, len(ids) - count) :]


def contexts(tokenizer: Any, begin: list[int], items: Sequence[dict[str, Any]], room: int | None) -> list[list[int]]:
    """The tokens of the items' contexts alone, to be gone on with: the last `room` at most, and what begins the text.

    Raises `UserError` where there is no room for a single token.
    """
    count = None if room is None else room - len(begin)
    if count is not None and count < 1:
        raise UserError(f"the model's positions leave {room} for the prompt: set a smaller `measure.new_tokens`.")
    found = [_last(_ids(tokenizer, item["question"].rstrip(), item), count) for item in items]
    return [begin + ids for ids in found]


def padded(tokenizer: Any, rows: Sequence[list[int]], device: str) -> dict[str, Tensor]:
    """Model inputs of rows of tokens: `input_ids` and `attention_mask`, (rows, longest), padded on the left."""
    pad = next((one for one in (tokenizer.pad_token_id, tokenizer.eos_token_id) if one is not None), 0)
    longest = max(map(len, rows))
    ids = torch.tensor([[pad] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}


@torch.inference_mode()
def score(
    model: Any, tokenizer: Any, passages: Sequence[Passage], device: str, precision: str
) -> list[tuple[LastWord, Tensor]]:
    """Each passage's last word, and the logits of its first token, (vocabulary,), float32; all in one batch.

    Raises `UserError` that names item and precision where logits are not finite.
    """
    rows = [passage.prompt + passage.target[:-1] for passage in passages]
    logits = _last_logits(model, padded(tokenizer, rows, device), max(len(p.target) for p in passages))
    return [
        _scored(tokenizer, p, one[-len(p.target) :].float(), precision) for p, one in zip(passages, logits, strict=True)
    ]


def _last_logits(model: Any, inputs: dict[str, Tensor], count: int) -> Tensor:
    """Logits of the last `count` positions at least, (rows, positions, vocabulary).

    Positions are counted as `generate` counts them, so that padding has none of its own, and where `forward` can leave
    out the logits of the positions before, it does: with a vocabulary of 150 000 they are larger than the model.
    """
    takes = inspect.signature(model.forward).parameters
    more: dict[str, Any] = {}
    if "position_ids" in takes:
        mask = inputs["attention_mask"]
        more["position_ids"] = (mask.cumsum(-1) - 1).masked_fill(mask == 0, 0)
    if "logits_to_keep" in takes:
        more["logits_to_keep"] = count
    return model(**inputs, **more, use_cache=False).logits


def _rank(logits: Tensor, token: int) -> int:
    """A token's place by falling logits, (vocabulary,); equal ones, common in 16 bits, stand as `argmax` takes them."""
    return 1 + int((logits > logits[token]).sum() + (logits[:token] == logits[token]).sum())


def _scored(tokenizer: Any, passage: Passage, logits: Tensor, precision: str) -> tuple[LastWord, Tensor]:
    """The last word's scores from the logits that predict its tokens, (target tokens, vocabulary), float32."""
    target = torch.tensor(passage.target, device=logits.device)
    logprob = logits.log_softmax(-1).gather(-1, target[:, None]).sum()
    if logits.isnan().any() or not logprob.isfinite():
        raise UserError(
            f"{precision} gives logits that are no numbers for item {passage.id}: take another baseline format for "
            "this model (bfloat16 and float32 have the range that float16 lacks), or leave this precision out."
        )
    likeliest = logits.argmax(-1)
    text = tokenizer.decode(likeliest.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    first = logits[0]
    row = LastWord(
        text=text.strip(),
        rank=_rank(first, passage.target[0]),
        greedy=bool((likeliest == target).all()),
        logprob=float(logprob),
        target_tokens=len(passage.target),
        prompt_tokens=len(passage.prompt),
    )
    return row, first.cpu()
