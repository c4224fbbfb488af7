"""What Phi-3-vision reads: pictures cut into crops, and a prompt in which each takes the place of its `<|image_n|>`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import BatchFeature
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

SIDE = 336  # pixels of a crop
WHITE = (255, 255, 255)


class CropProcessor:
    """A picture's crops. It is enlarged, or made smaller, until it fills as much as it can of `num_crops` squares.

    Where it does not enlarge (`enlarges`), it takes no more of them than the picture fits into.
    """

    enlarges = True

    def __init__(
        self,
        num_crops: int = 4,
        image_mean: Sequence[float] = OPENAI_CLIP_MEAN,
        image_std: Sequence[float] = OPENAI_CLIP_STD,
        num_img_tokens: int = 144,
    ) -> None:
        if num_crops < 1:
            raise ValueError(f"num_crops is {num_crops}, and a picture has one crop at least")
        self.num_crops, self.num_img_tokens = num_crops, num_img_tokens
        self.image_mean, self.image_std = list(image_mean), list(image_std)

    def grid(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of crops that a picture of this size gets; upright ones as wide ones turned."""
        long, short = max(width, height), min(width, height)
        holding = math.ceil(long / SIDE) * math.ceil(short / SIDE)
        most = self.num_crops if self.enlarges else min(self.num_crops, holding)
        columns = max(n for n in range(1, most + 1) if n * math.ceil(n / (long / short)) <= most)
        rows = math.ceil(self._inner(columns, long, short) / SIDE)
        return (rows, columns) if width >= height else (columns, rows)

    @staticmethod
    def _inner(columns: int, long: int, short: int) -> int:
        """Pixels of the shorter side of a picture whose longer side fills so many crops."""
        return int(columns * SIDE / (long / short))

    def image_tokens(self, width: int, height: int) -> int:
        """How many tokens a picture of this size takes: of its crops and of the whole, with the lines' separators."""
        rows, columns = self.grid(width, height)
        lines = math.isqrt(self.num_img_tokens)
        return (rows * columns + 1) * self.num_img_tokens + 1 + (rows + 1) * lines

    def cut(self, image: Image.Image) -> Tensor:
        """The whole picture, then its crops line by line: (1 + rows x columns, 3, side, side), normalized.

        Raises `ValueError` for a picture so thin that nothing is left of its shorter side.
        """
        image, upright = image.convert("RGB"), image.width < image.height
        rows, columns = self.grid(*image.size)
        if upright:  # resampled turned, as it was in training
            image = image.transpose(Image.Transpose.TRANSPOSE)
        wide = max(rows, columns)
        inner = self._inner(wide, *image.size)
        if inner < 1:
            raise ValueError(f"a picture of {image.width} to {image.height} pixels is too thin")
        resized = image.resize((wide * SIDE, inner), Image.Resampling.BILINEAR)
        padded = Image.new("RGB", (wide * SIDE, min(rows, columns) * SIDE), WHITE)
        padded.paste(resized, (0, (padded.height - inner) // 2))
        if upright:
            padded = padded.transpose(Image.Transpose.TRANSPOSE)
        pixels = torch.from_numpy(np.array(padded)).permute(2, 0, 1).float() / 255
        pixels = (pixels - torch.tensor(self.image_mean)[:, None, None]) / torch.tensor(self.image_std)[:, None, None]
        whole = torch.nn.functional.interpolate(pixels[None], size=(SIDE, SIDE), mode="bicubic")
        crops = pixels.unflatten(2, (columns, SIDE)).unflatten(1, (rows, SIDE)).permute(1, 3, 0, 2, 4).flatten(0, 1)
        return torch.cat([whole, crops])

    def __call__(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        """`pixel_values` and `image_sizes` of all these pictures, as the model takes them."""
        sizes = [[SIDE * number for number in self.grid(*image.size)] for image in images]
        return {"pixel_values": torch.cat([self.cut(image) for image in images]), "image_sizes": torch.tensor(sizes)}


class Phi3VProcessor:
    """Pictures and prompts together.

    A prompt is split at its `<|image_n|>`, and every piece is read as a text of its own, with what the tokenizer puts
    before a text: this is how the model was trained.
    """

    placeholders = (r"<\|image_\d+\|>",)  # regular expressions of what stands for a picture

    def __init__(self, image_processor: CropProcessor, tokenizer: Any) -> None:
        self.image_processor, self.tokenizer = image_processor, tokenizer
        self.image_token = "<|image|>"
        self.chat_template = tokenizer.chat_template

    @classmethod
    def from_pretrained(cls, folder: str | Path, **_: Any) -> Phi3VProcessor:
        """The processor of a snapshot or a checkpoint, from preprocessor_config.json and the tokenizer's files."""
        from bitbudget.models.readers import load_tokenizer

        said = json.loads((Path(folder) / "preprocessor_config.json").read_text(encoding="utf-8"))
        known = ("num_crops", "image_mean", "image_std", "num_img_tokens")
        return cls(CropProcessor(**{key: said[key] for key in known if key in said}), load_tokenizer(Path(folder)))

    def apply_chat_template(self, conversation: Sequence[dict[str, Any]], **how: Any) -> str:
        """The prompt that the template writes, its pictures numbered through all messages, each on a line of its own.

        The template takes texts, so the parts of a message are put into one.
        """
        number, messages = 0, []
        for message in conversation:
            text = ""
            for part in message["content"]:
                number += part["type"] == "image"
                text += f"<|image_{number}|>\n" if part["type"] == "image" else part["text"]
            messages.append({"role": message["role"], "content": text})
        return self.tokenizer.apply_chat_template(messages, tokenize=False, **how)

    def __call__(
        self,
        images: Sequence[Sequence[Image.Image]] | None = None,
        text: Sequence[str] = (),
        padding: bool = False,
        return_tensors: str = "pt",
        add_special_tokens: bool = True,
    ) -> BatchFeature:
        """Model inputs of these prompts, each with its own pictures. Raises `ValueError` where these do not agree."""
        images = images or [[] for _ in text]
        rows = [
            self._ids(prompt, shown, add_special_tokens=add_special_tokens)
            for prompt, shown in zip(text, images, strict=True)
        ]
        found = self.tokenizer.pad({"input_ids": rows}, padding=padding, return_tensors=return_tensors)
        every = [image for shown in images for image in shown]
        return BatchFeature({**found, **(self.image_processor(every) if every else {})})

    def _ids(self, prompt: str, images: Sequence[Image.Image], **how: Any) -> list[int]:
        """The tokens of a prompt, its pictures' included."""
        pieces, numbers = re.split(self.placeholders[0], prompt), re.findall(r"<\|image_(\d+)\|>", prompt)
        if [int(number) for number in numbers] != list(range(1, len(images) + 1)):
            raise ValueError(f"a prompt shows the pictures {', '.join(numbers) or 'none'} of {len(images)}, in order")
        found = list(self.tokenizer(pieces[0], **how)["input_ids"])
        for image, piece in zip(images, pieces[1:], strict=True):
            found += [self.image_token_id] * self.image_processor.image_tokens(*image.size)
            found += self.tokenizer(piece, **how)["input_ids"]
        return found

    @property
    def image_token_id(self) -> int:
        """The number that stands where a picture's embeddings go."""
        return self.tokenizer.convert_tokens_to_ids(self.image_token)

    def batch_decode(self, *ids: Any, **how: Any) -> list[str]:
        """The tokenizer's."""
        return self.tokenizer.batch_decode(*ids, **how)
