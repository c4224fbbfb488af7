"""The table of model types in the documentation says what is so, of tiny models of each type."""

import examined_types
import pytest
import tiny_seeing

import model_types

SEEING, READING = (model_types.rows(kind) for kind in ("seeing", "reading"))
# Every vision-language type of the table, and of the many language types, which go one way, some of each kind.
SOME = [
    "llama", "mistral", "qwen3", "gemma2", "gemma3", "phi3", "gpt_neox", "opt", "bloom", "falcon", "deepseek_v3",
    "mixtral", "gpt2", "qwen3_next", "lfm2", "mamba", "t5gemma",
]  # fmt: skip


def told(found, steps):
    """What a table would say of an examination."""
    return {step: model_types.cell(found[step]) if step in found else "" for step in steps}


@pytest.mark.parametrize("name", tiny_seeing.TYPES)
def test_a_vision_language_type_is_as_the_table_says(name):
    assert told(examined_types.seeing(name), model_types.STEPS["seeing"]) == SEEING[name]


@pytest.mark.parametrize("name", [name for name in SOME if name in READING])
def test_a_language_type_is_as_the_table_says(name):
    assert told(examined_types.reading(name), model_types.STEPS["reading"]) == READING[name]


def test_the_table_has_every_type_and_most_work():
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    assert set(READING) == set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    assert set(SEEING) == set(tiny_seeing.TYPES)
    whole = [name for name, row in (SEEING | READING).items() if row["answers"] == "yes"]
    assert len(whole) >= 120
