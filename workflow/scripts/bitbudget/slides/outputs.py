"""Slides of what the models wrote or found: examples, and the inspection of all answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bitbudget import wording
from bitbudget.slides.cells import Panel
from bitbudget.slides.texts import ABSENT, shortened, some

Slide = dict[str, Any]
Record = Mapping[str, Any]

ANSWERS = 5  # different answers on a slide
PICTURES = 4  # side by side
TABLE = 7
TEXT = {"question": 300, "answer": 120, "reference": 60}


def examples(panel: Panel, most: int) -> list[tuple[Slide, dict[str, Path]]]:
    """A slide for each of the items that the fixed rule of examples.json chose, with the pictures that it needs."""
    record = panel.evidence.examples or {}
    by_id = {item["id"]: item for item in record.get("items", [])}
    chosen = [by_id[one] for one in record.get("qualitative", []) if one in by_id]
    made = []
    for item in chosen:
        answers = item["answers"].get(panel.model, {}).get(panel.condition, {})
        if answers and len(made) < most:
            how = "Chosen by a fixed rule, which examples.json tells." if record.get("qualitative_how") else ""
            detections = any("detections" in answer for answer in answers.values())
            made.append(_found(panel, item, answers, how) if detections else _said(panel, item, answers, how))
    return made


def _picture(panel: Panel, item: Record) -> tuple[str | None, dict[str, Path]]:
    """The name of an item's picture among the template's assets, and the file; none where it is not to be shown."""
    path = panel.evidence.folder / item["image"] if item.get("image") else None
    if path is None or item.get("withheld") or not path.is_file():
        return None, {}
    name = f"pictures/{panel.evidence.name}-{path.name}"
    return name, {name: path}


def _unseen(item: Record) -> str:
    """Why there is no picture; empty where there is none to show."""
    if item.get("withheld"):
        return f"Picture not shown: {item['withheld']}"
    return "Picture not shown: its file is not there." if item.get("image") else ""


def _said(panel: Panel, item: Record, answers: Record, how: str) -> tuple[Slide, dict[str, Path]]:
    picture, assets = _picture(panel, item)
    groups: dict[str, list[str]] = {}
    for precision in panel.evidence.precisions:
        if precision in answers:
            groups.setdefault(answers[precision]["text"], []).append(precision)
    rows = []
    for text, names in groups.items():
        changes = {answers[name]["change"] for name in names} - {None, "same"}
        told = [shortened(name, 24) + " (baseline)" * (name == panel.evidence.baseline) for name in names]
        rows.append(
            {
                "names": some(told, 3),
                "text": shortened(text, TEXT["answer"]) or "(nothing)",
                "change": " and ".join(sorted(changes)),
                "worse": "worse" in changes,
            }
        )
    references = [
        f"{shortened(text, TEXT['reference'])} ({count}\N{MULTIPLICATION SIGN})" if count > 1 else shortened(
            text, TEXT["reference"])
        for text, count in item["references"]
    ]  # fmt: skip
    slide = {
        "kind": "example",
        "title": _changed_title(panel, item, answers),
        "heading": panel.heading,
        "picture": picture,
        "unseen": "" if picture else _unseen(item),
        "question": shortened(item["question"] or "", TEXT["question"]),
        "references": some(references, 2, " / ") or "none",
        "answers": rows[:ANSWERS],
        "left": max(len(rows) - ANSWERS, 0),
        "where": "index.html",
        "notes": [how] * bool(how),
    }
    return slide, assets if picture else {}


def _changed_title(panel: Panel, item: Record, answers: Record) -> str:
    """How many precisions answer otherwise than the baseline, better and worse."""
    others = [name for name in panel.evidence.precisions if name != panel.evidence.baseline and name in answers]
    changes = [answers[name]["change"] for name in others]
    start = f"Item {shortened(item['id'], 20)}"
    if not others:
        return f"{start}: what {panel.evidence.baseline} answers"
    changed = [one for one in changes if one not in (None, "same")]
    if not changed:
        who = f"all {len(others)} precisions answer" if len(others) > 1 else f"{others[0]} answers"
        return f"{start}: {who} as {panel.evidence.baseline} does"
    counts = [f"{changed.count(kind)}\N{NO-BREAK SPACE}{kind}" for kind in ("better", "worse") if kind in changed]
    told = f" ({', '.join(counts)})" if counts else " (worth the same)"
    verb = "answers" if len(changed) == 1 else "answer"
    return f"{start}: {len(changed)} of {len(others)} {verb} otherwise than {panel.evidence.baseline}{told}"


def _found(panel: Panel, item: Record, answers: Record, how: str) -> tuple[Slide, dict[str, Path]]:
    """A detector's item: the truth and some precisions side by side, with their boxes."""
    picture, assets = _picture(panel, item)
    baseline = panel.evidence.baseline
    counts = {name: _counted(answer) for name, answer in answers.items()}
    names = [name for name in panel.evidence.precisions if name in answers]
    # the baseline, what is recommended, and what found least: those that the talk is about
    chosen = panel.evidence.recommendation_of(panel.model, panel.condition)
    least = min(names, key=lambda name: (counts[name][0] - counts[name][1], -names.index(name)))
    wanted = list(dict.fromkeys([baseline, (chosen or {}).get("precision") or baseline, least, *names]))
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
        "heading": panel.heading,
        "picture": picture,
        "unseen": "" if picture else _unseen(item),
        "aspect": size[0] / size[1],
        "panes": panes,
        "notes": [
            "Dashed: object. Blue: right (same category, IoU at least .5). Orange, dotted: wrong.",
            *([f"{left} more precisions: see index.html."] if left > 0 else []),
            *([how] if how else []),
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


def inspected(studies: Sequence[Panel]) -> Slide:
    """Hallucinated objects and what the screens flagged; of several studies one row each."""
    return _inspected_one(studies[0]) if len(studies) == 1 else _inspected_all(studies)


FLAGS = ("privacy", "profanity", "people")


def _inspected_one(panel: Panel) -> Slide:
    record = panel.evidence.inspection or {}
    cells = [cell for cell in record.get("cells", []) if _of(panel, cell)]
    chair = any("value" in cell["metrics"].get("chair_i", {}) for cell in cells)
    if not any(cell["flagged"] for cell in cells) and not chair:
        return _not_screened(panel, record)
    differences = {one["precision"]: one["metrics"] for one in record.get("comparisons", []) if _of(panel, one)}
    rows = []
    for cell in cells:
        base = " (baseline)" if cell["precision"] == panel.evidence.baseline else ""
        row = [shortened(cell["precision"], 24) + base]
        if chair:
            row += [_share(cell["metrics"].get("chair_i", {})), _points(differences.get(cell["precision"], {}))]
        rows.append([*row, *(str(cell["flagged"].get(kind, "not done")) for kind in FLAGS)])
    absent = [one for one in record.get("looked_for", []) if one.get("absent")]
    notes = [shortened(f"{one['check']}: not done, {one['absent']}", 150) for one in absent[:2]]
    notes.append("Flagged answers are for a person to look at (flagged.csv); a screen does not judge.")
    extra = ["CHAIR-i", "against baseline"] if chair else []
    return {
        "kind": "table",
        "title": _inspected_title(panel, cells, chair),
        "heading": panel.heading,
        "columns": ["precision", *extra, "private strings", "profanity", "about people"],
        "align": ["left", *["right"] * (len(extra) + 3)],
        "rows": rows[:TABLE],
        "left": max(len(rows) - TABLE, 0),
        "where": "inspection.json",
        "notes": notes,
    }


def _not_screened(panel: Panel, record: Record) -> Slide:
    """Answers that no screen could look through, as boxes, and why."""
    checks = record.get("looked_for", [])
    lines = [
        {"head": f"{one['check']}:", "text": shortened(one.get("absent") or "nothing found", 160)} for one in checks
    ]
    return {
        "kind": "points",
        "title": "The answers were not screened for private or offensive text",
        "heading": panel.heading,
        "lines": lines or [{"head": "", "text": "No inspection is recorded."}],
    }


def _of(panel: Panel, cell: Record) -> bool:
    return (cell["model"], cell["condition"]) == (panel.model, panel.condition)


def _share(metric: Record) -> str:
    return f"{100 * metric['value']:.1f} %" if "value" in metric else ABSENT


def _points(metrics: Record) -> str:
    metric = metrics.get("chair_i", {})
    if "value" not in metric:
        return ""
    ends = metric.get("ci")
    interval = f" [{_signed(ends[0])}, {_signed(ends[1])}]" if ends else ""
    return f"{_signed(metric['value'])}{interval}"


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", wording.MINUS)


def _inspected_title(panel: Panel, cells: Sequence[Record], chair: bool) -> str:
    flagged = sum(number for cell in cells for number in cell["flagged"].values())
    answers = sum(cell["n"] for cell in cells if cell["flagged"])
    told = f"{flagged} of {answers} answers flagged for a person to look at"
    if flagged == 0:
        told = f"none of {answers} answers was flagged"
    if not chair:
        return told[:1].upper() + told[1:]
    known = {
        cell["precision"]: cell["metrics"]["chair_i"]["value"]
        for cell in cells
        if "value" in cell["metrics"].get("chair_i", {})
    }
    most = max(known, key=known.__getitem__)
    base = known.get(panel.evidence.baseline)
    start = (
        "" if base is None else f"{_share({'value': base})} of named objects are not there at {panel.evidence.baseline}"
    )
    if most != panel.evidence.baseline and known[most] != base:
        start += f"{', ' if start else ''}at most {_share({'value': known[most]})} ({most})"
    return f"{start}; {told}"


def _inspected_all(studies: Sequence[Panel]) -> Slide:
    rows = []
    total = answers = 0
    for panel in studies:
        cells = (panel.evidence.inspection or {}).get("cells", [])
        screened = [cell for cell in cells if cell["flagged"]]  # boxes cannot be
        counts = [sum(cell["flagged"].get(kind, 0) for cell in screened) for kind in FLAGS]
        total, answers = total + sum(counts), answers + sum(cell["n"] for cell in screened)
        metrics = [cell["metrics"].get("chair_i", {}) for cell in cells]
        known = [metric["value"] for metric in metrics if "value" in metric]
        chair = " to ".join(_share({"value": end}) for end in (min(known), max(known))) if known else ABSENT
        rows.append(
            [shortened(panel.evidence.name, 24), chair, *(str(count) if screened else "not done" for count in counts)]
        )
    return {
        "kind": "table",
        "title": f"{total} of {answers} answers flagged for a person to look at" if answers else "No text was screened",
        "heading": "",
        "columns": ["study", "CHAIR-i", "private strings", "profanity", "about people"],
        "align": ["left", "right", "right", "right", "right"],
        "rows": rows[:TABLE],
        "left": max(len(rows) - TABLE, 0),
        "where": "inspection.json of each",
        "notes": ["CHAIR-i: share of named objects that are not in the picture, least to most over precisions."],
    }
