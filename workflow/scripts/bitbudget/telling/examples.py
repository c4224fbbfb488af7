"""Every item with what each precision answered: the one record that everything published takes its examples from.

Personal strings are replaced here, once, so that nothing made of the record has to think of it. What changed is told as
`comparison` counts it: an answer is `better` or `worse` where it scores higher or lower than the baseline's by what the
item is worth by itself, and `changed` where it is another one that scores the same. That an answer scores lower does
not say that it is wrong: the baseline's may be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from bitbudget import contracts, files, registry
from bitbudget.errors import UserError
from bitbudget.inspection import redaction, screen
from bitbudget.metrics import matching

SAME, CHANGED, BETTER, WORSE = "same", "changed", "better", "worse"
DECIMALS = 6  # of an item's value: enough for any sum of tenths and thirds
QUALITATIVE_HOW = (
    "By a fixed rule, of the study's first model and condition: the item whose answer changed in most precisions, the "
    "one that scores lower in most, and the one that changed in fewest (of equals the first in the study's order, "
    "those that score higher or lower before those merely changed); none that was flagged, or shows a picture that is "
    "not published."
)

Cell = tuple[str, str, str]  # model, precision, condition
Row = Mapping[str, Any]


def gather(
    spec: Mapping[str, Any],
    items: Sequence[Row],
    predictions: Mapping[Cell, Path],
    item_scores: Mapping[Cell, Path],
    inspection: Mapping[str, Any],
    names: Mapping[int, str],
    root: Path,
) -> dict[str, Any]:
    """The body of the record.

    `spec` has the study's `track`, `kind`, `primary`, `models`, `precisions`, `conditions`, `baseline` and
    `inspection`; `items` are those of `available.usable_items`; both files are by cell; `names` are those of the data
    set's categories, and `root` is results/{study}, to which the pictures' paths are relative. Raises `UserError` where
    a file is missing or lacks an item.
    """
    track = registry.module_of("track", spec["track"])
    on, why = redaction.decided(spec["track"], spec["kind"], spec["inspection"])
    redactor = redaction.Redactor(on, spec["inspection"]["phone_region"])
    flags, private, delicate = _flags(inspection)
    # a picture shows the same, whichever item it is published with
    pictures = {picture for item in items if item["id"] in private for picture in item["images"]}
    private = {item["id"] for item in items if item["id"] in private or not pictures.isdisjoint(item["images"])}
    cells = {}
    for model in spec["models"]:
        for condition in spec["conditions"]:
            base = _read((model, spec["baseline"], condition), predictions, item_scores, items, track, spec["primary"])
            for precision in spec["precisions"]:
                cell = (model, precision, condition)
                read = base if precision == spec["baseline"] else None
                read = read or _read(cell, predictions, item_scores, items, track, spec["primary"])
                cells[cell] = read, base
    found = []
    for number, item in enumerate(items):
        answers: dict[str, Any] = {}
        boxes = _Boxes(item, names) if track.RUNTIME == "litert" else None
        for (model, precision, condition), (read, base) in cells.items():
            answer = _answer(read[number], base[number], is_base=read is base)
            if boxes:
                answer |= boxes.of(read[number][0])
            else:
                text, _, scored = read[number]
                answer["text"] = redactor(text, item["question"])
                if scored is not None and scored != text:
                    answer["text"] += f" [scored as: {redactor(scored, item['question'])}]"
            answer["flags"] = flags.get((item["id"], model, precision, condition), [])
            answers.setdefault(model, {}).setdefault(condition, {})[precision] = answer
        found.append(_item(item, answers, redactor, on and item["id"] in private, root, boxes))
    replaced = redactor.replaced
    about = {key: spec[key] for key in ("track", "primary", "baseline")}
    about |= {key: list(spec[key]) for key in ("models", "precisions", "conditions")}
    return {
        **about,
        "label": track.METRICS[spec["primary"]]["label"],
        "redacted": on,
        "redacted_why": f"{why} {_count(replaced)}" if on else why,
        "items": found,
        "qualitative": qualitative(
            [item for item in found if item["id"] not in delicate | private], spec["models"][0], spec["conditions"][0]
        ),
        "qualitative_how": QUALITATIVE_HOW,
    }


def _count(replaced: int) -> str:
    if not replaced:
        return "None was found."
    return f"{replaced} {'was' if replaced == 1 else 'were'} replaced in distinct texts."


def _flags(inspection: Mapping[str, Any]) -> tuple[dict[tuple[str, str, str, str], list[str]], set[str], set[str]]:
    """What is flagged in each answer, by (item, model, precision, condition).

    And the items with something personal, in an answer or in what people wrote; and those with anything flagged that
    is more than an object that is not there.
    """
    flags: dict[tuple[str, str, str, str], list[str]] = {}
    private, delicate = set(), set()
    for row in inspection["flagged"]:
        if row["kind"] == screen.PRIVACY:
            private.add(row["item"])
        if row["kind"] != screen.OBJECTS:
            delicate.add(row["item"])
        for precision in row["precisions"]:
            flags.setdefault((row["item"], row["model"], precision, row["condition"]), []).append(row["what"])
    return flags, private, delicate


def _read(
    cell: Cell,
    predictions: Mapping[Cell, Path],
    item_scores: Mapping[Cell, Path],
    items: Sequence[Row],
    track: ModuleType,
    primary: str,
) -> list[tuple[Any, float | None, str | None]]:
    """Of each item what this cell answered, what that is worth by itself (as `comparison` has it), and what counted.

    None is worth nothing that is known: the primary metric is absent. Nothing is told of what counted where all did.
    """
    for given, what in ((predictions, "predictions"), (item_scores, "item scores")):
        if cell not in given:
            raise UserError(f"there are no {what} of {' / '.join(cell)}; name their file too.")
    worth = contracts.of(track, "worth")
    key = contracts.of(track, "ANSWER")
    answers = {row["id"]: row[key] for row in files.read_jsonl(predictions[cell])}
    rows = files.read_jsonl(item_scores[cell])
    values = {row["id"]: worth(row, primary) for row in rows}
    scored = {row["id"]: row.get("answer") for row in rows}
    ids = [item["id"] for item in items]
    for path, given in ((predictions[cell], answers), (item_scores[cell], values)):
        missing = next((one for one in ids if one not in given), None)
        if missing is not None:
            raise UserError(f"{path} does not have item {missing!r}; predict and score this precision again.")
    return [(answers[one], values[one], scored[one]) for one in ids]


def _answer(own: tuple[Any, ...], base: tuple[Any, ...], *, is_base: bool) -> dict[str, Any]:
    """What an answer is worth, and how it differs from the baseline's (`_read` gives both)."""
    text, value, _ = own
    return {
        "text": "",
        "value": None if value is None else round(float(value), DECIMALS),
        "change": None if is_base else change(text != base[0], base[1], value),
    }


