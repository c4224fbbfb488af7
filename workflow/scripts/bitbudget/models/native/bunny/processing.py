"""Bunny's processor. None is published: pictures and prompt are prepared as its repository's code does it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from transformers import BatchFeature, ProcessorMixin
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

MEAN = STD = (0.5, 0.5, 0.5)
PADDING = tuple(int(255 * part) for part in MEAN)  # around a picture that is not square
IMAGE = "<image>"
# What ends an answer in the prompt, where it is not <|endoftext|>.
ENDS = {"bunny-llama": "<|end_of_text|>", "bunny-minicpm": "</s>"}
# The language models' own templates may lie beside the tokenizer, but Bunny was not trained with them.
TEMPLATE = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions. "
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}USER: "
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %} "
    "{% else %}ASSISTANT: {{ message['content'][0]['text'] }}END{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


class BunnyProcessor(ProcessorMixin):
    """Pictures to pixels, and prompts to tokens with as many image tokens as a picture has features.

    `pads`: pictures are made square with bars of grey, else by stretching.
    """

    def __init__(
        self,
        image_processor: Any,
        tokenizer: Any,
        chat_template: str,
        image_tokens: int,
        image_token_id: int,
        pads: bool,
    ) -> None:
        super().__init__(image_processor, tokenizer, chat_template=chat_template)
        self.image_token, self.image_token_id = IMAGE, image_token_id
        self.image_tokens, self.pads = image_tokens, pads

    @classmethod
    def from_pretrained(cls, folder: str | Path, **_: Any) -> BunnyProcessor:
        """The processor of a snapshot or checkpoint, from its config.json and its tokenizer's files."""
        from bitbudget.models import readers

        config = readers.load_configuration(Path(folder))
        tower, side = config.vision_config, max(config.scales)
        return cls(
            SiglipImageProcessorPil(size={"height": side, "width": side}, image_mean=MEAN, image_std=STD),
            readers.load_tokenizer(Path(folder)),
            chat_template=TEMPLATE.replace("END{", ENDS.get(config.model_type, "<|endoftext|>") + "{"),
            image_tokens=(tower.image_size // tower.patch_size) ** 2,
            image_token_id=config.image_token_id,
            pads=config.image_aspect_ratio == "pad",
        )

    def __call__(
        self,
        images: Sequence[Sequence[Image.Image]] | None = None,
        text: Sequence[str] = (),
        add_special_tokens: bool = True,
        **_: Any,
    ) -> BatchFeature:
        """`input_ids` and `attention_mask` (prompts, longest), and `pixel_values` (all pictures, 3, height, width).

        `images` are each prompt's own. Raises `ValueError` where a prompt has more or fewer pictures than `<image>`.
        """
        images = images or [[] for _ in text]
        rows = [self._tokens(prompt, len(own), add_special_tokens) for prompt, own in zip(text, images, strict=True)]
        inputs = self.tokenizer.pad({"input_ids": rows}, padding=True, return_tensors="pt")
        shown = [self._square(picture) for own in images for picture in own]
        if shown:
            inputs["pixel_values"] = self.image_processor(shown, return_tensors="pt")["pixel_values"]
        return BatchFeature(dict(inputs))

    def _tokens(self, prompt: str, pictures: int, begun: bool) -> list[int]:
        """A prompt's tokens, each stretch between two pictures by itself; only the first can begin a text."""
        first, *others = prompt.split(IMAGE)
        if len(others) != pictures:
            raise ValueError(f"a prompt has {len(others)} times {IMAGE} for {pictures} pictures")
        found = self.tokenizer(first, add_special_tokens=begun)["input_ids"]
        for text in others:
            found += [self.image_token_id] * self.image_tokens
            found += self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    def _square(self, picture: Image.Image) -> Image.Image:
        if not self.pads or picture.width == picture.height:
            return picture
        side = max(picture.size)
        square = Image.new("RGB", (side, side), PADDING)
        square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
        return square
