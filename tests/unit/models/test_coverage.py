"""How much of what a precision names its formats reach."""

import pytest
import tiny_models as tiny
import torch
from transformers import AutoConfig

from bitbudget import registry
from bitbudget.errors import UserError
from bitbudget.models import coverage
from bitbudget.models.audit.audited import coverage as share_of

TEXT = registry.module_of("family", "auto-text")


def skeleton(model_type, **settings):
    config = AutoConfig.for_model(model_type, hidden_size=64, num_hidden_layers=2, vocab_size=128, **settings)
    with torch.device("meta"):
        return TEXT.model_class().from_config(config)


def refusal(model, least=0.5, **formats):
    with pytest.raises(UserError) as caught:
        coverage.refuse_little("mine", model, TEXT, tiny.assignment(TEXT, "float32", **formats), least)
    return str(caught.value)


MIXTRAL = {"num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 256, "num_local_experts": 4}


def test_a_mixture_of_experts_is_refused_because_its_experts_are_fused():
    said = refusal(skeleton("mixtral", **MIXTRAL), language="bnb-nf4")
    held = 2 * 4 * 64 * 64  # four projections of attention in each of two layers
    total = held + 2 * (3 * 4 * 64 * 256 + 4 * 64)  # experts, and the router
    assert f"would quantize {held / total:.0%} of the weights that it names" in said
    assert ".mlp.experts." in said
    assert f"`quantization.least_coverage` in the study to {held / total:.2f} or less" in said


def test_what_is_named_and_reached_is_not_refused():
    model = skeleton("mixtral", **MIXTRAL)
    named = tiny.assignment(TEXT, "float32", language_attention="bnb-nf4")
    assert coverage.reach(model, TEXT, named) == (1.0, "")
    coverage.refuse_little("mine", model, TEXT, named, 1.0)
    coverage.refuse_little("mine", model, TEXT, tiny.assignment(TEXT, "float32", language="bnb-nf4"), 0.05)
    coverage.refuse_little("float32", model, TEXT, tiny.assignment(TEXT, "float32"), 1.0)


def test_a_model_whose_matrices_are_no_linear_layers_is_refused():
    """GPT-2 has a class of its own for them."""
    assert "would quantize 0% of the weights" in refusal(skeleton("gpt2", n_head=2), language="bnb-int8")


def test_a_group_that_the_model_lacks_is_refused():
    family = registry.module_of("family", "auto-vision")
    config = AutoConfig.for_model("llama", hidden_size=64, num_hidden_layers=1, vocab_size=128, num_attention_heads=2)
    with torch.device("meta"):
        model = TEXT.model_class().from_config(config)
    named = tiny.assignment(family, "float32", vision="bnb-int8")
    with pytest.raises(UserError, match="names vision, where the model has no weights: leave it out"):
        coverage.refuse_little("int8-vision", model, family, named, 0.5)


def test_coverage_counts_weights_of_the_named_groups():
    others = [
        {"group": "language", "parameters": 300, "storage": "float32", "dimensions": 3},
        {"group": "language", "parameters": 9, "storage": "float32", "dimensions": 1},
        {"group": "vision", "parameters": 70, "storage": "float32", "dimensions": 4},
    ]
    asked = {"language": "bnb-nf4", "vision": "float32"}
    assert share_of([], others, asked, ["language"]) == 0
    assert share_of([], others, asked, ["vision"]) == 1
    assert share_of([], others, asked, ["language", "vision"]) == 70 / 370
    assert share_of([], others, asked, []) is None
