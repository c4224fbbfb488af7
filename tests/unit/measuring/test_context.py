"""A longer context: prompts of a length, and the bytes of a cache."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

from bitbudget.errors import UserError
from bitbudget.measuring import context


def test_a_prompt_is_repeated_and_cut_to_its_length():
    assert context.prompt_of([5, 6, 7], 7).tolist() == [[5, 6, 7, 5, 6, 7, 5]]
    assert context.prompt_of([5, 6, 7], 2).tolist() == [[5, 6]]
    with pytest.raises(UserError, match="no text that could be repeated"):
        context.prompt_of([], 4)


def test_a_cache_counts_keys_and_values_of_every_layer():
    cache = DynamicCache()
    for layer in range(3):
        # two heads of width 4 at 10 positions, two bytes each: 160 bytes of keys, and as many of values
        cache.update(*(torch.zeros(1, 2, 10, 4, dtype=torch.bfloat16) for _ in range(2)), layer)
    assert context.bytes_of(cache) == 3 * 2 * 160
    assert context.bytes_of(((torch.zeros(4), torch.zeros(4)),)) == 32
    assert context.bytes_of(None) == 0


def test_a_model_that_shows_no_cache_says_so():
    assert "does not show its keys and values" in context.cache_memory(lambda: torch.zeros(1, 4), 3, 2)["absent"]
