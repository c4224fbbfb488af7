"""What the detectors that transformers has share: how they are loaded, and what their own files say of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitbudget.errors import UserError

GROUPS = {"detector": ("*",)}  # a .tflite file has one format, so there is nothing to divide
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
USUAL = 4 / 3  # the longer side of most photographs over the shorter one
LABELS_OF_91, LABELS_OF_80 = {1: "person", 90: "toothbrush"}, {0: "person", 79: "toothbrush"}


def model_class() -> Any:
    """The transformers class to call `from_pretrained` on; config.json decides what it builds."""
    from transformers import AutoModelForObjectDetection

    return AutoModelForObjectDetection


def specification(
    config: Mapping[str, Any], processor: Mapping[str, Any], activation: str, multiple: int
) -> dict[str, Any]:
    """What goes in and what comes out, in the form of `detector` in config/models.yaml.

    `config` is config.json with all its defaults, `processor` is preprocessor_config.json. The input's sides are
    multiples of `multiple`. Pictures are stretched to it: nothing tells an exported graph which part of its input would
    be padding.
    """
    rescale = processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale", True) else 1.0
    normal = processor if processor.get("do_normalize", True) else {"image_mean": [0.0] * 3, "image_std": [1.0] * 3}
    mean, std = ([round(value / rescale, 6) for value in (IMAGENET | dict(normal))[key]] for key in IMAGENET)
    return {
        "input": {
            "size": input_size(processor, multiple),
            "resize": "stretch",
            "padding": mean,  # where a user asks for some, it is 0 after normalising, as processors pad
            "layout": "NHWC",
            "colour": "RGB",
            "mean": mean,
            "std": std,
        },
        "outputs": {"kind": "detr", "logits": "logits", "boxes": "boxes", "activation": activation},
        "classes": classes({int(label): name for label, name in config["id2label"].items()}),
    }


def input_size(processor: Mapping[str, Any], multiple: int) -> list[int]:
    """Height and width of the input in pixels.

    A processor that names both sides is followed. One that keeps a picture's proportions, and names its shortest and
    its longest edge, gives each picture another size, where an exported graph has one: the square with as many pixels
    as a picture of 4:3 gets, which does the same to upright and to wide pictures. Raises `UserError` for neither.
    """
    size = processor.get("size")
    if isinstance(size, int):
        size = {"shortest_edge": size, "longest_edge": processor.get("max_size")}
    if isinstance(size, Mapping) and {"height", "width"} <= size.keys():
        return [size["height"], size["width"]]
    if not isinstance(size, Mapping) or not size.get("shortest_edge"):
        raise UserError(
            "the model's preprocessor_config.json does not say how large its input is: set `detector.input.size` of "
            "the model in config/models.yaml."
        )
    short = size["shortest_edge"]
    long = min(short * USUAL, size.get("longest_edge") or short * USUAL)
    return [max(multiple, round((long**2 / USUAL) ** 0.5 / multiple) * multiple)] * 2


def classes(labels: Mapping[int, str]) -> dict[str, Any]:
    """Which category each label is: COCO's own ids where the labels are COCO's 91 or 80, and else by name."""
    names = [labels[label] for label in sorted(labels)]
    for number, known, ids in ((91, LABELS_OF_91, "identity"), (80, LABELS_OF_80, "coco-80")):
        if len(labels) == number and all(labels.get(label) == name for label, name in known.items()):
            return {"ids": ids, "names": names}
    return {"ids": "names", "names": names}
