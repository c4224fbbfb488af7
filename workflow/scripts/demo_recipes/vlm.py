"""The demo vision-language model: the LLaVA architecture at a size that trains on one core.

Nothing here differs in kind from LLaVA-1.5: a CLIP vision tower, a two-layer projector and a Llama decoder, read and
written by `transformers`. Every dimension is a multiple of 64, so that every block-wise format fits its matrices.
"""

from __future__ import annotations

import random
import string
from pathlib import Path
from typing import Any

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

from bitbudget.datasets.demo.questions import ask
from bitbudget.datasets.demo.scenes import COLOURS, RADIUS, SHAPES, Scene, captions, draw, make_scene
from bitbudget.datasets.demo.signs import WORDS
from bitbudget.models.families.chat import conversation
from bitbudget.tracks.vqa import PROMPT as QUESTION_PROMPT
from demo_recipes.pictures import FIRST_HELD_OUT_SEED, FIRST_TRAINING_SEED, training_picture

IMAGE_SIDE, PATCH = 128, 16
PATCHES = (IMAGE_SIDE // PATCH) ** 2
PICTURES = 48  # in a training batch
VOCABULARY = 768
PROMPTS = ("Describe the image in one sentence.", "Describe the image.", "What does the picture show?")
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>")

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
    corpus = []
    for seed in range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + 4000):
        scene = make_scene(seed, with_sign=seed % 2 == 0)
        corpus += captions(scene)
        corpus += [part for _ in range(5) for part in _question(scene, random.Random(seed))]
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
        image_seq_length=PATCHES,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


# What a patch can show, as answers to five questions; the first of each: nothing of the kind.
PATCH_LABELS = (("", *COLOURS), ("", *SHAPES), ("", *RADIUS), ("", *WORDS), ("", " ", *string.ascii_lowercase))
WORD, LETTER = 3, 4  # places among them


def patch_labels(scene: Scene) -> torch.Tensor:
    """Each image patch's colour, shape, size, word and letter: (patches, 5) indices into `PATCH_LABELS`."""
    side = IMAGE_SIDE // PATCH
    width, height = (scene.aspect, 1.0) if scene.aspect >= 1 else (1.0, 1 / scene.aspect)
    labels = torch.zeros(side, side, len(PATCH_LABELS), dtype=torch.long)
    for row in range(side):
        for column in range(side):
            x, y = (column + 0.5) / side * width, (row + 0.5) / side * height
            for shape in scene.shapes:
                reach = shape.radius + 0.4 / side
                if (x - shape.x * width) ** 2 + (y - shape.y * height) ** 2 < reach**2:
                    names = (shape.colour, shape.shape, shape.size)
                    labels[row, column] = _indices((*names, "", ""))
            letter = scene.sign.letter_at(x, y) if scene.sign else None
            if letter is not None:
                labels[row, column] = _indices(("", "", "", scene.sign.word, letter))
    return labels.flatten(0, 1)


def _indices(names: tuple[str, ...]) -> torch.Tensor:
    return torch.tensor([known.index(name) for known, name in zip(PATCH_LABELS, names, strict=True)])


