"""Tiny random snapshots of the vision-language models of transformers, in the layout of the Hub, with processors.

tiny_seeing.yaml has each type's settings: what its processor writes of a picture must be what its model makes features
for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tiny_models as tiny
import torch
import yaml
from transformers import AutoConfig, AutoModelForImageTextToText

TYPES = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
SPECIALS = ("<pad>", "<s>", "</s>", "<unk>", "<image>")
LOCATIONS = [f"<loc{number:04d}>" for number in range(1024)] + [f"<seg{number:03d}>" for number in range(128)]
APART = ("vision_config", "vq_config", "vocabulary_map")


def make(name: str, folder: Path) -> Path:
    """Write a snapshot of a type: a `model_type`, or one with what makes it different after a slash."""
    about = TYPES[name]
    named, marker = about.get("tokens", {}), about.get("marker")
    tokenizer = _tokenizer(about, named, marker)
    rows = -(-(len(tokenizer) + 40) // 64) * 64
    torch.manual_seed(0)
    config = AutoConfig.for_model(name.partition("/")[0], **_with_rows(about["config"], rows))
    tiny.randomize(AutoModelForImageTextToText.from_config(config)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    kind = {"processor_class": about["processor"]["processor_class"]}
    (folder / "preprocessor_config.json").write_text(json.dumps(about["image_processor"] | kind))
    (folder / "processor_config.json").write_text(json.dumps(about["processor"]))
    if marker:
        (folder / "chat_template.jinja").write_text(tiny.CHATML.replace("IMAGE", marker))
    return folder


def _tokenizer(about: dict[str, Any], named: dict[str, str], marker: str | None) -> Any:
    specials = about.get("specials", [])
    tokens = [named.get("image_token", token) if token == "<image>" else token for token in SPECIALS]
    tokens += LOCATIONS if specials == "paligemma" else specials
    tokens += ["<|im_start|>", "<|im_end|>"] if marker else []
    usual = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    usual |= {key: named[key] for key in ("cls_token", "sep_token") if key in named}
    extra = {key: token for key, token in named.items() if key not in usual}
    more = {"extra_special_tokens": extra} if extra else {}
    return tiny.tokenizer_of(list(dict.fromkeys(tokens)), **usual, **more)


def _with_rows(config: dict[str, Any], rows: int) -> dict[str, Any]:
    """The configuration with as many rows of embeddings as its tokenizer needs."""
    found = {
        key: _with_rows(value, rows) if isinstance(value, dict) and key not in APART else value
        for key, value in config.items()
    }
    return found | {key: max(rows, value) for key, value in found.items() if key == "vocab_size"}
