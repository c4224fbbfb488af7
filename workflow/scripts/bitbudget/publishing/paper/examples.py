"""A few items with every precision's answer, and what the inspection of all answers found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bitbudget.publishing.paper import boxes, nodes, screens
from bitbudget.publishing.paper.nodes import Node, Notes, Unit
from bitbudget.publishing.paper.view import View
from bitbudget.telling import changes as told
from bitbudget.telling import inspected, wording

# Letters shown; what is cut ends in an ellipsis. Many different answers have to share the room of a page.
ANSWER, LEAST_ANSWER, ALL_ANSWERS = 160, 60, 900
QUESTION, REFERENCES = 300, 220
MOST_REFERENCES = 3
SHOWN = 3  # items side by side
WORTH = {0.0: "wrong", 1.0: "right"}  # of an item, where the metric is a share of right answers
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")


def units(view: View) -> list[Unit]:
    """The qualitative examples: answers in words, or the boxes of a detector."""
    record = view.e.examples
    if record is None:
        return []
    items = {item["id"]: item for item in record["items"]}
    chosen = [items[name] for name in record["qualitative"] if name in items]
    if not chosen:
        return []
    if view.words.detections:
        pictures = {item["id"]: found[0] for item in chosen if (found := image_of(view, item))}
        return boxes.units(view, chosen, pictures)
    chosen = chosen[:SHOWN] + (_more(view, record, chosen) if not view.others else [])
    letters = min(_letters(view, item) for item in chosen)
    shown = [_example(view, item, letters) for item in chosen]
    texts = [one["text"] for item in chosen for one in item["answers"][view.model][view.condition].values()]
    same = " Precisions with the same answer stand together." if view.others else ""
    caption = nodes.text(
        f"Items of the study{view.of_main}, chosen by a fixed rule (examples.json).{same}"
        + (f" Answers are cut after {letters} letters." if any(len(text) > letters for text in texts) else "")
    )
    about = {"t": "examples", "wide": True, "label": view.label("examples"), "caption": caption}
    intro = nodes.p(
        f"[#{view.label('examples')}] shows {{n}} with the answers of every precision.",
        n=nodes.count(len(shown), "item"),
    )
    return [Unit([nodes.h("Examples"), intro, about | {"items": shown}], 2)]


def _more(view: View, record: Mapping[str, Any], chosen: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first items besides the chosen ones, none of which is flagged or withheld: one precision has the room."""
    known = {item["id"] for item in chosen}
    clean = [
        item
        for item in record["items"]
        if item["id"] not in known
        and not item["withheld"]
        and not any(one["flags"] for one in item["answers"][view.model][view.condition].values())
    ]
    return clean[:SHOWN]


