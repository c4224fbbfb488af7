"""From an item to a model's answer: prompts in the form that the model knows, and batched greedy decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from jinja2 import TemplateError
from PIL import Image

from bitbudget.errors import UserError, reason
from bitbudget.items.shots import answer_of
from bitbudget.models.asking import forms
from bitbudget.models.readers import encodes_text, load_processor, load_tokenizer
from bitbudget.untrusted import plain_text

__all__ = ["load_processor", "load_tokenizer"]

Form = forms.Form
CHAT = Form(forms.CHAT)
REFUSALS = (ValueError, IndexError, ArithmeticError)  # what processors raise for an image that they do not take


@dataclass(frozen=True)
class Answer:
    """What a model wrote: its text, and how many tokens went in (padding not counted) and came out.

    `image_tokens` are those of the prompt that stand for images; None where a prompt has none of its own for them.
    """

    text: str
    prompt_tokens: int
    new_tokens: int
    finish: str  # "stop" at an end-of-sequence token, "length" where the limit came first
    image_tokens: int | None = None


@dataclass(frozen=True)
class Example:
    """A worked example that a prompt shows: its image, what was asked of it, and the answer."""

    image: Image.Image
    asked: str
    answer: str


def open_image(path: Path) -> Image.Image:
    """An image in RGB. Raises `UserError` that names a file which cannot be decoded."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError) as fault:
        raise UserError(f"{path} cannot be decoded ({fault}): delete it and run the same command again.") from None


def prepare(
    processor: Any,
    family: ModuleType,
    images: Sequence[Sequence[Image.Image]],
    texts: Sequence[str],
    device: str,
    dtype: torch.dtype,
    examples: Sequence[Example] = (),
    names: Sequence[str] = (),
    answers: Sequence[str] = (),
    form: Form = CHAT,
) -> Any:
    """Model inputs of one batch: for each item its images and what is asked, in a form that the model knows, padded.

    The same worked examples stand before each item, and where there are `answers`, each stands where the model would
    write it. Text stays text, whatever control tokens it spells; `names` are what errors call the items. Float inputs
    (pixels) come in the model's dtype, the others as they are.
    """
    guard = plain_text.of(processor)
    shots = [
        (guard.mark(example.asked, f"example {number}"), guard.mark(example.answer, f"the answer of example {number}"))
        for number, example in enumerate(examples, start=1)
    ]
    names = names or [f"text {number}" for number in range(1, len(texts) + 1)]
    asked_of = [guard.mark(text, name) for text, name in zip(texts, names, strict=True)]
    try:
        prompts = [
            forms.write(form, processor, family, len(shown), text, shots)
            for shown, text in zip(images, asked_of, strict=True)
        ]
    except TemplateError as fault:  # fetch_model has tried it on one question
        raise UserError(
            f"the model's chat template cannot write a question after {len(shots)} examples ({reason(fault)}): ask for "
            "fewer shots, or for none."
        ) from None
    if answers:
        prompts = [
            f"{prompt}{'' if prompt[-1:].isspace() else ' '}{guard.mark(answer, f'the answer to {name}')}"
            for prompt, answer, name in zip(prompts, answers, names, strict=True)
        ]
    before = [example.image for example in examples]
    with guard.reading(*prompts):
        inputs = forms.read(processor, [[*before, *shown] for shown in images], prompts)
    return inputs.to(device=device, dtype=dtype)


def prepare_items(
    processor: Any,
    family: ModuleType,
    items: Sequence[dict[str, Any]],
    prompt: str,
    device: str,
    dtype: torch.dtype,
    shots: Sequence[dict[str, Any]] = (),
    form: Form = CHAT,
) -> Any:
    """Model inputs of these items, after the same `shots` each: both are rows of `available.usable_items`.

    Raises `UserError` that names the item, or the example, which the processor refuses.
    """
    images = [[open_image(Path(path)) for path in item["images"]] for item in items]
    examples = [
        Example(open_image(Path(shot["images"][0])), asked(shot, prompt), answer_of(shot["references"]))
        for shot in shots
    ]
    texts, names = [asked(item, prompt) for item in items], [f"what is asked of item {item['id']}" for item in items]
    try:
        return prepare(processor, family, images, texts, device, dtype, examples, names, form=form)
    except REFUSALS as fault:
        single = [([example.image], example.asked) for example in examples]
        single += list(zip(images, texts, strict=True))
        for row, (shown, text) in zip([*shots, *items], single, strict=True):
            try:
                prepare(processor, family, [shown], [text], device, dtype, form=form)
            except REFUSALS as own:
                raise UserError(
                    f"the model's processor cannot take item {row['id']} with {', '.join(row['images'])} "
                    f"({reason(own)}): leave it out of the subset."
                ) from fault
        raise


