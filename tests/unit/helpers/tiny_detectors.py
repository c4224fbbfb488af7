"""Tiny detectors of transformers' real classes, and their exported files, each made once in a test run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from bitbudget import registry
from bitbudget.models.formats.litert import FORMATS
from bitbudget.runtimes.litert import export, quantizing, torch_export
from made_once import made_once

NAMES = {0: "circle", 1: "square", 2: "star"}
SIZE = [64, 96]  # height and width of every input here
INPUT = {"size": SIZE, "resize": "stretch", "layout": "NHWC"}


def snapshot(kind: str, folder: Path) -> Path:
    """A snapshot of a model type with random weights that all matter, as the Hub has them."""
    import transformers as t

    labels = {"id2label": NAMES, "label2id": {name: label for label, name in NAMES.items()}}
    if kind == "yolos":
        # trained at another size than the one it is exported for, so that its position embeddings are stretched
        config = t.YolosConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=[48, 48],
            patch_size=16, num_detection_tokens=8, use_mid_position_embeddings=True, **labels,
        )  # fmt: skip
    elif kind == "detr":
        backbone = t.ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic",
                                  out_features=["stage2"])  # fmt: skip
        config = t.DetrConfig(
            use_timm_backbone=False, backbone_config=backbone, d_model=32, encoder_layers=1, decoder_layers=1,
            encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64,
            num_queries=8, **labels,
        )  # fmt: skip
    else:
        backbone = t.RTDetrResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic",
                                        out_features=["stage1", "stage2"])  # fmt: skip
        config = t.RTDetrConfig(
            backbone_config=backbone, d_model=32, encoder_hidden_dim=32, encoder_in_channels=[16, 32],
            feat_strides=[4, 8], encode_proj_layers=[1], num_feature_levels=2, encoder_ffn_dim=64,
            decoder_in_channels=[32, 32], decoder_layers=1, decoder_n_points=2, encoder_attention_heads=2,
            decoder_attention_heads=2, decoder_ffn_dim=64, num_queries=10, **labels,
        )  # fmt: skip
    model = t.AutoModelForObjectDetection.from_config(config)
    spread(model)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"size": {"height": SIZE[0], "width": SIZE[1]}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3})
    )
    return folder


def spread(model: nn.Module, seed: int = 0) -> None:
    """Random parameters of a size at which every layer's output depends on its input."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        wide = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
        parameter.data = torch.randn(parameter.shape, generator=generator) * wide + (parameter.ndim == 1)


def exported(kind: str, tmp_path_factory) -> Path:
    """The folder of an exported detector: of a model type, or of `Operators`."""

    def make(folder: Path) -> None:
        if kind == "operators":
            torch.manual_seed(0)
            model, family = Operators().eval(), SimpleNamespace(PIXEL_MASK=False, FROZEN=())
            torch_export.write(model, family, INPUT, folder / "model.tflite")
            (folder / "detector.json").write_text(json.dumps(export.complete(OPERATORS)))
        else:
            family = registry.module_of("family", kind.replace("_", "-"))
            found = export.export(snapshot(kind, folder / "source"), family, {}, folder)
            (folder / "export.json").write_text(json.dumps(found))

    return made_once(tmp_path_factory, f"exported-{kind}", make)


def specs() -> list[dict[str, Any]]:
    """Every format of .tflite files with each choice of its options."""
    return [
        {"format": name} | options
        for name in FORMATS
        for options in ([{"operators": "weights"}, {"operators": "all"}] if name == "litert-int8-full" else [{}])
    ]


def images() -> np.ndarray:
    """Four inputs to calibrate on."""
    return np.random.default_rng(0).uniform(-1, 1, (4, 1, *SIZE, 3)).astype(np.float32)


def quantized(exported: Path, spec: dict[str, Any], folder: Path) -> Path:
    """A checkpoint of an exported detector in a format, with the ranges of its calibration images in its record."""
    folder.mkdir(exist_ok=True)
    shutil.copyfile(exported / "detector.json", folder / "detector.json")
    ranges: dict[str, tuple[float, float]] = {}
    (folder / "model.tflite").write_bytes(quantizing.quantize(exported / "model.tflite", spec, images(), ranges))
    record = {"calibration": {"ranges": ranges}} if ranges else {}
    (folder / "checkpoint.json").write_text(json.dumps(record))
    return folder


OPERATORS = {
    "input": INPUT | {"mean": [127.5] * 3, "std": [127.5] * 3},
    "outputs": {"kind": "detr", "logits": "logits", "boxes": "boxes"},
    "classes": {"ids": "names", "names": list(NAMES.values())},
}


class Operators(nn.Module):
    """Every operator that has weights, in the form of a detector: (1, 3, 64, 96) to logits and boxes of 24 queries."""

    def __init__(self):
        super().__init__()
        self.strided = nn.Conv2d(3, 8, 3, 4, 1)
        self.depthwise = nn.Conv2d(8, 8, 3, 1, 1, groups=8)
        self.transposed = nn.ConvTranspose2d(8, 8, 2, 2)
        self.patches = nn.Conv2d(8, 16, 8, 8)
        self.linear = nn.Linear(16, 16)
        self.register_buffer("matrices", torch.randn(1, 4, 16, 16) / 4)
        self.named = nn.Linear(16, len(NAMES) + 1)
        self.where = nn.Linear(16, 4)

    def forward(self, pixel_values: torch.Tensor) -> SimpleNamespace:
        seen = torch.relu(self.depthwise(torch.relu(self.strided(pixel_values))))
        states = self.patches(torch.relu(self.transposed(seen))).flatten(2).transpose(1, 2)
        states = nn.functional.layer_norm(states, (16,)) + self.linear(states)
        mixed = torch.matmul(states.reshape(1, -1, 4, 16).transpose(1, 2), self.matrices)
        states = states + mixed.transpose(1, 2).reshape(1, -1, 16)
        return SimpleNamespace(logits=self.named(states), pred_boxes=self.where(states).sigmoid())
