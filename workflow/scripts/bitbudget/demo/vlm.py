"""The demo vision-language model: the LLaVA architecture at a size that trains on one core.

Nothing here differs in kind from LLaVA-1.5: a CLIP vision tower, a two-layer projector and a Llama decoder, read and
written by `transformers`. Every dimension is a multiple of 64, so that every block-wise format fits its matrices.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from bitbudget.demo.scenes import COLOURS, RADIUS, SHAPES, Scene, captions, draw, make_scene

IMAGE_SIDE, PATCH = 128, 16
VOCABULARY = 512
PROMPTS = ("Describe the image in one sentence.", "Describe the image.", "What does the picture show?")
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>")
# Scenes below this seed are for evaluation, scenes from it on for training: no picture is in both.
FIRST_TRAINING_SEED = 1_000_000

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ 'USER: ' if message['role'] == 'user' else 'ASSISTANT: ' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{{ ' ' if message['role'] == 'user' else eos_token }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


def build_processor() -> LlavaProcessor:
    """Tokenizer (byte-level BPE, so that any text can be written), image processor and chat template."""
    corpus = [c for seed in range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + 4000) for c in captions(make_scene(seed))]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    prompts = [f"USER: {p} ASSISTANT:" for p in PROMPTS] * 500
    tokenizer.train_from_iterator([f" {c}" for c in corpus] + prompts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
        model_max_length=1024,
    )
    pictures = CLIPImageProcessorPil(
        size={"height": IMAGE_SIDE, "width": IMAGE_SIDE},
        do_center_crop=False,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )
    return LlavaProcessor(
        image_processor=pictures,
        tokenizer=fast,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    """A new, untrained model (about three million parameters, float32)."""
    vision = CLIPVisionConfig(
        image_size=IMAGE_SIDE,
        patch_size=PATCH,
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        projection_dim=128,
    )
    text = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=6,
        head_dim=32,
        max_position_embeddings=1024,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(IMAGE_SIDE // PATCH) ** 2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def training_picture(seed: int) -> tuple[Scene, Image.Image]:
    """The training scene of this seed, drawn in one of the ways in which the data set's pictures are made."""
    rng = random.Random(f"picture-{seed}")
    kind = rng.random()
    longest = rng.randint(IMAGE_SIDE, 320)
    if kind < 0.08:
        scene = make_scene(seed, achromatic=True)
        return scene, draw(scene, longest).convert("L").convert("RGB")
    if kind < 0.16:  # a transparent background shown on white
        scene = make_scene(seed, background="white")
        picture = draw(scene, longest, mode="RGBA")
        paper = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        return scene, Image.alpha_composite(paper, picture).convert("RGB")
    scene = make_scene(seed)
    return scene, draw(scene, longest)


PATCH_LABELS = (("", *COLOURS), ("", *SHAPES), ("", *RADIUS))  # the first of each: nothing there


def patch_labels(scene: Scene) -> torch.Tensor:
    """Which colour, shape and size each image patch shows: (patches, 3) indices into `PATCH_LABELS`."""
    side = IMAGE_SIDE // PATCH
    width, height = (scene.aspect, 1.0) if scene.aspect >= 1 else (1.0, 1 / scene.aspect)
    labels = torch.zeros(side, side, 3, dtype=torch.long)
    for row in range(side):
        for column in range(side):
            x, y = (column + 0.5) / side * width, (row + 0.5) / side * height
            for shape in scene.shapes:
                reach = shape.radius + 0.4 / side
                if (x - shape.x * width) ** 2 + (y - shape.y * height) ** 2 < reach**2:
                    names = (shape.colour, shape.shape, shape.size)
                    labels[row, column] = torch.tensor(
                        [known.index(name) for known, name in zip(PATCH_LABELS, names, strict=True)]
                    )
    return labels.flatten(0, 1)


