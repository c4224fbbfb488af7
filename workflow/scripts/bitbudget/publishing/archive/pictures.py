"""Which of a study's pictures may be passed on with its archive, and the results page without the others.

Paper, slides and figures quote single pictures as examples, as papers do. The archive holds no collection of pictures
(the files themselves, the results page, the page for raters) beyond those that everybody may pass on.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.datasets import licences
from bitbudget.errors import UserError
from bitbudget.untrusted import csv_text
from bitbudget.untrusted.page_data import embedded

TABLE = "pictures.csv"
UNKNOWN = "not known"
WHY = "its licence does not let everybody pass on a resized copy (pictures.csv); the study's own page has it"
_BEGIN, _END = '<script type="application/json" id="data">', "</script>"


@dataclass(frozen=True)
class Picture:
    """A picture, the item that shows it first, where it comes from, and its licence ("" where nobody knows it)."""

    id: str
    item: str
    source: str
    credit: str
    licence: str

    @property
    def free(self) -> bool:
        return licences.is_free(self.licence)


def of_study(items: Iterable[Mapping[str, Any]], dataset: Mapping[str, Any]) -> list[Picture]:
    """The pictures of items, each once; one without a licence of its own has what the data set says of all."""
    found: dict[str, Picture] = {}
    for item in items:
        extra = item["extra"] if isinstance(item.get("extra"), dict) else {}
        licence = extra.get("licence") or dataset.get("pictures") or ""
        for one in item["images"]:
            about = Picture(one["id"], item["id"], one["source"], extra.get("credit", ""), licence)
            found.setdefault(one["id"], about)
    return list(found.values())


def table(pictures: Iterable[Picture]) -> str:
    """`pictures.csv`: source, credit and licence of every picture, and whether its file may be passed on."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["picture", "source", "credit", "licence", "may_be_passed_on"])
    for one in pictures:
        cells = (one.id, one.source, one.credit, one.licence or UNKNOWN, "yes" if one.free else "no")
        rows.writerow([csv_text.cell(value) for value in cells])
    return text.getvalue()


def without_others(page: Path, kept_back: Set[str]) -> bytes:
    """The results page without the pictures of these items; it says so in their place."""
    text = page.read_text(encoding="utf-8")
    head, begin, rest = text.partition(_BEGIN)
    content, end, tail = rest.partition(_END)
    if not begin or not end:
        raise UserError(f"{page} is no results page of this version; make it again.")
    data = json.loads(content)
    browser = data["examples"]
    for item in browser["items"]:
        if item["id"] in kept_back and item["image"] is not None:
            item.update(image=None, withheld=item["withheld"] or WHY)
    shown = {item["image"] for item in browser["items"]}
    browser["images"] = [uri if number in shown else "" for number, uri in enumerate(browser["images"])]
    return f"{head}{begin}{embedded(data)}{end}{tail}".encode()


def read(folder: Path, dataset: Mapping[str, Any]) -> tuple[list[Picture], set[str]]:
    """A finished study's pictures, and the items whose pictures may not be passed on."""
    items = files.read_jsonl(folder / "items.jsonl")
    found = of_study(items, dataset)
    kept_back = {one.id for one in found if not one.free}
    return found, {item["id"] for item in items if any(image["id"] in kept_back for image in item["images"])}
