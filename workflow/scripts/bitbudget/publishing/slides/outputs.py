"""Slides of what the models wrote or found, on single items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.publishing.slides.cells import Cell
from bitbudget.publishing.typesetting.texts import shortened, some, width
from bitbudget.telling import changes

Slide = dict[str, Any]
Record = Mapping[str, Any]

ANSWERS = 5  # different answers on a slide
PICTURES = 4  # side by side
TEXT = {"question": 300, "answer": 140, "reference": 140}


def examples(cell: Cell, most: int) -> list[Slide]:
    """A slide for each item that the fixed rule of examples.json chose; `picture` is the file of its picture."""
    record = cell.evidence.examples or {}
    by_id = {item["id"]: item for item in record.get("items", [])}
    made = []
    for item in (by_id[one] for one in record.get("qualitative", []) if one in by_id):
        answers = item["answers"].get(cell.told["model"], {}).get(cell.told["condition"], {})
        if answers and len(made) < most:
            detections = any("detections" in answer for answer in answers.values())
            path = cell.evidence.folder / item["image"] if item.get("image") else None
            picture = None if path is None or item.get("withheld") or not path.is_file() else path
            about = {"heading": cell.heading, "picture": picture, "unseen": "" if picture else _unseen(item)}
            made.append((_found if detections else _said)(cell, item, answers) | about)
    return made


def _unseen(item: Record) -> str:
    """Why there is no picture; empty where there is none to show."""
    if item.get("withheld"):
        return f"Picture not shown: {item['withheld']}"
    return "Picture not shown: its file is not there." if item.get("image") else ""


def _said(cell: Cell, item: Record, answers: Record) -> Slide:
    label, share = cell.evidence.verdicts["label"], bool(cell.primary["unit"])
    groups: dict[str, list[str]] = {}
    for precision in cell.evidence.precisions:
        if precision in answers:
            groups.setdefault(answers[precision]["text"], []).append(precision)
    rows = []
    for text, names in groups.items():
        found = {answers[name]["change"] for name in names} - {None, "same"}
        shown = [shortened(name, 36) + " (baseline)" * (name == cell.evidence.baseline) for name in names]
        rows.append(
            {
                "names": some(shown, 3),
                "text": shortened(text, TEXT["answer"]) or "(nothing)",
                "change": " and ".join(changes.word(change, label) for change in sorted(found)),
                "worse": "worse" in found,
            }
        )
    told = changes.of_item(answers, cell.evidence.baseline, label, share=share)
    return {
        "kind": "example",
        "title": f"Item {shortened(item['id'], 20)}: {told}",
        "question": shortened(item["question"] or "", TEXT["question"]),
        "references": _references(item["references"]),
        "answers": rows[:ANSWERS],
        "left": max(len(rows) - ANSWERS, 0),
        "where": "index.html",
        "notes": [],
    }


def _references(given: Sequence[tuple[str, int]]) -> str:
    """One or two references, whole, and how many more there are; a long one is shown only where it is the first."""
    told = [f"{text} ({count}\N{MULTIPLICATION SIGN})" if count > 1 else text for text, count in given]
    if not told:
        return "none"
    fitting = [text for text in told if width(text) <= TEXT["reference"] / 2]
    shown = fitting[:2] if fitting else [shortened(told[0], TEXT["reference"])]
    left = len(told) - len(shown)
    return " / ".join(shown) + (f" (and {left} more)" if left else "")


def _found(cell: Cell, item: Record, answers: Record) -> Slide:
    """A detector's item: the truth and some precisions side by side, with their boxes."""
    baseline = cell.evidence.baseline
    counts = {name: _counted(answer) for name, answer in answers.items()}
    names = [name for name in cell.evidence.precisions if name in answers]
    # the baseline, what is recommended, and what found least: those that the talk is about
    least = min(names, key=lambda name: (counts[name][0] - counts[name][1], -names.index(name)))
    wanted = list(dict.fromkeys([baseline, cell.told["recommendation"]["precision"] or baseline, least, *names]))
    shown = sorted([name for name in wanted if name in names][: PICTURES - 1], key=names.index)
    size = (item.get("width") or 1, item.get("height") or 1)
    objects = item["objects"]
    objects_told = f"{len(objects)} object{'s' * (len(objects) != 1)}"
    panes = [
        {"name": "truth", "caption": objects_told,
         "boxes": [_box(one, size, "truth") for one in objects]}
    ]  # fmt: skip
    for name in shown:
        right, wrong = counts[name]
        base = " (baseline)" if name == baseline else ""
        panes.append(
            {
                "name": shortened(name, 24) + base,
                "caption": f"{right} of {len(objects)} found, {wrong} wrong",
                "boxes": [_box(one, size, _style(one)) for one in answers[name].get("detections", [])],
            }
        )
    left = len(names) - len(shown)
    found = {counts[name][0] for name in names}
    told = f"every precision finds {min(found)}" if len(found) == 1 else (
        f"the precisions find {min(found)} to {max(found)}"
    )  # fmt: skip
    return {
        "kind": "boxes",
        "title": f"Image {shortened(item['id'], 20)}: {told} of {objects_told}",
        "aspect": size[0] / size[1],
        "panes": panes,
        "notes": [
            "Dashed: object; blue: right (same category, IoU ≥ .5); orange, dotted: wrong.",
            *([f"{left} more precisions: see index.html."] if left > 0 else []),
        ],
    }


def _counted(answer: Record) -> tuple[int, int]:
    found = [one.get("right") for one in answer.get("detections", [])]
    return found.count(True), found.count(False)


def _style(box: Record) -> str:
    return {True: "right", False: "wrong"}.get(box.get("right"), "unjudged")


def _box(box: Record, size: tuple[float, float], style: str) -> dict[str, Any]:
    left, top, width, height = box["bbox"]
    place = {"left": left / size[0], "top": top / size[1], "width": width / size[0], "height": height / size[1]}
    score = f" {box['score']:.2f}" if "score" in box else ""
    return {**place, "label": shortened(str(box["name"]), 14) + score, "style": style}