def change(other: bool, before: float | None, after: float | None) -> str:
    """How an answer differs from the baseline's; `other` says whether it does. Told as `comparison` does."""
    if before is not None and after is not None and abs(after - before) > 1e-9 * max(1, abs(before)):
        return BETTER if after > before else WORSE
    return CHANGED if other else SAME


class _Boxes:
    """The boxes of one image: its objects, and a cell's confident detections, each told right or wrong."""

    def __init__(self, item: Row, names: Mapping[int, str]) -> None:
        self.objects, self.names = item["extra"]["objects"], names
        self.size = {key: item["extra"][key] for key in ("width", "height")}

    def shown(self) -> list[dict[str, Any]]:
        return [
            {"name": self.names[one["category_id"]], "bbox": one["bbox"], "crowd": bool(one["iscrowd"])}
            for one in self.objects
        ]

    def of(self, detections: Sequence[Row]) -> dict[str, Any]:
        """Text and boxes, by falling score; `right` is null in a crowd."""
        told = matching.compare(self.objects, detections, self.names)
        boxes = [
            {"name": box.name, "bbox": list(box.bbox), "score": box.score, "right": right}
            for group, right in ((told.right, True), (told.wrong, False), (told.in_crowd, None))
            for box in group
        ]
        boxes.sort(key=lambda one: -one["score"])
        words = {True: "", False: " (wrong)", None: " (in a crowd)"}
        parts = [f"{one['name']} {one['score']:.2f}{words[one['right']]}" for one in boxes]
        missed = ", ".join(box.name for box in told.missed)
        text = "; ".join(filter(None, (", ".join(parts), f"missed: {missed}" if missed else "")))
        return {"text": text or "nothing found", "detections": boxes}


def _item(
    item: Row, answers: Row, redactor: redaction.Redactor, private: bool, root: Path, boxes: _Boxes | None
) -> dict[str, Any]:
    question = item["question"]
    withheld = redaction.WITHHELD if private and item["images"] else None
    shown = Path(item["images"][0]) if item["images"] and not withheld else None
    references = Counter(redactor(text.strip(), question) for text in item["references"])
    return {
        "id": item["id"],
        "image": None if shown is None else shown.relative_to(root).as_posix(),
        "withheld": withheld,
        "question": question and redactor(question),
        "references": [list(one) for one in references.most_common()],
        **({**boxes.size, "objects": boxes.shown()} if boxes else {}),
        "answers": answers,
    }


def qualitative(items: Sequence[Row], model: str, condition: str) -> list[str]:
    """Up to three of these items to show, by the rule of `QUALITATIVE_HOW` and the answers of one model and condition.

    What is shown are those answers: an item that changed elsewhere only would show nothing.
    """
    counted = []
    for place, item in enumerate(items):
        if item["withheld"]:
            continue
        changes = Counter(answer["change"] for answer in item["answers"][model][condition].values())
        moved = changes[BETTER] + changes[WORSE]
        counted.append((item["id"], moved + changes[CHANGED], moved, changes[WORSE], place))
    chosen: list[str] = []
    for rule in (
        lambda one: (-one[1], -one[2], one[4]),
        lambda one: (-one[3], -one[2], one[4]),
        lambda one: (one[1], one[2], one[4]),
    ):
        left = [one for one in counted if one[0] not in chosen]
        if left:
            chosen.append(min(left, key=rule)[0])
    return chosen
