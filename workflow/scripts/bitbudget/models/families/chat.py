"""What is asked of a model, as messages for its processor's chat template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Message = dict[str, Any]


def conversation(images: int, text: str, shots: Sequence[tuple[str, str]] = ()) -> list[Message]:
    """One user message of so many images followed by the text, after the shots.

    Each shot is a worked example of one image: the text that was asked and the answer to it. The processor is then
    given the images in the order of the messages: one for each shot, then those of the question. Content is always a
    list of parts, never a plain string, because some templates (Idefics3) take nothing else. Raises `ValueError` for a
    negative number of images.
    """
    if images < 0:
        raise ValueError(f"a conversation cannot hold {images} images")
    messages: list[Message] = []
    for asked, answer in shots:
        messages.append(_user(1, asked))
        messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    return [*messages, _user(images, text)]


def _user(images: int, text: str) -> Message:
    pictures = [{"type": "image"} for _ in range(images)]
    return {"role": "user", "content": [*pictures, {"type": "text", "text": text}]}
