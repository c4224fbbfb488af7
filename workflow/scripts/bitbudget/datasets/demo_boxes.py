"""The generated scenes of coloured shapes with a box around each shape, in COCO's format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget.datasets import demo_scenes, generated, instances_format
from bitbudget.items.item import Item

TRACKS = ("detection",)
SPLITS = demo_scenes.SPLITS
OPTIONS = demo_scenes.OPTIONS
REQUIRED = demo_scenes.REQUIRED
LOCAL_PATHS = demo_scenes.LOCAL_PATHS

ABOUT = "generated scenes with the box of every shape, in the format of COCO [@lin2014coco]"
PUBLISHED = True
LIMITS = generated.LIMITS


def fetch(options: dict[str, Any], folder: Path, partial: Path) -> dict[str, Any]:
    """Draw the pictures of `demo-scenes`, and write their captions and boxes."""
    return demo_scenes.fetch(options, folder, partial)


def read_items(options: dict[str, Any], folder: Path, split: str) -> list[Item]:
    """The pictures with the boxes of their shapes."""
    return instances_format.read_instances(folder / demo_scenes.INSTANCES, lambda image: f"images/{image['file_name']}")


def read_categories(options: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """The kinds of shapes."""
    return instances_format.read_categories(folder / demo_scenes.INSTANCES)
