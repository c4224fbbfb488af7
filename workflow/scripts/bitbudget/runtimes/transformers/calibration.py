"""What a model is given for each calibration item: a text, or an image with the study's prompt and a right answer.

The answer stands where the model would write it. So do the examples of GPTQModel and llm-compressor for
vision-language models: the decoder is to be right where it reads a prompt and where it writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from bitbudget.errors import UserError, reason
from bitbudget.items import available
from bitbudget.items import item as items
from bitbudget.items.shots import answer_of
from bitbudget.models import readers
from bitbudget.models.asking import forms, image_tokens
from bitbudget.models.calibration import images as calibration_images
from bitbudget.models.calibration import texts as calibration_texts
from bitbudget.runtimes.transformers import generation
from bitbudget.untrusted import plain_text


def read(
    snapshot: Path, family: ModuleType, chosen: Path, images: Path | None, asked: dict[str, Any] | None
) -> tuple[Iterable[dict[str, torch.Tensor]], dict[str, Any]]:
    """The model's inputs for each of the items in the file `chosen`, and what records say of the items.

    `images` is the record of their prepared images, and `asked` how the study asks about images (prompt,
    prompt_template, track, max_side, max_tokens, enlarge); both are None for a model of text alone.
    """
    rows = items.read(chosen)
    if images is None:
        texts = [calibration_texts.text_of(item) for item in rows]
        told = {"calibration_hash": calibration_texts.hash_of(rows), "n": len(rows), "texts": len(texts)}
        return of_texts(snapshot, texts), told
    usable = available.usable_items(chosen, images)
    told = {"calibration_hash": calibration_images.hash_of(rows), "n": len(rows), "images": len(usable)}
    return OfImages(snapshot, family, usable, **asked), told


def of_texts(snapshot: Path, texts: Sequence[str]) -> list[dict[str, torch.Tensor]]:
    """The texts as the model's tokenizer begins a text, cut to the positions that the model has; each by itself.

    Nothing is padded: layers whose inputs have no batch dimension (OPT's MLP) would see it.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(snapshot, local_files_only=True)
    guard = plain_text.of(generation.load_tokenizer(snapshot))
    longest = getattr(config, "max_position_embeddings", None)
    found = []
    for number, text in enumerate(texts, start=1):
        ids = torch.tensor([guard.ids(text, f"calibration text {number}", begun=True)[:longest]])
        found.append({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    return found


class OfImages:
    """The inputs of items with images (rows of `available.usable_items`), made when they are asked for, in float32."""

    def __init__(
        self,
        snapshot: Path,
        family: ModuleType,
        items: Sequence[dict[str, Any]],
        prompt: str,
        track: str = "captioning",
        prompt_template: str | None = None,
        max_side: int = 1024,
        max_tokens: int | None = None,
        enlarge: bool = True,
    ) -> None:
        self._snapshot, self._family = snapshot, family
        self._items, self._prompt, self._limits = items, prompt, (max_side, max_tokens, enlarge)
        config = readers.load_configuration(snapshot)
        self.suit(config)
        self._form = forms.choose(self._processor, config.model_type, track, prompt_template, snapshot)

    def suit(self, config: Any) -> None:
        """Have a model's configuration say of the tokens of an image what its processor is set to."""
        self._processor = generation.load_processor(self._snapshot)
        image_tokens.bound(self._processor, config, self._family, *self._limits)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        for item in self._items:
            images = [[generation.open_image(Path(path)) for path in item["images"]]]
            texts, answers = [generation.asked(item, self._prompt)], [answer_of(item["references"])]
            name = f"the calibration item {item['id']}"
            try:
                yield dict(
                    generation.prepare(
                        self._processor, self._family, images, texts, "cpu", torch.float32, names=[name],
                        answers=answers, form=self._form,
                    )
                )  # fmt: skip
            except generation.REFUSALS as fault:
                raise UserError(
                    f"the model's processor cannot take {name} with {', '.join(item['images'])} ({reason(fault)}): "
                    "set another `seed`, or `on_corrupt: skip` under `images` in the study."
                ) from fault
