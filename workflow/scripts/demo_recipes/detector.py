"""The demo detector: the YOLOS architecture at a size that trains on one core.

Nothing here differs in kind from `hustvl/yolos-tiny`: a ViT that reads patches and detection tokens together (Fang et
al. 2021, arXiv 2106.00666), read and written by `transformers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from transformers import YolosConfig, YolosForObjectDetection
from transformers.image_transforms import center_to_corners_format
from transformers.loss.loss_for_object_detection import generalized_box_iou
from transformers.models.yolos.image_processing_pil_yolos import YolosImageProcessorPil

from bitbudget.datasets.demo.scenes import SHAPES, Scene, box_of, draw, make_scene
from demo_recipes.pictures import FIRST_HELD_OUT_SEED, FIRST_TRAINING_SEED, training_picture

IMAGE_SIDE, PATCH = 96, 8
TOKENS_A_SIDE = 4
TOKENS = TOKENS_A_SIDE**2
PICTURES = 48  # in a training batch

Labels = dict[str, torch.Tensor]
Batch = tuple[torch.Tensor, list[Labels]]


def build_model() -> YolosForObjectDetection:
    """A new, untrained model (about 1.1 million parameters, float32)."""
    return YolosForObjectDetection(
        YolosConfig(
            image_size=[IMAGE_SIDE, IMAGE_SIDE],
            patch_size=PATCH,
            hidden_size=128,
            intermediate_size=512,
            num_hidden_layers=5,
            num_attention_heads=4,
            num_detection_tokens=TOKENS,
            use_mid_position_embeddings=False,
            id2label=dict(enumerate(SHAPES)),
            label2id={name: number for number, name in enumerate(SHAPES)},
        )
    )


def build_processor() -> YolosImageProcessorPil:
    """Stretches every picture to the model's square, whatever its proportions."""
    return YolosImageProcessorPil(
        size={"height": IMAGE_SIDE, "width": IMAGE_SIDE},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
        do_pad=False,
    )


def pixels_of(processor: YolosImageProcessorPil, pictures: Sequence[Image.Image]) -> torch.Tensor:
    """Pictures as the model takes them: (pictures, 3, side, side) float32."""
    return processor(list(pictures), return_tensors="pt")["pixel_values"]


def labels_of(scene: Scene) -> Labels:
    """A scene's shapes as the loss wants them: `class_labels` (n), `boxes` (n, 4) as centre and size, shares."""
    boxes = []
    for shape in scene.shapes:
        width, height = (scene.aspect, 1.0) if scene.aspect >= 1 else (1.0, 1 / scene.aspect)
        x, y, w, h = box_of(shape, width, height)
        boxes.append([(x + w / 2) / width, (y + h / 2) / height, w / width, h / height])
    return {
        "class_labels": torch.tensor([SHAPES.index(shape.shape) for shape in scene.shapes]),
        "boxes": torch.tensor(boxes, dtype=torch.float32),
    }


def assigned(labels: list[Labels]) -> tuple[torch.Tensor, ...]:
    """Which token answers for each object: rows, tokens, class labels and boxes of all objects of a batch.

    That is the one whose part of the picture has the object's centre, or else the nearest that is free.
    """
    centres = (torch.arange(TOKENS_A_SIDE) + 0.5) / TOKENS_A_SIDE
    at = torch.stack(torch.meshgrid(centres, centres, indexing="ij")[::-1], -1).reshape(-1, 2)  # x, y
    rows, places = [], []
    for row, label in enumerate(labels):
        free = torch.ones(TOKENS, dtype=torch.bool)
        for box in label["boxes"]:
            distance = (at - box[:2]).abs().amax(-1).masked_fill(~free, torch.inf)
            places.append(int(distance.argmin()))
            free[places[-1]] = False
            rows.append(row)
    kinds = torch.cat([label["class_labels"] for label in labels])
    return torch.tensor(rows), torch.tensor(places), kinds, torch.cat([label["boxes"] for label in labels])


class Batches(torch.utils.data.Dataset):
    """The training batches: number k is always the same pictures."""

    def __init__(self, processor: YolosImageProcessorPil, length: int, seed: int):
        self.processor, self.length, self.seed = processor, length, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, k: int) -> Batch:
        """Pixels (pictures, 3, side, side) float32, and each picture's labels."""
        first = FIRST_TRAINING_SEED + 500_000_000 + self.seed * 10_000_000 + k * PICTURES
        shown = [training_picture(seed) for seed in range(first, first + PICTURES)]
        return pixels_of(self.processor, [picture for _, picture in shown]), [labels_of(scene) for scene, _ in shown]


