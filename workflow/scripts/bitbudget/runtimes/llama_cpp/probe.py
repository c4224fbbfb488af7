"""Whether llama.cpp computes with the weights that a file stands for, as the original's architecture does.

The original is run by torch with those weights in place of its own, on a few tokens, and its logits are compared with
llama.cpp's. So nothing that decides on answers can be wrong in a file, its settings and the order of its rows among
them. A module's weights are in memory while it computes, and no longer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bitbudget.models.streaming import Streamed
from bitbudget.runtimes.llama_cpp.decoder import Decoder

TOKENS = 48


def error(path: Path, original: Streamed, values: Callable[[str], np.ndarray | None], device: str) -> float:
    """The relative error of llama.cpp's logits; `values` gives a parameter's weights by name, in the original's order.

    The logits of a position count by their differences from their mean.
    """
    decoder = Decoder(path, TOKENS, torch.get_num_threads(), device=device)
    vocabulary = min(original.model.config.get_text_config().vocab_size, decoder.vocabulary)
    ids = np.random.default_rng(0).integers(0, vocabulary, TOKENS).tolist()
    decoder.read([ids], [0], [TOKENS])
    found = torch.from_numpy(decoder.logits()[:, :vocabulary])
    decoder.close()
    with torch.inference_mode(), _weights_in_turn(original, values):
        given = torch.tensor([ids], device=next(original.model.buffers(), torch.empty(0)).device)
        exact = original.model(input_ids=given, attention_mask=torch.ones_like(given), use_cache=False).logits
    exact = exact[0, :, :vocabulary].float().cpu()
    found, exact = (one - one.mean(-1, keepdim=True) for one in (found, exact))
    return float((found - exact).norm() / exact.norm())


@contextlib.contextmanager
def _weights_in_turn(original: Streamed, values: Callable[[str], np.ndarray | None]) -> Iterator[None]:
    """Have each module's own weights in place while it is called."""
    handles = []
    for path, module in original.model.named_modules():
        names = [f"{path}.{name}".lstrip(".") for name, _ in module.named_parameters(recurse=False)]
        if names:
            handles.append(module.register_forward_pre_hook(_bring(original, names, values)))
            handles.append(module.register_forward_hook(_take(original, names)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _bring(original: Streamed, names: list[str], values: Callable[[str], np.ndarray | None]) -> Callable[..., None]:
    def bring(module: nn.Module, given: tuple) -> None:
        original.fill(names)
        for name in names:
            held = values(name)
            if held is not None:
                there = original.model.get_parameter(name)
                there.copy_(torch.from_numpy(np.ascontiguousarray(held)))

    return bring


def _take(original: Streamed, names: list[str]) -> Callable[..., None]:
    def take(module: nn.Module, given: tuple, made: object) -> None:
        original.empty(names)

    return take
