"""A detector's specification: what its file takes in and gives out, as config/models.yaml and detector.json say it."""

from __future__ import annotations

from typing import Any

from bitbudget.config.validate import check, schema, with_defaults


def complete(entry: dict[str, Any], where: str = "`detector` in config/models.yaml") -> dict[str, Any]:
    """The specification with every default filled in.

    Defaults of outputs depend on their kind; boxes of `yolo` and `anchors` are suppressed and have a threshold, those
    of the other kinds come as a set already. Raises `UserError`, which begins with `where`, for a specification that is
    not whole.
    """
    definitions = schema("models")["$defs"]
    check(entry, {"$ref": "#/$defs/whole_detector", "$defs": definitions}, where)
    rules = definitions["detector"]
    found = with_defaults(entry, rules)
    forms = rules["properties"]["outputs"]["allOf"]
    kind = found["outputs"]["kind"]
    form = next(one["then"] for one in forms if one["if"]["properties"]["kind"]["const"] == kind)
    outputs = found["outputs"] = with_defaults(found["outputs"], form)
    if kind == "yolo":
        outputs.setdefault("multi_label", outputs["grid"] == "none")
        found.setdefault("nms", {"iou": 0.65})
        found.setdefault("score_threshold", 0.001)
    if kind == "anchors":
        found.setdefault("nms", {"iou": 0.5})
        found.setdefault("score_threshold", 0.001)
    found.setdefault("nms", None)
    found.setdefault("score_threshold", 0)
    return found
