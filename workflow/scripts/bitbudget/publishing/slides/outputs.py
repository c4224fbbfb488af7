"""Slides of what the models wrote or found, on single items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bitbudget.publishing.slides.cells import Cell
from bitbudget.publishing.typesetting.texts import shortened, some, width

Slide = dict[str, Any]
Record = Mapping[str, Any]

ANSWERS = 5  # different answers on a slide
PICTURES = 4  # side by side
SCORES = {"changed": "changed", "better": "scores higher ({})", "worse": "scores lower ({})"}
TEXT = {"question": 300, "answer": 140, "reference": 140}


def examples(cell: Cell, most: int) -> list[tuple[Slide, dict[str, Path]]]:
    """A slide for each of the items that the fixed rule of examples.json chose, with the pictures that it needs."""
    record = cell.evidence.examples or {}
    by_id = {item["id"]: item for item in record.get("items", [])}
    chosen = [by_id[one] for one in record.get("qualitative", []) if one in by_id]
    made = []
    for item in chosen:
        answers = item["answers"].get(cell.told["model"], {}).get(cell.told["condition"], {})
        if answers and len(made) < most:
            detections = any("detections" in answer for answer in answers.values())
            made.append(_found(cell, item, answers) if detections else _said(cell, item, answers))
    return made


def _picture(cell: Cell, item: Record) -> tuple[str | None, dict[str, Path]]:
    """The name of an item's picture among the template's assets, and the file; none where it is not to be shown."""
    path = cell.evidence.folder / item["image"] if item.get("image") else None
    if path is None or item.get("withheld") or not path.is_file():
        return None, {}
    name = f"pictures/{cell.evidence.name}-{path.name}"
    return name, {name: path}


def _unseen(item: Record) -> str:
    """Why there is no picture; empty where there is none to show."""
    if item.get("withheld"):
        return f"Picture not shown: {item['withheld']}"
    return "Picture not shown: its file is not there." if item.get("image") else ""


def _said(cell: Cell, item: Record, answers: Record) -> tuple[Slide, dict[str, Path]]:
    picture, assets = _picture(cell, item)
    groups: dict[str, list[str]] = {}
    for precision in cell.evidence.precisions:
        if precision in answers:
            groups.setdefault(answers[precision]["text"], []).append(precision)
    rows = []
    for text, names in groups.items():
        changes = {answers[name]["change"] for name in names} - {None, "same"}
        score = [SCORES[change].format(cell.evidence.verdicts["label"]) for change in sorted(changes)]
        told = [shortened(name, 24) + " (baseline)" * (name == cell.evidence.baseline) for name in names]
        rows.append(
            {
                "names": some(told, 3),
                "text": shortened(text, TEXT["answer"]) or "(nothing)",
                "change": " and ".join(score),
                "worse": "worse" in changes,
            }
        )
    slide = {
        "kind": "example",
        "title": _changed_title(cell, item, answers),
        "heading": cell.heading,
        "picture": picture,
        "unseen": "" if picture else _unseen(item),
        "question": shortened(item["question"] or "", TEXT["question"]),
        "references": _references(item["references"]),
        "answers": rows[:ANSWERS],
        "left": max(len(rows) - ANSWERS, 0),
        "where": "index.html",
        "notes": [],
    }
    return slide, assets if picture else {}


def _references(given: Sequence[tuple[str, int]]) -> str:
    """One or two references, whole, and how many more there are; a long one is shown only where it is the first."""
    told = [f"{text} ({count}\N{MULTIPLICATION SIGN})" if count > 1 else text for text, count in given]
    if not told:
        return "none"
    fitting = [text for text in told if width(text) <= TEXT["reference"] / 2]
    shown = fitting[:2] if fitting else [shortened(told[0], TEXT["reference"])]
    left = len(told) - len(shown)
    return " / ".join(shown) + (f" (and {left} more)" if left else "")


def _changed_title(cell: Cell, item: Record, answers: Record) -> str:
    """How many precisions answer otherwise than the baseline, better and worse."""
    base = cell.evidence.baseline
    others = [name for name in cell.evidence.precisions if name != base and name in answers]
    start = f"Item {shortened(item['id'], 20)}"
    if not others:
        return f"{start}: what {base} answers"
    changed = [one for name in others if (one := answers[name]["change"]) not in (None, "same")]
    wrong = ", all wrong" if cell.primary["unit"] and not any(one["value"] for one in answers.values()) else ""
    if not changed:
        who = f"all {len(others)} precisions answer" if len(others) > 1 else f"{others[0]} answers"
        return f"{start}: {who} as {base} does{wrong}"
    of, label = f"of {len(others)} precisions", cell.evidence.verdicts["label"]
    counts = {word: changed.count(change) for change, word in (("worse", "lower"), ("better", "higher"))}
    told = [(count, word) for word, count in counts.items() if count]
    if not told:
        return f"{start}: {len(changed)} {of} {_verb('answer', len(changed))} otherwise than {base}{wrong}"
    (count, word), *more = told
    also = "".join(f", {count} {word}" for count, word in more)
    return f"{start}: {count} {of} {_verb('score', count)} {word} ({label}) than {base}{also}"


def _verb(verb: str, count: int) -> str:
    return verb if count > 1 else f"{verb}s"


def _found(cell: Cell, item: Record, answers: Record) -> tuple[Slide, dict[str, Path]]:
    """A detector's item: the truth and some precisions side by side, with their boxes."""
    picture, assets = _picture(cell, item)
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
    slide = {
        "kind": "boxes",
        "title": f"Image {shortened(item['id'], 20)}: {told} of {objects_told}",
        "heading": cell.heading,
        "picture": picture,
        "unseen": "" if picture else _unseen(item),
        "aspect": size[0] / size[1],
        "panes": panes,
        "notes": [
            "Dashed: object; blue: right (same category, IoU ≥ .5); orange, dotted: wrong.",
            *([f"{left} more precisions: see index.html."] if left > 0 else []),
        ],
    }
    return slide, assets if picture else {}


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