class PatchSamples(torch.utils.data.Dataset):
    """Endless samples for the vision tower's own lesson: a picture, and what each of its patches shows."""

    def __init__(self, processor: LlavaProcessor, length: int, seed: int):
        self.pictures, self.length, self.seed = processor.image_processor, length, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels (3, side, side) float32 and labels (patches, 3)."""
        scene, picture = training_picture(FIRST_TRAINING_SEED + 900_000_000 + self.seed * 10_000_000 + k)
        return self.pictures(picture, return_tensors="pt")["pixel_values"][0], patch_labels(scene)


class PatchReader(torch.nn.Module):
    """Reads colour, shape and size off each patch of the vision tower; thrown away after the tower's lesson."""

    def __init__(self, tower: torch.nn.Module, width: int):
        super().__init__()
        self.tower = tower
        self.heads = torch.nn.ModuleList(torch.nn.Linear(width, len(names)) for names in PATCH_LABELS)

    def forward(self, pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy over patches and the three questions."""
        seen = self.tower(pixels).last_hidden_state[:, 1:]
        losses = [
            torch.nn.functional.cross_entropy(head(seen).flatten(0, 1), labels[..., q].flatten())
            for q, head in enumerate(self.heads)
        ]
        return torch.stack(losses).mean()


class CaptionSamples(torch.utils.data.Dataset):
    """Endless training samples: number k is always the same picture, prompt and caption."""

    def __init__(self, processor: LlavaProcessor, length: int, seed: int):
        self.processor, self.length, self.seed = processor, length, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, k: int) -> tuple[torch.Tensor, list[int], list[int]]:
        """Pixels (3, side, side) float32, the prompt's token ids, the caption's token ids (with end of sequence)."""
        rng = random.Random(f"sample-{self.seed}-{k}")
        scene, picture = training_picture(FIRST_TRAINING_SEED + self.seed * 10_000_000 + k)
        caption = rng.choice(captions(scene))
        text = PROMPTS[0] if rng.random() < 0.8 else rng.choice(PROMPTS[1:])
        question = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
        prompt = self.processor.apply_chat_template(question, add_generation_prompt=True)
        inputs = self.processor(images=picture, text=prompt, return_tensors="pt", add_special_tokens=False)
        answer = self.processor.tokenizer(f" {caption}", add_special_tokens=False).input_ids
        eos = self.processor.tokenizer.eos_token_id
        return inputs["pixel_values"][0], inputs["input_ids"][0].tolist(), [*answer, eos]


def collate(samples: list[tuple[torch.Tensor, list[int], list[int]]], pad: int) -> dict[str, torch.Tensor]:
    """Right-padded training batch; only the answer's tokens carry a label."""
    longest = max(len(p) + len(a) for _, p, a in samples)
    ids = torch.full((len(samples), longest), pad)
    labels = torch.full((len(samples), longest), -100)
    mask = torch.zeros((len(samples), longest), dtype=torch.long)
    for row, (_, prompt, answer) in enumerate(samples):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor(prompt + answer)
        labels[row, len(prompt) : end] = torch.tensor(answer)
        mask[row, :end] = 1
    pixels = torch.stack([s[0] for s in samples])
    return {"input_ids": ids, "labels": labels, "attention_mask": mask, "pixel_values": pixels}


@torch.no_grad()
def held_out_match(model: LlavaForConditionalGeneration, processor: LlavaProcessor, scenes: int = 64) -> float:
    """Share of the shapes in held-out scenes that a greedy caption names with size, colour and kind."""
    model.eval()
    chosen = [make_scene(700_000 + k) for k in range(scenes)]
    question = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PROMPTS[0]}]}]
    prompt = processor.apply_chat_template(question, add_generation_prompt=True)
    inputs = processor(
        images=[draw(s, 256) for s in chosen], text=[prompt] * scenes, return_tensors="pt", add_special_tokens=False
    )
    out = model.generate(**inputs, max_new_tokens=40, do_sample=False)
    texts = processor.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    model.train()
    shapes = [(shape, text) for scene, text in zip(chosen, texts, strict=True) for shape in scene.shapes]
    return sum(shape.phrase in text for shape, text in shapes) / len(shapes)


def save(model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path) -> None:
    """Write the model in float16 (half the bytes, no loss that generation could show) with its processor."""
    folder.mkdir(parents=True, exist_ok=True)
    half = LlavaForConditionalGeneration(model.config).to(torch.float16)
    half.load_state_dict({k: v.to(torch.float16) for k, v in model.state_dict().items()})
    half.config.dtype = torch.float16
    half.generation_config = model.generation_config
    half.save_pretrained(folder)
    processor.save_pretrained(folder)
