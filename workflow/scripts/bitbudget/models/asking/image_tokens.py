"""How many tokens of a prompt an image takes, kept small through the settings that its processor has.

A study reduces images to `images.max_side`, and some processors enlarge them again: Idefics3's to 1456 pixels and
SmolVLM's to 2048, which are 13 or 17 tiles whatever came in, and InternVL's to as many tiles as fit their proportions.
What was not there cannot be seen, so by default a picture gets the fewest tiles that its longer side fits into;
`images.enlarge` gives it those of the model's authors. `images.max_tokens` bounds the tokens through whatever the
processor has for it.
"""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from bitbudget.models.asking import forms

log = logging.getLogger("bitbudget")

# Width to height of the pictures that a bound is tried on; tiles are chosen by it.
PROPORTIONS = (1, 4 / 3, 3 / 4, 2, 1 / 2, 4, 1 / 4)


@dataclass(frozen=True)
class Setting:
    """What bounds the tokens of an image: the settings at each step, from 1 to the model's own at `top`."""

    at: Callable[[int], dict[str, Any]]
    top: int


def bound(
    processor: Any, config: Any, family: ModuleType, max_side: int, max_tokens: int | None, enlarge: bool
) -> dict[str, Any]:
    """Set a processor as a study's `images` asks; returns what was set, for the record.

    A model that looks up a setting in its own configuration (LLaVA-NeXT) finds it in `config`. Where the processor has
    no setting, or needs more tokens at its least, a `remark` says so.
    """
    parts = processor.image_processor
    done: dict[str, Any] = {"max_tokens": max_tokens, "enlarge": enlarge}
    if not enlarge:
        done["tiles"] = "as many as its longer side fills" if _keep_small(processor, parts) else None
    if max_tokens is None:
        return done
    setting = _setting(processor, parts)
    if setting is None:
        done["remark"] = f"{type(processor).__name__} has no setting for the tokens of an image"
    else:
        least, most = 1, min(setting.top, max(1, max_tokens))
        if _most(processor, config, family, setting.at(most), max_side) <= max_tokens:
            least = most
        while least < most:  # the highest step that keeps the bound
            middle = (least + most + 1) // 2
            if _most(processor, config, family, setting.at(middle), max_side) <= max_tokens:
                least = middle
            else:
                most = middle - 1
        done["set"] = setting.at(least)
        needs = _most(processor, config, family, done["set"], max_side)
        if needs > max_tokens:
            done["remark"] = f"{type(processor).__name__} needs {needs} tokens for an image at its least"
    if "remark" in done:
        log.warning("images.max_tokens is %d, and %s", max_tokens, done["remark"])
    return done


def _most(processor: Any, config: Any, family: ModuleType, settings: dict[str, Any], side: int) -> int:
    """The most tokens of a picture of any proportions whose longest side is `side`, after applying these settings."""
    from PIL import Image

    _apply(processor, config, settings)
    form = forms.probe(processor, config.model_type)
    prompt = forms.write(form, processor, family, 1, "?")
    number, most = forms.image_token_id(config), 0
    for ratio in PROPORTIONS:
        size = (side, max(1, round(side / ratio))) if ratio >= 1 else (max(1, round(side * ratio)), side)
        inputs = forms.read(processor, [[Image.new("RGB", size, "grey")]], [prompt])
        shown = int((inputs["input_ids"] == number).sum()) if "input_ids" in inputs and number is not None else 0
        most = max(most, shown or int(inputs["attention_mask"].sum()))
    return most


def _apply(processor: Any, config: Any, settings: dict[str, Any]) -> None:
    from transformers.image_utils import SizeDict

    for name, value in settings.items():
        setattr(processor.image_processor, name, SizeDict(**value) if name == "size" else value)
        if name in (own := getattr(processor, "images_kwargs", None) or {}):
            processor.images_kwargs = {**own, name: value}
        if hasattr(config, name):
            setattr(config, name, value)


