"""The audit as a tree of modules: which part of a model holds which format, and how many bytes it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Record = Mapping[str, Any]


def tree(audit: Record) -> dict[str, list[Any]]:
    """The modules of a checkpoint as parallel lists, the root first; `parents` are places in these lists, None its own.

    A module that has one part only is drawn as one with it ("model.vision_tower.encoder"). Of a leaf `formats` is what
    it holds; of the others, the one format that all of their parts hold, or None where these differ.
    """
    root: dict[str, Any] = {"label": audit["model"], "parts": {}, "leaf": None}
    for kind in ("layers", "other_parameters"):
        for entry in audit.get(kind, []):
            _add(root, entry)
    for part in root["parts"].values():
        _join(part)
    _sum(root)
    found: dict[str, list[Any]] = {
        name: [] for name in ("labels", "parents", "bytes", "formats", "storages", "errors", "allowed", "faults")
    }
    _list(root, None, found)
    return found


def groups(audit: Record) -> list[dict[str, Any]]:
    """Each module group: its format, parameters, bytes, relative error, and the faults that the audit found in it."""
    faults: dict[str, list[str]] = {}
    for entry in [*audit["layers"], *audit.get("other_parameters", [])]:
        if entry.get("fault"):
            faults.setdefault(entry["group"], []).append(f"{entry['path']}: {entry['fault']}")
    names = ("format", "parameters", "bytes", "relative_error")
    return [
        {"group": name, "faults": faults.get(name, [])} | {key: about[key] for key in names}
        for name, about in audit["groups"].items()
    ]


def _add(root: dict[str, Any], entry: Record) -> None:
    path, _, rest = entry["path"].partition(" (")
    names = [name for name in path.split(".") if name] or [path]
    if rest:  # of a LiteRT file: which operator reads it
        names[-1] += f" ({rest}"
    node = root
    for name in names:
        node = node["parts"].setdefault(name, {"label": name, "parts": {}, "leaf": None})
    if node["leaf"] is not None:  # two with one name: both are kept
        node = node["parts"].setdefault(f"{names[-1]} #{len(node['parts']) + 2}", {"parts": {}, "leaf": None})
        node["label"] = names[-1]
    node["leaf"] = entry


def _join(node: dict[str, Any]) -> None:
    while len(node["parts"]) == 1 and node["leaf"] is None:
        (only,) = node["parts"].values()
        node |= {"label": f"{node['label']}.{only['label']}", "parts": only["parts"], "leaf": only["leaf"]}
    for part in node["parts"].values():
        _join(part)


def _sum(node: dict[str, Any]) -> None:
    """Bytes, and the formats held, of a module with all of its parts."""
    leaf = node["leaf"]
    node["bytes"] = leaf["bytes"] if leaf else 0
    node["formats"] = {_format(leaf)} if leaf and leaf["bytes"] else set()
    for part in node["parts"].values():
        _sum(part)
        node["bytes"] += part["bytes"]
        node["formats"] |= part["formats"]


def _format(entry: Record) -> str:
    """What a layer holds; a tensor that is no layer (a norm, a bias) is named by its storage."""
    return entry.get("found") or entry["storage"].split(",")[0].lower()


def _list(node: dict[str, Any], parent: int | None, found: dict[str, list[Any]]) -> None:
    if not node["bytes"] and parent is not None:
        return
    leaf = node["leaf"] or {}
    formats = node["formats"]
    place = len(found["labels"])
    for name, value in {
        "labels": node["label"],
        "parents": parent,
        "bytes": node["bytes"],
        "formats": next(iter(formats)) if len(formats) == 1 else None,
        "storages": leaf.get("storage"),
        "errors": leaf.get("relative_error"),
        "allowed": leaf.get("allowed_error"),
        "faults": leaf.get("fault"),
    }.items():
        found[name].append(value)
    for part in node["parts"].values():
        _list(part, place, found)