class Lesson(torch.nn.Module):
    """The model with what it learns from: its detection tokens, and what each patch shows.

    Matching tokens to objects by cost, as DETR and YOLOS do, takes many thousand steps to settle. Here each of the
    tokens, laid out as a square, answers for the objects whose centre lies in its part of the picture. And each patch
    must say which shape lies over it and where that shape's box is: that teaches the layers to see.
    """

    def __init__(self, model: YolosForObjectDetection):
        super().__init__()
        self.model = model
        width = model.config.hidden_size
        self.patch_class = torch.nn.Linear(width, len(SHAPES) + 1)
        self.patch_box = torch.nn.Linear(width, 4)
        weights = torch.ones(len(SHAPES) + 1)
        weights[-1] = 0.2  # most tokens have nothing to find
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, batch: Batch) -> torch.Tensor:
        """The loss of a batch: class, L1 and generalised IoU of the tokens (weighted as in DETR), and the patches'."""
        pixels, labels = batch
        states = self.model.vit(pixels).last_hidden_state
        tokens = states[:, -TOKENS:].float()
        rows, places, kinds, boxes = assigned(labels)
        wanted = torch.full((len(labels), TOKENS), len(SHAPES))
        wanted[rows, places] = kinds
        with torch.autocast("cpu", enabled=False):
            logits = self.model.class_labels_classifier(tokens)
            found = self.model.bbox_predictor(tokens).sigmoid()[rows, places]
            named = torch.nn.functional.cross_entropy(logits.transpose(1, 2), wanted, self.weights)
            near = (found - boxes).abs().sum(-1).mean()
            overlap = generalized_box_iou(center_to_corners_format(found), center_to_corners_format(boxes)).diag()
        seen = self.patch_loss(states[:, 1:-TOKENS].float(), labels)
        return named + 5 * near + 2 * (1 - overlap).mean() + seen

    def patch_loss(self, seen: torch.Tensor, labels: list[Labels]) -> torch.Tensor:
        """What the patches (pictures, patches, width) say of the shape over their centre: class, and L1 of its box."""
        side = IMAGE_SIDE // PATCH
        centres = (torch.arange(side) + 0.5) / side
        at = torch.stack(torch.meshgrid(centres, centres, indexing="ij")[::-1], -1).reshape(-1, 2)  # x, y
        wanted = torch.full((len(labels), side * side), len(SHAPES))
        boxes = torch.zeros(len(labels), side * side, 4)
        for row, label in enumerate(labels):
            for kind, box in zip(label["class_labels"], label["boxes"], strict=True):
                inside = ((at - box[:2]).abs() <= box[2:] / 2).all(-1)
                wanted[row, inside], boxes[row, inside] = kind, box
        shown = wanted < len(SHAPES)
        with torch.autocast("cpu", enabled=False):
            kinds = torch.nn.functional.cross_entropy(self.patch_class(seen).transpose(1, 2), wanted)
            where = (self.patch_box(seen[shown]).sigmoid() - boxes[shown]).abs().sum(-1).mean()
        return 3 * kinds + 3 * where


@torch.no_grad()
def held_out(model: YolosForObjectDetection, processor: YolosImageProcessorPil, count: int = 200) -> dict[str, float]:
    """Shares of the shapes of held-out scenes that are found, with an IoU of 0.5 and of 0.75.

    In a scene of n shapes the n surest tokens count; a shape is found if one of these has its kind and such a box.
    """
    model.eval()
    scenes = [make_scene(FIRST_HELD_OUT_SEED + k) for k in range(count)]
    outputs = model(pixels_of(processor, [draw(scene, 256) for scene in scenes]))
    scores, kinds = outputs.logits.softmax(-1)[..., :-1].max(-1)
    found, total = {0.5: 0, 0.75: 0}, 0
    for row, scene in enumerate(scenes):
        label = labels_of(scene)
        best = scores[row].argsort(descending=True)[: len(scene.shapes)]
        total += len(scene.shapes)
        for kind, box in zip(label["class_labels"], label["boxes"], strict=True):
            overlaps = [_iou(box, outputs.pred_boxes[row, k]) for k in best if kinds[row, k] == kind]
            for least in found:
                found[least] += max(overlaps, default=0.0) >= least
    model.train()
    return {f"found_at_{least}": round(number / total, 4) for least, number in found.items()}


def _iou(a: torch.Tensor, b: torch.Tensor) -> float:
    """Intersection over union of two boxes (centre x, centre y, width, height)."""
    low, high = torch.maximum(a[:2] - a[2:] / 2, b[:2] - b[2:] / 2), torch.minimum(a[:2] + a[2:] / 2, b[:2] + b[2:] / 2)
    shared = (high - low).clamp(min=0).prod()
    return float(shared / (a[2:].prod() + b[2:].prod() - shared))


def save(model: YolosForObjectDetection, processor: YolosImageProcessorPil, folder: Path) -> None:
    """Write the model in float16 (half the bytes) with its image processor."""
    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.float16).save_pretrained(folder)
    processor.save_pretrained(folder)