def _effective(processor: Any, parts: Any, name: str) -> Any:
    """A setting as the processor calls its image processor."""
    return (getattr(processor, "images_kwargs", None) or {}).get(name, getattr(parts, name, None))


def _setting(processor: Any, parts: Any) -> Setting | None:
    """What this processor has to bound the tokens of an image."""
    size = dict(parts.size) if getattr(parts, "size", None) else {}
    edge, patch = size.get("longest_edge"), getattr(parts, "patch_size", None)
    tile = dict(getattr(parts, "max_image_size", None) or {}).get("longest_edge") if _splits(parts) else None
    if tile and edge:  # Idefics3, SmolVLM
        return Setting(lambda step: {"size": {"longest_edge": step * tile}}, edge // tile)
    if getattr(parts, "merge_size", None) and edge and isinstance(patch, int):  # the Qwen2-VL kind: an area in pixels
        unit = (patch * parts.merge_size) ** 2
        least = size.get("shortest_edge") or 0
        return Setting(
            lambda step: {"size": {"shortest_edge": min(least, step * unit), "longest_edge": step * unit}},
            max(1, edge // unit),
        )
    points = getattr(parts, "image_grid_pinpoints", None)
    if points:  # LLaVA-NeXT and -OneVision
        ordered = sorted((list(point) for point in points), key=lambda point: (point[0] * point[1], point))
        return Setting(lambda step: {"image_grid_pinpoints": ordered[:step]}, len(ordered))
    if _effective(processor, parts, "crop_to_patches") or type(parts).__name__.startswith("Pix2Struct"):
        return Setting(lambda step: {"max_patches": step}, int(_effective(processor, parts, "max_patches")))
    if edge and patch and not isinstance(patch, int):  # Pixtral
        width = dict(patch)["width"] * getattr(processor, "spatial_merge_size", 1)
        return Setting(lambda step: {"size": {"longest_edge": step * width}}, edge // width)
    for name in ("num_crops", "max_slice_nums", "max_num_tiles", "max_image_tiles"):
        if isinstance(getattr(parts, name, None), int):
            return Setting(lambda step, name=name: {name: step}, getattr(parts, name))
    if _splits(parts):  # Idefics2, in five or not at all
        return Setting(lambda step: {"do_image_splitting": step > 1}, 2)
    return None


def _splits(parts: Any) -> bool:
    return bool(getattr(parts, "do_image_splitting", False))


def _keep_small(processor: Any, parts: Any) -> bool:
    """Have a processor take no more tiles than a picture fits into; whether it is one that takes more by itself."""
    if getattr(parts, "enlarges", False):  # Phi-3.5-vision's, which is this project's own
        parts.enlarges = False
        return True
    tile = dict(getattr(parts, "max_image_size", None) or {}).get("longest_edge") if _splits(parts) else None
    if tile:
        resize = parts.resize

        def smaller(image: Any, size: Any, *given: Any, **named: Any) -> Any:
            if size.longest_edge:
                longest = max(image.shape[-2:])
                size = type(size)(longest_edge=min(size.longest_edge, math.ceil(longest / tile) * tile))
            return resize(image, size, *given, **named)

        parts.resize = smaller
        return True
    if not _effective(processor, parts, "crop_to_patches") or not hasattr(parts, "crop_image_to_patches"):
        return False
    crop = parts.crop_image_to_patches
    signature = inspect.signature(crop)

    def fewer(*given: Any, **named: Any) -> Any:
        bound_to = signature.bind(*given, **named)
        told = bound_to.arguments
        height, width = next(iter(told.values())).shape[-2:]
        size = told.get("patch_size") or parts.size
        tall, wide = [told["tile_size"]] * 2 if "tile_size" in told else (size.height, size.width)
        holding = math.ceil(height / tall) * math.ceil(width / wide)
        told["max_patches"] = min(told["max_patches"], max(told["min_patches"], holding))
        return crop(*bound_to.args, **bound_to.kwargs)

    parts.crop_image_to_patches = fewer
    return True
