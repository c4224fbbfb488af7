"""Whether a model's processor takes a study's items, as far as that can be known before anything is quantized."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from bitbudget import contracts
from bitbudget.errors import UserError, reason
from bitbudget.models import readers
from bitbudget.models.asking import forms
from bitbudget.untrusted import plain_text

QUESTION = "What is it?"
Size = tuple[int, int]


def check(folder: Path, family: ModuleType, items: list[dict[str, Any]], images: dict[str, Any] | None) -> None:
    """Check the items (lines of items.jsonl) against the snapshot's processor, or tokenizer for a model of text alone.

    `images` is images.json, None for a track without images. A processor refuses images for their size alone, and
    those of one form: the outermost sizes are tried, and the others only where one of them is refused. Raises
    `UserError` that names item and image.
    """
    converses = contracts.of(family, "conversation") is not None
    reader = readers.load_processor(folder) if converses else readers.load_tokenizer(folder)
    guard = plain_text.of(reader)
    for item in items:
        for text in (item["question"],) if converses else (item["question"], *item["references"][:1]):
            guard.mark(text or "", f"item {item['id']}")
    if images:
        form = forms.probe(reader, readers.load_configuration(folder).model_type)
        _check_images(family, reader, form, items, images)


def _check_images(
    family: ModuleType, processor: Any, form: forms.Form, items: list[dict[str, Any]], images: dict[str, Any]
) -> None:
    prepared = images["images"]
    shown = [
        (item["id"], prepared[image["id"]]["file"], tuple(prepared[image["id"]]["size"]))
        for item in items
        for image in item["images"]
        if image["id"] in prepared
    ]
    sizes = {size for _, _, size in shown}
    if not any(_refusal(family, processor, form, size) for size in outermost(sizes)):
        return
    why = {size: refusal for size in sizes if (refusal := _refusal(family, processor, form, size))}
    refused = [one for one in shown if one[2] in why]
    name, file, size = refused[0]
    others = len(refused) - 1
    more = f", nor {others} other{'s' * (others > 1)}" if others else ""
    whom = "them" if others else "it"
    raise UserError(
        f"the model's processor cannot take the image {file} of item {name}, {size[0]} x {size[1]} pixels "
        f"({why[size]}){more}: leave {whom} out of the subset, or set `on_corrupt: skip` under `images` in the study."
    )


def outermost(sizes: Iterable[Size]) -> set[Size]:
    """The widest and the tallest for their other side, and those of the shortest, longest, least and most pixels."""
    found = sorted(sizes)
    measures = (lambda s: s[0] / s[1], min, max, lambda s: s[0] * s[1])
    return {choose(found, key=measure) for measure in measures for choose in (min, max)} if found else set()


def _refusal(family: ModuleType, processor: Any, form: forms.Form, size: Size) -> str | None:
    """What the processor says against a picture of this width and height; None where it takes it."""
    from PIL import Image

    prompt = forms.write(form, processor, family, 1, QUESTION)
    try:
        forms.read(processor, [[Image.new("RGB", size)]], [prompt])
    except Exception as fault:  # each processor has exceptions of its own
        return reason(fault)
    return None
