"""Model inputs of a study's items, with the same prompts when speed is measured as when operations are counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from bitbudget.models.asking import forms, image_tokens
from bitbudget.runtimes.transformers import generation, last_word

Spec = dict[str, Any]
MakesInputs = Callable[[list[Spec]], Any]


def of_images(
    checkpoint: Path, model: Any, family: ModuleType, spec: Spec, shots: list[Spec], device: str, dtype: Any
) -> tuple[Any, MakesInputs, Spec]:
    """The processor, what makes model inputs of items, and how the model is asked, for the record.

    `shots` are the worked examples that stand before each item (rows of `available.usable_shots`). Raises `UserError`
    where nobody knows how the model is asked.
    """
    processor = generation.load_processor(checkpoint)
    form = forms.choose(processor, model.config.model_type, spec["track"], spec.get("prompt_template"), checkpoint)
    wanted = spec["images"]
    limits = image_tokens.bound(
        processor, model.config, family, spec["max_side"], wanted.get("max_tokens"), wanted["enlarge"]
    )
    asked = {"form": {"by": form.by, "template": form.template}, "images": limits}

    def inputs_of(items: list[Spec]) -> Any:
        return generation.prepare_items(processor, family, items, spec["prompt"], device, dtype, shots, form)

    return processor, inputs_of, asked


def of_texts(checkpoint: Path, spec: Spec, model: Any, items: list[Spec], device: str) -> tuple[Any, MakesInputs, int]:
    """The tokenizer, what makes model inputs of items, and how many of `items` are too long for the model's positions.

    The contexts go in, to be gone on with; the long ones lose their first tokens.
    """
    tokenizer = generation.load_tokenizer(checkpoint)
    begin = last_word.beginning(tokenizer, spec["bos"])
    room = last_word.positions(model)
    if room is not None:
        room -= spec["measure"]["new_tokens"]

    def prompts(chosen: list[Spec], room: int | None = room) -> list[list[int]]:
        return last_word.contexts(tokenizer, begin, chosen, room)

    shortened = sum(a != b for a, b in zip(prompts(items), prompts(items, None), strict=True))
    return tokenizer, lambda chosen: last_word.padded(tokenizer, prompts(chosen), device), shortened
