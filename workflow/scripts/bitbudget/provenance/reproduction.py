"""Whether a rerun of a study gave the same answers and scores, item by item.

Everything counts but provenance (times, dates, host) and where the rerun computed (device, threads, what runs a
detector's operators). What of these has changed is listed, because it is where a difference may come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitbudget import files

BY_ITEM = ("predictions.jsonl", "item_scores.jsonl")
RECORDS = ("predictions.json", "scores.json")
BYTES = ("logits.safetensors",)
# Parts of a record that say where it was computed, and after what mishap.
HOST = ("device", "threads", "detection.threads", "detection.delegate", "shards_made_again")
PASSING = ("provenance.finished", "provenance.seconds")
NAMED = 50  # differing items that are named
MISSING, IDENTICAL = "missing", "identical"


@dataclass(frozen=True)
class Cell:
    """Answers of a model in a precision under a condition, or the baseline's second pass (`noise_floor`)."""

    model: str
    precision: str
    condition: str
    noise_floor: bool = False

    def folder(self, study: str) -> Path:
        """Where its files are, below a working folder."""
        found = Path("results") / study / self.model / self.precision / self.condition
        return found / "noise_floor" if self.noise_floor else found

    def __str__(self) -> str:
        name = f"{self.model} / {self.precision} / {self.condition}"
        return f"{name} (noise floor)" if self.noise_floor else name


def cells(spec: Mapping[str, Any]) -> list[Cell]:
    """The cells of a study, in its order, and after them the noise floor's where it has one.

    `spec` holds `models`, `precisions`, `conditions`, `baseline` and `second_pass`.
    """
    models, conditions = spec["models"], spec["conditions"]
    found = [Cell(m, p, c) for m in models for p in spec["precisions"] for c in conditions]
    again = [Cell(m, spec["baseline"], c, noise_floor=True) for m in models for c in conditions]
    return found + (again if spec["second_pass"] else [])


def missing_files(folder: Path) -> list[str]:
    """What a finished cell has and this folder lacks."""
    return [name for name in (*BY_ITEM, *RECORDS) if not (folder / name).exists()]


def compare(before: Path, after: Path) -> dict[str, Any]:
    """What differs between two folders of one cell.

    `items_differing` are the ids (the first 50) of items whose answer or scores differ or are in one folder only, and
    `number_differing` counts all of them; `files` says of each file `identical`, `missing` or what differs. `changed`
    are circumstances that are not the same, as [before, after]; they make nothing differ by themselves.
    """
    differing: dict[str, None] = {}
    said: dict[str, str] = {}
    changed: dict[str, list[Any]] = {}
    for name in (*BY_ITEM, *RECORDS, *BYTES):
        old, new = before / name, after / name
        if not old.exists() and not new.exists() and name in BYTES:
            continue
        if not (old.exists() and new.exists()):
            said[name] = MISSING
        elif name in BY_ITEM:
            ids, said[name] = _items(old, new)
            differing |= dict.fromkeys(ids)
        elif name in RECORDS:
            said[name], circumstances = _record(files.read_json(old), files.read_json(new))
            changed |= circumstances
        else:
            said[name] = IDENTICAL if files.sha256_of(old) == files.sha256_of(new) else "other bytes"
    return {
        "identical": all(one == IDENTICAL for one in said.values()),
        "items_differing": list(differing)[:NAMED],
        "number_differing": len(differing),
        "files": said,
        "changed": changed,
    }


def _items(before: Path, after: Path) -> tuple[list[str], str]:
    """The ids of items whose lines differ, in the order of the first file, and what differs in words."""
    old, new = files.read_jsonl(before), files.read_jsonl(after)
    if old == new:
        return [], IDENTICAL
    first, second = ({row["id"]: row for row in rows} for rows in (old, new))
    ids = [key for key in dict.fromkeys([*first, *second]) if first.get(key) != second.get(key)]
    return ids, f"{len(ids)} item{'s' * (len(ids) != 1)}" if ids else "the order of the items"


def _record(before: Any, after: Any) -> tuple[str, dict[str, list[Any]]]:
    """What differs between two records in words, and the circumstances that have changed, by their path in a record."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    paths = [path for path in dict.fromkeys([*old, *new]) if old.get(path) != new.get(path)]
    circumstances = [path for path in paths if _is_of(path, ("provenance", *HOST))]
    changed = {path: [old.get(path), new.get(path)] for path in circumstances if not _is_of(path, PASSING)}
    differing = [path for path in paths if path not in circumstances]
    if not differing:
        return IDENTICAL, changed
    more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
    return ", ".join(differing[:5]) + more, changed


def _leaves(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested objects with its path; an empty object and a list are values."""
    if isinstance(content, dict) and content:
        for key, value in content.items():
            yield from _leaves(value, f"{path}.{key}" if path else key)
    else:
        yield path, content


def _is_of(path: str, parts: tuple[str, ...]) -> bool:
    return any(path == part or path.startswith(f"{part}.") for part in parts)


def in_one_sentence(compared: Mapping[Cell, Mapping[str, Any]], answers: int) -> str:
    """What came out: `identical: …`, or where and in what the rerun differs. `answers` counts those of all cells."""
    wrong = {cell: found for cell, found in compared.items() if not found["identical"]}
    if not wrong:
        return f"identical: {answers} answers and all scores of {len(compared)} cell{'s' * (len(compared) != 1)}"
    items = sum(found["number_differing"] for found in wrong.values())
    named = ", ".join(f"{cell} ({_what(found)})" for cell, found in list(wrong.items())[:3])
    return (
        f"not identical: {items} of {answers} answers or their scores differ, "
        f"in {len(wrong)} of {len(compared)} cells: {named}{', …' if len(wrong) > 3 else ''}"
    )


def _what(found: Mapping[str, Any]) -> str:
    """The differing items of a cell, and what else its answers' record tells; without items, its differing files."""
    differing = {name: said for name, said in found["files"].items() if said != IDENTICAL}
    if not found["number_differing"]:
        return _listed(differing)
    ids = ", ".join(found["items_differing"][:5])
    # how the items were asked may have changed, and would be the reason
    asked = {name: said for name, said in differing.items() if name == "predictions.json"}
    return "; ".join(filter(None, (f"items {ids}{', …' if found['number_differing'] > 5 else ''}", _listed(asked))))


def _listed(differing: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {said}" for name, said in differing.items())