def _letters(view: View, item: Mapping[str, Any]) -> int:
    """How much of each answer there is room for, by how many different ones there are."""
    texts = {one["text"] for one in item["answers"][view.model][view.condition].values()}
    return max(LEAST_ANSWER, min(ANSWER, ALL_ANSWERS // max(1, len(texts))))


def _example(view: View, item: Mapping[str, Any], letters: int) -> Node:
    answers = item["answers"][view.model][view.condition]
    same: dict[tuple[str, str], list[str]] = {}
    for precision in view.e.precisions:
        if precision in answers:
            given = answers[precision]
            text = nodes.shortened(given["text"], letters) or "(nothing)"
            same.setdefault((text, _marks(view, given)), []).append(precision)
    references = [
        text.strip().rstrip(".") + (f" ({times}\N{MULTIPLICATION SIGN})" if times > 1 else "")
        for text, times in item["references"][:MOST_REFERENCES]
    ]
    left = len(item["references"]) - len(references)
    picture = image_of(view, item)
    return {
        "path": picture[0] if picture else None,
        "alt": f"item {item['id']}",
        "why": _why(view, item, bool(picture)),
        "said": nodes.capital(told.of_item(answers, view.e.baseline, view.words.label, share=view.words.share)),
        "question": nodes.shortened(item["question"], QUESTION) if item["question"] else None,
        "asked": "Question" if view.says("PROMPT") else nodes.capital(view.says("ITEM")),
        "expected": view.says("EXPECTED"),
        "references": nodes.shortened("; ".join(references), REFERENCES) + (f"; and {left} more" if left > 0 else ""),
        "answers": [{"names": ", ".join(names), "text": text, "marks": marks} for (text, marks), names in same.items()],
    }


def _why(view: View, item: Mapping[str, Any], shown: bool) -> str | None:
    """Why there is no picture, where there could be one."""
    if shown or not view.track.IMAGES:
        return None
    return f"(no picture: {item['withheld'] or 'it is not among the results'})"


def _marks(view: View, given: Mapping[str, Any]) -> str:
    value = given["value"]
    shown = []
    if value is not None and view.words.share:
        shown.append(WORTH.get(float(value), "partly right"))
    elif value is not None:
        shown.append(f"item {view.words.label} {wording.Format(view.words, 2).level(value)}")
    change = told.word(given["change"], view.words.label)
    return ", ".join([*shown, *([change] if change else [])])


def image_of(view: View, item: Mapping[str, Any]) -> tuple[str, Path] | None:
    """An item's picture: its name among the assets and its file."""
    if not item["image"]:
        return None
    path = view.e.folder / item["image"]
    if not path.is_file() or path.suffix.lower() not in PICTURES:
        return None
    return f"images/{view.number}/{item['id']}{path.suffix.lower()}".replace("..", "_"), path


def assets(view: View) -> dict[str, Path]:
    """The pictures of the examples by their names among the assets."""
    record = view.e.examples
    chosen = [] if record is None else [item for item in record["items"] if item["id"] in record["qualitative"]]
    if record is not None and not view.others and not view.words.detections:
        chosen += _more(view, record, chosen)
    return dict(found for item in chosen if (found := image_of(view, item)))


def inspection_units(view: View) -> list[Unit]:
    """Hallucinated objects per precision, and how many answers a person should look at."""
    record = view.e.inspection
    found: list[Node] = [nodes.h("Inspection of the answers")]
    units = []
    if record is not None:
        cells = {(one["model"], one["precision"], one["condition"]): one for one in record["cells"]}
        own = cells.get((view.model, view.e.baseline, view.condition))
        chair = own["metrics"].get("chair_i", {}) if own else {}
        if "value" in chair:
            found.append(_hallucinated(view, cells, chair))
            if len(view.e.precisions) > 1:
                units.append(Unit([_chair_table(view, cells)], 3))
        elif chair and view.track.IMAGES and not view.words.detections:
            found.append(
                nodes.p("Hallucinated objects were not counted: {why}", why=nodes.sentence_end(chair["absent"]))
            )
        found.append(_flagged(record))
    if view.e.human is not None:
        found.append(_rated(view, view.e.human))
    return [Unit(found), *units] if len(found) > 1 else []


def _hallucinated(view: View, cells: Mapping[Any, Any], chair: Mapping[str, Any]) -> Node:
    sentences = cells[view.model, view.e.baseline, view.condition]["metrics"].get("chair_s", {})
    words = (
        "Under {name}, {i} of the objects that captions mention are not in the picture (CHAIR-i [@rohrbach2018chair])"
    )
    values = {"name": view.e.baseline, "i": inspected.share(chair)}
    if "value" in sentences:
        words += ", and {s} of the captions mention at least one such object (CHAIR-s)"
        values["s"] = inspected.share(sentences)
    found = nodes.inline(words + ".", **values)
    found += nodes.text(f" {inspected.chair(view.e.inspection, view.main)}".rstrip())
    how = next((one["how"] for one in view.e.inspection["looked_for"] if one["check"] == screens.OBJECTS), "")
    found += nodes.text(f" How they are counted: {nodes.sentence_end(how)}" if how else "")
    return nodes.paragraph(found)


def _chair_table(view: View, cells: Mapping[Any, Any]) -> Node:
    notes, rows = Notes(), []
    differences = inspected.differences(view.e.inspection, view.main)
    for precision in view.e.precisions:
        cell = cells.get((view.model, precision, view.condition))
        if cell is None:
            continue
        shown = []
        for name in ("chair_i", "chair_s"):
            metric = cell["metrics"].get(name, {})
            shown.append(
                nodes.text(inspected.share(metric)) if "value" in metric else notes.absent(metric.get("absent"))
            )
        found = differences.get(precision, {})
        rows.append(nodes.row(precision, *shown, inspected.points(found)))
    caption = nodes.text(
        "Hallucinated objects: the share of mentioned objects that are not there (CHAIR-i), of captions with at least "
        "one (CHAIR-s), and CHAIR-i's difference from the baseline in points, with 95 % intervals."
    )
    columns = [
        nodes.column("Precision"),
        nodes.column("CHAIR-i", "right"),
        nodes.column("CHAIR-s", "right"),
        nodes.column("Difference", "right"),
    ]
    return nodes.table(view.label("chair"), caption, columns, rows, notes.lines())


def _flagged(record: Mapping[str, Any]) -> Node:
    looked_for = screens.screened(record)
    if not looked_for:
        why = next((one["absent"] for one in record["looked_for"] if one["check"] != screens.OBJECTS), "")
        return nodes.p("The answers were not screened for sensitive content: {why}", why=nodes.sentence_end(why))
    return nodes.p(
        "All answers were screened for {checks}: {said} {redaction}",
        checks=wording.listed(looked_for),
        said=screens.flagged(record),
        redaction=nodes.sentence(record["redaction"]["why"]),
    )


def _rated(view: View, human: Mapping[str, Any]) -> Node:
    overall, raters = human["overall"], len(human["raters"])
    agreement = overall["metrics"].get("agreement", {})
    words = "{raters} rated {n} answers without seeing the precision."
    values: dict[str, Any] = {"raters": nodes.count(raters, "person", "people"), "n": overall["n_rated"]}
    if "value" in agreement:
        words += " The metric and people put {share} of them on the same side."
        values["share"] = wording.percent(agreement["value"])
    mean = {
        one["precision"]: one["metrics"]["human_accuracy"]
        for one in human["cells"]
        if (one["model"], one["condition"]) == (view.model, view.condition)
        and "value" in one["metrics"]["human_accuracy"]
    }
    if mean:
        words += " People found right: {each}."
        values["each"] = wording.listed(
            [f"{name} {wording.percent(metric['value'])} (n = {metric['n']})" for name, metric in mean.items()]
        )
    return nodes.p(words, **values)
