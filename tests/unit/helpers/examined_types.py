"""What of a model type works: a tiny random model of it goes the way of a study's, from its snapshot to its answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny_models as tiny
import tiny_tokenizers
import tiny_types
import torch
from transformers import AutoConfig

from bitbudget import registry
from bitbudget.errors import UserError, reason
from bitbudget.models import checkpoint, coverage, snapshots
from bitbudget.models.audit import checkpoint_audit
from bitbudget.models.families import parts
from bitbudget.models.groups import group_of
from bitbudget.runtimes.transformers import generation, last_word

READING, SEEING = (registry.module_of("family", name) for name in ("auto-text", "auto-vision"))
STEPS = ("fetched", "groups", "quantized", "audited", "answers")
LARGEST = 15e6  # parameters of a model that counts as tiny
PASSAGE = {"id": "1", "question": "The cat sat on the", "references": ["mat"]}


def reading(model_type: str, folder: Path) -> dict[str, str]:
    """By step, "" where it works for a language model of this type, else why not; steps after that are left out."""
    found: dict[str, str] = {}
    tokenizer = generation.load_tokenizer(tiny_tokenizers.llama2(folder))
    try:
        _build(READING, model_type, -(-len(tokenizer) // 64) * 64).save_pretrained(folder)
    except Exception as fault:
        return {"fetched": f"no tiny model of it could be built ({reason(fault)[:90]})"}
    for step, go in zip(STEPS, _steps(READING, folder), strict=False):
        try:
            go()
        except UserError as fault:
            return found | {step: str(fault)}
        found[step] = ""
    return found


def _build(family: Any, model_type: str, vocabulary: int) -> Any:
    config = tiny_types.shrink(AutoConfig.for_model(model_type), vocabulary)
    with torch.device("meta"):
        size = sum(value.numel() for value in family.model_class().from_config(config).parameters())
    if size > LARGEST:
        raise ValueError(f"its default configuration cannot be made small: {size / 1e6:.0f} million parameters")
    return tiny.build(family, config)


def _steps(family: Any, folder: Path) -> Any:
    formats = tiny.assignment(family, "float32", language="bnb-int8")
    made = folder / "made"

    def groups() -> None:
        model = checkpoint.load_original(folder, family, "float32")
        divided = parts.groups(family, model)
        for name, _ in model.named_parameters():
            group_of(name, divided)
        coverage.refuse_little("int8-language", model, family, formats, 0.5)

    def audit() -> None:
        model, original = checkpoint.load(made, family, "cpu"), checkpoint.load_original(folder, family, "float32")
        layers = checkpoint_audit.audit_layers(model, original, family, formats, "cpu")
        others = checkpoint_audit.other_parameters(model, original, family, layers)
        changed = checkpoint_audit.changed_elsewhere(model, original, layers)
        checkpoint_audit.refuse_faults("int8-language", layers, others + changed)

    def answer() -> None:
        model, tokenizer = checkpoint.load(made, family, "cpu"), generation.load_tokenizer(made)
        passage = last_word.encode(tokenizer, last_word.beginning(tokenizer, True), PASSAGE, last_word.positions(model))
        ((row, _),) = last_word.score(model, tokenizer, [passage], "cpu", "int8-language")
        assert row.logprob < 0

    def quantize() -> None:
        tiny.make_checkpoint(folder, made, family, language="bnb-int8")

    return lambda: snapshots.check(folder, family), groups, quantize, audit, answer