class PatchBatches(torch.utils.data.Dataset):
    """The batches of the vision tower's own lesson: pictures, and what each of their patches shows."""

    def __init__(self, processor: LlavaProcessor, length: int, seed: int):
        self.pictures, self.length, self.seed = processor.image_processor, length, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels (pictures, 3, side, side) float32 and labels (pictures, patches, 5)."""
        first = FIRST_TRAINING_SEED + 900_000_000 + self.seed * 10_000_000 + k * 64
        shown = [training_picture(seed, with_sign=seed % 2 == 0) for seed in range(first, first + 64)]
        pixels = self.pictures([picture for _, picture in shown], return_tensors="pt")["pixel_values"]
        return pixels, torch.stack([patch_labels(scene) for scene, _ in shown])


class PatchReader(torch.nn.Module):
    """Reads what each patch of the vision tower shows; thrown away after the lessons."""

    def __init__(self, tower: torch.nn.Module, width: int):
        super().__init__()
        self.tower = tower
        self.heads = torch.nn.ModuleList(torch.nn.Linear(width, len(names)) for names in PATCH_LABELS)

    def forward(self, pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy over patches and questions."""
        return self.loss(self.tower(pixels).last_hidden_state, labels)

    def loss(self, states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The same from what the tower has made of the pixels: (pictures, 1 + patches, width)."""
        seen = states[:, 1:]
        losses = [
            torch.nn.functional.cross_entropy(head(seen).flatten(0, 1), labels[..., q].flatten())
            for q, head in enumerate(self.heads)
        ]
        return torch.stack(losses).mean()

    def reading_loss(self, states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of word and letter over the patches of signs, few among all."""
        on_sign = labels[..., WORD] > 0
        seen, wanted = states[:, 1:][on_sign], labels[on_sign]
        losses = [torch.nn.functional.cross_entropy(self.heads[q](seen), wanted[:, q]) for q in (WORD, LETTER)]
        return torch.stack(losses).mean()


class Lesson(torch.nn.Module):
    """The model's lesson in words, during which its vision tower keeps on telling what each patch shows.

    Without that the tower forgets what captions do not speak of, and learns it again from single words too slowly.
    """

    def __init__(self, model: LlavaForConditionalGeneration, reader: PatchReader, reading: bool = False):
        super().__init__()
        self.model, self.reader, self.reading = model, reader, reading
        self._seen: torch.Tensor | None = None  # what the tower made of the last batch
        reader.tower.register_forward_hook(self._keep)

    def _keep(self, tower: torch.nn.Module, inputs: tuple, output: Any) -> None:
        self._seen = output.last_hidden_state

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The loss of a batch of `Batches`."""
        words = self.model(**{name: value for name, value in batch.items() if name != "patch_labels"}).loss
        seen, labels = self._seen, batch["patch_labels"]
        loss = words + 0.2 * self.reader.loss(seen, labels)
        return loss + self.reader.reading_loss(seen, labels) if self.reading else loss


class Batches(torch.utils.data.Dataset):
    """The training batches: number k is always the same pictures and the same talk about them.

    The first ones, as many as the share `captions` says, are captions, whose many words teach the decoder to look. Of
    the others a third are captions, a third several questions on one picture, and a third talks of up to five turns
    with a picture each, as few-shot prompts are. Every answer is learnt, so a talk is an example with no shot, one with
    one shot, and so on. The share `signs` of the pictures have one; besides the usual questions about it, the share
    `words` of all questions on such a picture ask for its word.
    """

    def __init__(
        self, processor: LlavaProcessor, length: int, seed: int, *, captions: float, signs: float, words: float
    ):
        self.processor, self.length, self.seed = processor, length, seed
        self.captions, self.signs, self.words = round(length * captions), signs, words

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, k: int) -> dict[str, torch.Tensor]:
        """Model inputs with `labels`, on about `PICTURES` pictures, and these pictures' `patch_labels`."""
        rng = random.Random(f"batch-{self.seed}-{k}")
        kind = "captions" if k < self.captions else rng.choice(("captions", "questions", "talks"))
        turns = rng.randint(2, 5) if kind == "talks" else 1
        first = FIRST_TRAINING_SEED + self.seed * 10_000_000 + k * PICTURES
        talks, scenes = [], []
        for row in range(PICTURES // turns):
            seeds = range(first + row * turns, first + (row + 1) * turns)
            shown = [training_picture(seed, with_sign=rng.random() < self.signs) for seed in seeds]
            if kind == "captions":
                text = PROMPTS[0] if rng.random() < 0.8 else rng.choice(PROMPTS[1:])
                talk = [(shown[0][1], text, rng.choice(captions(shown[0][0])))]
            else:
                talk = [(picture, *_question(scene, rng, self.words)) for scene, picture in shown]
            if kind == "questions":
                talk += [(None, *_question(shown[0][0], rng, self.words)) for _ in range(3)]
            talks.append(talk)
            scenes += [scene for scene, _ in shown]
        batch = collate([encode(self.processor, talk) for talk in talks], self.processor.tokenizer.pad_token_id)
        return batch | {"patch_labels": torch.stack([patch_labels(scene) for scene in scenes])}


def _question(scene: Scene, rng: random.Random, words: float = 0.0) -> tuple[str, str]:
    """A question, wrapped in the prompt, and its answer; `words` is the share of questions of a sign's word."""
    about_sign = words and scene.sign is not None and rng.random() < words
    question = ask(scene, rng, "word" if about_sign else None)
    return QUESTION_PROMPT.replace("{question}", question.text), question.answer


Turn = tuple[Image.Image | None, str, str]


def encode(processor: LlavaProcessor, talk: list[Turn]) -> tuple[list[torch.Tensor], list[int], list[int]]:
    """A talk of (picture or none, what is asked, answer): pixels of each picture, token ids, and labels (-100: none).

    Only the answers' tokens carry a label, with the end of sequence after each.
    """
    tokenizer = processor.tokenizer
    ids: list[int] = []
    labels: list[int] = []
    for number, (picture, text, answer) in enumerate(talk):
        content = [{"type": "image"}] if picture is not None else []
        message = {"role": "user", "content": [*content, {"type": "text", "text": text}]}
        prompt = processor.apply_chat_template([message], add_generation_prompt=True)
        prompt = prompt.removeprefix(tokenizer.bos_token if number else "")
        prompt = prompt.replace(processor.image_token, processor.image_token * PATCHES)
        asked = tokenizer(prompt, add_special_tokens=False).input_ids
        said = [*tokenizer(f" {answer}", add_special_tokens=False).input_ids, tokenizer.eos_token_id]
        ids += asked + said
        labels += [-100] * len(asked) + said
    pictures = [picture for picture, _, _ in talk if picture is not None]
    return list(processor.image_processor(pictures, return_tensors="pt")["pixel_values"]), ids, labels


def collate(samples: list[tuple[list[torch.Tensor], list[int], list[int]]], pad: int) -> dict[str, torch.Tensor]:
    """A right-padded training batch of encoded talks."""
    longest = max(len(ids) for _, ids, _ in samples)
    batch = {
        "input_ids": torch.full((len(samples), longest), pad),
        "labels": torch.full((len(samples), longest), -100),
        "attention_mask": torch.zeros((len(samples), longest), dtype=torch.long),
        "pixel_values": torch.stack([pixels for sample in samples for pixels in sample[0]]),
    }
    for row, (_, ids, labels) in enumerate(samples):
        batch["input_ids"][row, : len(ids)] = torch.tensor(ids)
        batch["labels"][row, : len(ids)] = torch.tensor(labels)
        batch["attention_mask"][row, : len(ids)] = 1
    return batch


def held_out(model: LlavaForConditionalGeneration, processor: LlavaProcessor) -> dict[str, float]:
    """How the model does on held-out scenes: shapes named in captions, and questions answered with 0 and 4 shots.

    `shapes_named` is the share of shapes whose size, colour and kind a greedy caption names; `right_0_shot` and
    `right_4_shot` the share of questions to which the answer is the true one, `words_read_…` that of the signs' words.
    """
    model.eval()
    scenes = [make_scene(FIRST_HELD_OUT_SEED + k) for k in range(64)]
    texts = _answers(model, processor, [([draw(s, 256)], PROMPTS[0], []) for s in scenes], 40)
    shapes = [(shape, text) for scene, text in zip(scenes, texts, strict=True) for shape in scene.shapes]
    found = {"shapes_named": sum(shape.phrase in text for shape, text in shapes) / len(shapes)}
    rng = random.Random("held-out")
    asked = []
    for k in range(100 + 4):
        scene = make_scene(FIRST_HELD_OUT_SEED + 1000 + k, with_sign=k % 3 == 0)
        asked.append((draw(scene, 256), *_question(scene, rng)))
    shots, asked = asked[:4], asked[4:]
    for count in (0, 4):
        before = [(text, answer) for _, text, answer in shots[:count]]
        talks = [([p for p, _, _ in shots[:count]] + [picture], text, before) for picture, text, _ in asked]
        texts = _answers(model, processor, talks, 6)
        right = [text == answer for text, (_, _, answer) in zip(texts, asked, strict=True)]
        found[f"right_{count}_shot"] = sum(right) / len(right)
        words = [one for one, (_, _, answer) in zip(right, asked, strict=True) if answer in WORDS]
        found[f"words_read_{count}_shot"] = sum(words) / len(words)
    model.train()
    return {name: round(value, 4) for name, value in found.items()}


@torch.no_grad()
def _answers(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    talks: list[tuple[list[Image.Image], str, list[tuple[str, str]]]],
    max_new_tokens: int,
) -> list[str]:
    """Greedy answers to talks of (pictures, what is asked, shots)."""
    prompts = [
        processor.apply_chat_template(conversation(1, text, shots), add_generation_prompt=True)
        for _, text, shots in talks
    ]
    pictures = [picture for shown, _, _ in talks for picture in shown]
    inputs = processor(images=pictures, text=prompts, padding=True, return_tensors="pt", add_special_tokens=False)
    out = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    texts = processor.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return [text.strip() for text in texts]


def save(model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path) -> None:
    """Write the model in float16 (half the bytes, no loss that generation could show) with its processor."""
    folder.mkdir(parents=True, exist_ok=True)
    half = LlavaForConditionalGeneration(model.config).to(torch.float16)
    half.load_state_dict({k: v.to(torch.float16) for k, v in model.state_dict().items()})
    half.config.dtype = torch.float16
    half.generation_config = model.generation_config
    half.save_pretrained(folder)
    processor.save_pretrained(folder)
