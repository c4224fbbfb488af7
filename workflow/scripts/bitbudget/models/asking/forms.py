"""The prompt around what is asked: a model's own chat template, or a prompt template where it has none.

A prompt template is text with places: `{question}` for what is asked, `{image}` for the tokens that stand for an image,
as often as there are images. It is written by who knows the model, so control tokens in it are meant; those in what is
asked are not (`bitbudget.untrusted.plain_text`). Examples stand before it, each in the same form with its answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from bitbudget.errors import UserError

QUESTION, IMAGE = "{question}", "{image}"
PLACE = re.compile(r"\{\w*\}")
CHAT, ENTRY, KNOWN = "the chat template", "`prompt_template` in config/models.yaml", "what is known of the model type"

# By model_type and track, for models without a chat template: how their cards on the Hub, or their papers, ask them.
# A form without {question} asks what the model was trained to do, whatever the study's prompt says.
FORMS: dict[str, dict[str, str]] = {
    "blip": {"captioning": "a picture of"},  # Li et al., arXiv 2201.12086, section 5.2
    "blip-2": {"captioning": "a photo of", "vqa": "Question: {question} Answer:"},  # Li et al., arXiv 2301.12597
    "chameleon": {"captioning": "{question}{image}", "vqa": "{question}{image}"},
    "florence2": {"captioning": "<CAPTION>", "vqa": "{question}"},
    "fuyu": {"captioning": "Generate a coco-style caption.\n", "vqa": "{question}\n"},
    "git": {
        "captioning": "[CLS]",
        "vqa": "[CLS]{question}",
    },  # Wang et al., arXiv 2205.14100
    "instructblip": {"captioning": "{question}", "vqa": "{question}"},
    "kosmos-2": {"captioning": "An image of", "vqa": "Question: {question} Answer:"},
    "mllama": {"captioning": "{image}<|begin_of_text|>{question}", "vqa": "{image}<|begin_of_text|>{question}"},
    "paligemma": {"captioning": "{image}caption en", "vqa": "{image}answer en {question}"},
    "pix2struct": {"captioning": ""},  # Lee et al., arXiv 2210.03347; a question would have to be drawn into the image
    "vipllava": {
        "captioning": "###Human: {image}\n{question}###Assistant:",
        "vqa": "###Human: {image}\n{question}###Assistant:",
    },
}

# Processors that put one image before the text by themselves; an `{image}` is then nothing.
PLACE_IMAGES = frozenset(
    f"{name}Processor"
    for name in ("Blip", "Blip2", "Florence2", "Fuyu", "Git", "InstructBlip", "Kosmos2", "Pix2Struct")
)
FLAT = PLACE_IMAGES | {"GotOcr2Processor"}  # those that take the images of a batch one after the other


@dataclass(frozen=True)
class Form:
    """How a model is asked: by whose word, and the template, None for its processor's chat template."""

    by: str | None
    template: str | None = None


def fault(template: str, asks: bool) -> str | None:
    """What is wrong with a prompt template, in a clause; `asks`: whether items have questions of their own."""
    stray = next((place for place in PLACE.findall(template) if place not in (QUESTION, IMAGE)), None)
    if stray is not None:
        return f"has the place {stray}, and there are {{question}} and {{image}} alone; write it so"
    if template.count(QUESTION) > 1:
        return "has {question} more than once; write it once"
    if asks and QUESTION not in template:
        return "does not contain {question}, so the model would never see the question; add it"
    return None


def choose(processor: Any, model_type: str, track: str, given: str | None, folder: Any) -> Form:
    """The form in which the model is asked: what its entry gives, else its chat template, else what is known of it.

    Raises `UserError` that names the key to set where there is none of the three, or where it shows no image.
    """
    if given is not None:
        if IMAGE not in given and image_token(processor) not in given:
            raise UserError(
                f"{ENTRY} of the model in {folder} does not contain {IMAGE}, so the model would never see the "
                "image: add it."
            )
        return Form(ENTRY, given)
    if processor.chat_template:
        return Form(CHAT)
    known = FORMS.get(model_type, {})
    if track in known:
        return Form(KNOWN, known[track])
    raise UserError(unknown(folder, model_type, f" in the track {track}" if known else ""))


def probe(processor: Any, model_type: str) -> Form:
    """A form to try a processor with, whatever the track: its own or a known one, else (by None) the plainest."""
    if processor.chat_template:
        return Form(CHAT)
    known = FORMS.get(model_type)
    return Form(KNOWN, list(known.values())[-1]) if known else Form(None, IMAGE + QUESTION)


def unknown(folder: Any, model_type: str, where: str = "") -> str:
    """The sentence on a model that nobody knows how to ask."""
    return (
        f"{folder} has no chat template, and nothing is known of how models of the type {model_type} are asked{where}: "
        "set `prompt_template` of the model in config/models.yaml as its card on the Hub asks it (for example "
        f'"{IMAGE}\\nQuestion: {QUESTION} Answer:"), or name a model that is tuned to follow instructions.'
    )


def write(
    form: Form,
    processor: Any,
    family: ModuleType,
    images: int,
    text: str,
    shots: Sequence[tuple[str, str]] = (),
) -> str:
    """The prompt of so many images and what is asked of them, after the examples, each of one image.

    Raises what the chat template raises, and `UserError` where a form has no place for examples.
    """
    if form.template is None:
        return processor.apply_chat_template(family.conversation(images, text, shots), add_generation_prompt=True)
    if shots and type(processor).__name__ in PLACE_IMAGES:
        raise UserError(
            "the model's processor takes one image alone, so no examples can stand before it: leave them out."
        )
    examples = [f"{_filled(form.template, processor, 1, asked)} {answer}\n\n" for asked, answer in shots]
    return "".join([*examples, _filled(form.template, processor, images, text)])


def read(processor: Any, images: Sequence[Sequence[Any]], prompts: Sequence[str]) -> Any:
    """Model inputs of prompts and the images of each, padded, as tensors. Raises what the processor raises.

    A form that writes the tokenizer's first token itself must not get a second one.
    """
    tokenizer = processor.tokenizer
    starts = tuple(token for token in (tokenizer.bos_token, tokenizer.cls_token) if token)
    begun = bool(starts) and prompts[0].startswith(starts)
    flat = type(processor).__name__ in FLAT
    return processor(
        images=[one for shown in images for one in shown] if flat else [list(shown) for shown in images],
        text=list(prompts) if any(prompts) else None,
        padding=True,
        return_tensors="pt",
        **{"add_special_tokens": False} if begun else {},
    )


def image_token_id(config: Any) -> int | None:
    """The number of the token that stands for an image, or a part of one; None where there is none."""
    names = ("image_token_id", "image_token_index")
    return next((number for name in names if (number := getattr(config, name, None)) is not None), None)


def _filled(template: str, processor: Any, images: int, text: str) -> str:
    return template.replace(IMAGE, image_token(processor) * images).replace(QUESTION, text)


def image_token(processor: Any) -> str:
    """What stands for an image in a prompt; nothing where the processor places images by itself."""
    if type(processor).__name__ in PLACE_IMAGES:
        return ""
    token = getattr(processor, "image_token", None)
    return getattr(token, "content", token) or ""
