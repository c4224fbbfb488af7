"""What a detector's labels mean: which category of the data set each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bitbudget.datasets.names import plain
from bitbudget.errors import UserError

# The ids of COCO's 80 object categories in the order of `categories` in its instances_val2017.json (cocodataset.org,
# 2017 Train/Val annotations): 1 to 90 without the ten that were never annotated.
NEVER_ANNOTATED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
COCO_80 = tuple(number for number in range(1, 91) if number not in NEVER_ANNOTATED)

WHERE = "of the model's `detector` in config/models.yaml"


def number_of_labels(spec: dict[str, Any]) -> int | None:
    """How many labels a model with these `classes` has; None where they are ids, not all of them used."""
    return None if spec["ids"] == "identity" else len(_table(spec)) - spec["offset"]


def category_ids(spec: dict[str, Any], categories: Sequence[dict[str, Any]]) -> dict[int, int]:
    """The category id of each label that the data set has a category for; names are compared where they are known.

    `spec` is the `classes` of a detector's specification, `categories` are the data set's, each with `id` and `name`.
    Raises `UserError` where no label has a category, and for an id in an explicit list that the data set does not have.
    """
    ids = {category["id"] for category in categories}
    if spec["ids"] == "identity":
        entries = {number: number for number in sorted(ids)}
    elif spec["ids"] == "names":
        by_name = {plain(category["name"]): category["id"] for category in categories}  # no name is there twice
        entries = {k: by_name[plain(name)] for k, name in enumerate(_table(spec)) if plain(name) in by_name}
    else:
        entries = {k: number for k, number in enumerate(_table(spec)) if number in ids}
        if isinstance(spec["ids"], list) and len(entries) < len(spec["ids"]):
            raise UserError(_unknown_id(spec["ids"], ids))
    found = {entry - spec["offset"]: number for entry, number in entries.items() if entry >= spec["offset"]}
    if not found:
        raise UserError(_nothing_in_common(spec, categories))
    if spec["ids"] != "names":
        _refuse_other_meaning(spec, found, categories)
    return found


def _refuse_other_meaning(spec: dict[str, Any], found: dict[int, int], categories: Sequence[dict[str, Any]]) -> None:
    """Raise `UserError` where labels have names, and not one is that of the category that its number gives it.

    A few may differ: some models of COCO say motorbike for motorcycle.
    """
    names = {category["id"]: category["name"] for category in categories}
    known = {k: spec["names"][k + spec["offset"]] for k in found if 0 <= k + spec["offset"] < len(spec["names"])}
    if known and not any(plain(name) == plain(names[found[k]]) for k, name in known.items()):
        label = min(known)
        raise UserError(
            f"`classes.ids: {spec['ids']}` {WHERE} makes {names[found[label]]!r} of label {label}, which the model "
            f"calls {known[label]!r}, and no other name fits either: set `ids: names`, or a list of category ids."
        )


def without_category(spec: dict[str, Any], categories: Sequence[dict[str, Any]]) -> list[str]:
    """The names of labels that no category of the data set has; of `ids: names` only."""
    if spec["ids"] != "names":
        return []
    known = {plain(category["name"]) for category in categories}
    return [name for name in _table(spec) if plain(name) not in known]


def _table(spec: dict[str, Any]) -> Sequence[Any]:
    """What stands for each label, from label -offset on: category ids, or names. Raises `UserError` without names."""
    if spec["ids"] == "coco-80":
        return COCO_80
    if spec["ids"] != "names":
        return spec["ids"]
    if not spec["names"]:
        raise UserError(f"`classes.ids` is names, and `classes.names` {WHERE} has none; list the labels' names there.")
    return spec["names"]


def _unknown_id(given: Sequence[int], known: set[int]) -> str:
    label = next(k for k, number in enumerate(given) if number not in known)
    return (
        f"`classes.ids` {WHERE} says that label {label} is category {given[label]}, which the data set does not have; "
        f"its categories are {_few(sorted(known))}."
    )


def _nothing_in_common(spec: dict[str, Any], categories: Sequence[dict[str, Any]]) -> str:
    """The sentence for labels of which the data set has none."""
    if spec["ids"] == "names":
        first = spec["names"][0]
        names = ", ".join(category["name"] for category in categories[:6]) + (", …" if len(categories) > 6 else "")
        return (
            f"no name in `classes.names` {WHERE} is a category of the data set, as {first!r} is not: its categories "
            f"are {names}; name the labels as these, or say with `classes.ids` which category each label is."
        )
    ids = _few(sorted(category["id"] for category in categories))
    return (
        f"`classes` {WHERE} gives labels (ids {spec['ids']}, offset {spec['offset']}) of which the data set has no "
        f"category; its category ids are {ids}: correct `ids` or `offset`, or go by the labels' names (`ids: names`)."
    )


def _few(numbers: Sequence[int]) -> str:
    """Numbers in a sentence, the middle ones of many left out."""
    if len(numbers) > 12:
        return f"{', '.join(map(str, numbers[:6]))}, …, {numbers[-1]}"
    return ", ".join(map(str, numbers))