def asked(item: dict[str, Any], prompt: str) -> str:
    """What is asked of an item: the prompt, in which the item's question, if it has one, takes its place."""
    return prompt if item["question"] is None else prompt.replace("{question}", item["question"])


def check_length(model: Any, inputs: Any, how: Any) -> None:
    """Raise `UserError` where prompt and answer are longer than the positions that the model knows.

    They share these, but for a model whose encoder reads the prompt.
    """
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if limit is None or "input_ids" not in inputs:
        return
    length = inputs["input_ids"].shape[1]
    both = max(length, how.max_new_tokens) if encodes_text(model.config) else length + how.max_new_tokens
    if both > limit:
        raise UserError(
            f"a prompt of {length} tokens and {how.max_new_tokens} new ones are more than the {limit} positions that "
            "the model knows; shorten the prompt or ask for fewer shots, and where the model takes images at their own "
            "size set `images.max_tokens` or a smaller `images.max_side`."
        )


def decoding(model: Any, processor: Any, max_new_tokens: int, min_new_tokens: int = 0, num_beams: int = 1) -> Any:
    """How answers are decoded: greedy (or beams), without the sampling settings that a checkpoint may carry.

    `processor` is a processor or a tokenizer.
    """
    from transformers import GenerationConfig

    own = model.generation_config
    tokenizer = getattr(processor, "tokenizer", processor)
    ends = own.eos_token_id if isinstance(own.eos_token_id, list) else [own.eos_token_id]
    # some files name a token that the model never writes, and the tokenizer knows better (Phi-3.5-vision)
    ends = [one for one in dict.fromkeys([*ends, tokenizer.eos_token_id]) if one is not None]
    return GenerationConfig(
        max_new_tokens=max_new_tokens,
        min_new_tokens=min_new_tokens or None,
        do_sample=False,
        num_beams=num_beams,
        eos_token_id=ends or None,
        pad_token_id=tokenizer.pad_token_id,
    )


def read_tokens(inputs: Any) -> list[int]:
    """How many tokens each row of a batch has read, its padding not counted."""
    return inputs["attention_mask"].sum(-1).long().tolist()


def words_of(processor: Any, inputs: Any) -> list[int]:
    """The tokens of the first row of a batch that stand for text: without padding, images and other special tokens.

    `processor` is a processor or a tokenizer.
    """
    tokenizer = getattr(processor, "tokenizer", processor)
    special = set(tokenizer.all_special_ids)
    if "input_ids" not in inputs:
        return []
    row = zip(inputs["input_ids"][0].tolist(), inputs["attention_mask"][0].tolist(), strict=True)
    return [token for token, seen in row if seen and token not in special]


def image_tokens(model: Any, inputs: Any) -> list[int] | None:
    """How many tokens of each row stand for images; None where there are none of their own."""
    number = forms.image_token_id(model.config)
    if number is None or "input_ids" not in inputs:
        return None
    found = (inputs["input_ids"] == number).sum(-1).tolist()
    return found if any(found) else None


def written(model: Any, inputs: Any, out: torch.Tensor) -> torch.Tensor:
    """The new tokens of what `generate` gave, (rows, tokens).

    A decoder gives the prompt before them, but for one that was given embeddings (it gives them alone); a decoder that
    has an encoder gives what it began with, a token or the inputs that are its own.
    """
    given = inputs.get("decoder_input_ids", inputs.get("input_ids"))
    length = 0 if given is None else given.shape[1]
    if model.config.model_type == "blip":  # it takes the end from the prompt, and puts its own beginning before
        return out[:, length - 1 :]
    if length and out.shape[1] >= length and torch.equal(out[:, :length], given):
        return out[:, length:]
    return out[:, 1:] if encodes_text(model.config) else out


@torch.inference_mode()
def answer(model: Any, processor: Any, inputs: Any, how: Any) -> list[Answer]:
    """Generate and decode the answers of one batch, in its order."""
    out = written(model, inputs, model.generate(**inputs, generation_config=how)).cpu()
    ends = how.eos_token_id if isinstance(how.eos_token_id, list) else [how.eos_token_id]
    stops = torch.isin(out, torch.tensor([one for one in ends if one is not None], dtype=torch.long))
    read, shown = read_tokens(inputs), image_tokens(model, inputs) or [None] * len(out)
    texts = processor.batch_decode(out, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    answers = []
    for row, text in enumerate(texts):
        stopped = bool(stops[row].any())
        # the first end token counts; what follows it in a batch is padding
        length = int(stops[row].int().argmax()) + 1 if stopped else out.shape[1]
        answers.append(Answer(text.strip(), read[row], length, "stop" if stopped else "length", shown[row]))
    return answers
