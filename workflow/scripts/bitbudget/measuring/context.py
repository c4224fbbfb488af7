"""What a longer context costs: the bytes of keys and values, and how fast tokens follow a prompt of so many tokens."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from bitbudget.errors import UserError, reason
from bitbudget.measuring import quantities
from bitbudget.measuring.phases import PhaseTimer
from bitbudget.records import absent, metric

log = logging.getLogger("bitbudget")

Metric = dict[str, Any]
FEWEST = 3  # answers at each length that count


def cache_memory(answer: Callable[[], Any], prompt_tokens: int, new_tokens: int) -> Metric:
    """Bytes of the keys and values at the end of an answer, in MB.

    `answer()` gives what `generate` returns with `return_dict_in_generate`. The last token is not read any more, so the
    cache holds one position less than prompt and answer have.
    """
    try:
        held = getattr(answer(), "past_key_values", None)
    except (RuntimeError, TypeError, ValueError, AttributeError) as fault:
        return absent(f"the model gave no cache away ({reason(fault)}).", "MB", higher_is_better=False)
    size = bytes_of(held)
    if not size:
        return absent("the model does not show its keys and values.", "MB", higher_is_better=False)
    positions = prompt_tokens + new_tokens - 1
    about = {"bytes": size, "positions": positions, "new_tokens": new_tokens}
    return metric(size / 1e6, "MB", higher_is_better=False, n=1, **about)


def bytes_of(held: Any) -> int:
    """Bytes of all tensors in a cache, of whatever class, each storage once."""
    found: dict[int, int] = {}
    seen: set[int] = set()
    waiting = [held]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, torch.Tensor):
            found[one.untyped_storage().data_ptr()] = one.nbytes
        elif isinstance(one, list | tuple):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
        elif type(one).__module__.startswith("transformers.") and hasattr(one, "__dict__"):
            waiting += vars(one).values()
    return sum(found.values())


def prompt_of(tokens: Sequence[int], length: int) -> torch.Tensor:
    """These tokens repeated and cut to a prompt (1, length). Raises `UserError` where there are none."""
    if not tokens:
        raise UserError("the measured prompts have no text that could be repeated.")
    times = -(-length // len(tokens))
    return torch.tensor([(list(tokens) * times)[:length]])


def decode_rates(
    timer: PhaseTimer,
    generate: Callable[[Any], Any],
    tokens: Sequence[int],
    lengths: Sequence[int],
    min_seconds: float,
    device: str,
) -> dict[str, Metric]:
    """`decode_rate_at_{length}`: tokens a second after the first of an answer to so many tokens of text, at batch 1.

    `tokens` are those of the text that is repeated. Absent where the model takes no prompt of such a length.
    """
    found = {}
    for length in lengths:
        name = f"decode_rate_at_{length}"
        try:
            found[name] = _rate(timer, generate, prompt_of(tokens, length).to(device), min_seconds)
        except Exception as fault:  # of whatever a model does with a text alone; the rest was measured
            found[name] = absent(
                f"a prompt of {length} tokens of text was not answered ({reason(fault)}).", "tokens/s",
                higher_is_better=True,
            )  # fmt: skip
            log.warning("warning: %s", found[name]["absent"])
    return found


def _rate(timer: PhaseTimer, generate: Callable[[Any], Any], prompt: torch.Tensor, min_seconds: float) -> Metric:
    given = {"input_ids": prompt, "attention_mask": torch.ones_like(prompt)}
    generate(given)
    raw, began = [], time.perf_counter()
    while len(raw) < FEWEST or time.perf_counter() - began < min_seconds:
        raw.append(timer.time(lambda: given, generate).decode_rate)
    return quantities.rate(raw, "tokens/s")
