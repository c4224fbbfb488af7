"""A detector's examples: the objects of a few images beside what some precisions found in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.publishing.paper import nodes
from bitbudget.publishing.paper.nodes import Node, Unit
from bitbudget.publishing.paper.view import View
from bitbudget.publishing.typesetting.texts import shortened

ITEMS, PRECISIONS = 2, 4  # that can be read at the width of a page
LABEL = 12  # letters of a category


def units(view: View, chosen: Sequence[Mapping[str, Any]], pictures: Mapping[str, str]) -> list[Unit]:
    """The first of the chosen items under the precisions that matter most; `pictures` are assets by item."""
    items = [item for item in chosen if item["id"] in pictures][:ITEMS]
    names = precisions(view)
    if not items or not names:
        return []
    panes = [_row(view, item, names, pictures[item["id"]]) for item in items]
    left = len(view.e.precisions) - len(names)
    label = view.label("examples")
    caption = nodes.text(
        f"Images{view.of_main}, chosen by a fixed rule (examples.json). Dashed: object. Solid blue: right (same "
        "category, IoU at least .5). Dotted orange: wrong."
        + (f" {nodes.count(left, 'more precision is', 'more precisions are')} in index.html." if left else "")
    )
    block = {"t": "boxes", "wide": True, "label": label, "caption": caption, "rows": panes}
    short = "What every precision finds in single images, beside their objects."
    block |= {"files": [view.figure("detections")], "short": short}
    intro = nodes.p(f"[#{label}] shows what is found in single images.")
    return [Unit([nodes.h("Examples"), intro, block], 2)]


def precisions(view: View) -> list[str]:
    """The baseline, what is recommended, what loses most, and others in the study's order, at most four."""
    told = [view.main["recommendation"]["precision"], view.main["outcome"]["largest"]]
    wanted = list(dict.fromkeys([view.e.baseline, *filter(None, told), *view.e.precisions]))[:PRECISIONS]
    return [name for name in view.e.precisions if name in wanted]


def _row(view: View, item: Mapping[str, Any], names: Sequence[str], picture: str) -> Node:
    size = (item.get("width") or 1, item.get("height") or 1)
    answers = item["answers"][view.model][view.condition]
    objects = item["objects"]
    shown = [
        {
            "name": "truth",
            "said": nodes.count(len(objects), "object"),
            "boxes": [_box(one, size, "truth") for one in objects],
        }
    ]
    for name in names:
        if name in answers:
            found = answers[name].get("detections", [])
            right = sum(one.get("right") is True for one in found)
            wrong = sum(one.get("right") is False for one in found)
            said = f"{right} of {len(objects)} found" + (f", {wrong} wrong" if wrong else "")
            shown.append({"name": name, "said": said, "boxes": [_box(one, size, _style(one)) for one in found]})
    return {"path": picture, "alt": f"image {item['id']}", "aspect": size[0] / size[1], "panes": shown}


def _style(box: Mapping[str, Any]) -> str:
    return {True: "right", False: "wrong"}.get(box.get("right"), "unjudged")


def _box(box: Mapping[str, Any], size: tuple[float, float], style: str) -> dict[str, Any]:
    """A box as shares of the image's width and height."""
    left, top, width, height = box["bbox"]
    score = f" {box['score']:.2f}" if "score" in box else ""
    place = {"left": left / size[0], "top": top / size[1], "width": width / size[0], "height": height / size[1]}
    return {**place, "label": shortened(str(box["name"]), LABEL) + score, "style": style}
