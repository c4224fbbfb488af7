"""The primary metric of a model under a condition by kinds of items, worded once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bitbudget import contracts, registry
from bitbudget.telling import wording
from bitbudget.telling.evidence import Evidence

Record = Mapping[str, Any]


def of(evidence: Evidence, cell: Record) -> dict[str, Any] | None:
    """The first way to tell items apart by which the scores have several values; None where there is none.

    `kind` is its name, `title` says where the largest drop is, and `rows` hold of each kind of items its `name`, how
    many items it has (`n`), the `baseline`'s value, and the `worst` value with the precisions that have it (`of`;
    empty where all have it).
    """
    words = wording.words_of({"track": evidence.track, "primary": evidence.primary})
    metrics = {name: evidence.scores[cell["model"], name, cell["condition"]] for name in evidence.precisions}
    base = metrics[evidence.baseline]
    kinds = base.get("breakdown") or {}
    kind = next((name for name, types in kinds.items() if sum("value" in one for one in types.values()) > 1), None)
    if kind is None:
        return None
    form = wording.format_of(words, {"baseline": 1.0, **base["metrics"][evidence.primary]})
    parts = {name: record.get("breakdown", {}).get(kind, {}) for name, record in metrics.items()}
    types = {name: metric for name, metric in kinds[kind].items() if "value" in metric}
    rows, drops = [], []
    for name in in_order(types):
        own = types[name]["value"]
        values = {one: found[name]["value"] for one, found in parts.items() if "value" in found.get(name, {})}
        worst = min(values, key=lambda one: words.sign * values[one])
        same = [one for one in values if values[one] == values[worst]]
        rows.append({
            "name": name, "n": types[name]["n"], "baseline": form.level(own), "worst": form.level(values[worst]),
            "of": [] if len(same) == len(values) else same,
        })  # fmt: skip
        drops.append((words.sign * (own - values[worst]), name, worst, form.level(values[worst]), form.level(own)))
    said = kind.replace("_", " ")
    # of too few items for an interval a drop says little
    drop, name, worst, value, kept = max([one for one in drops if types[one[1]].get("ci")] or drops)
    title = f"In no kind of {said} does a precision fall behind {evidence.baseline}"
    if drop > 0:
        track = registry.module_of("track", evidence.track)
        where = contracts.of(track, "KIND_WORDS").get(kind, {}).get(name) or f"“{name}” ({said})"
        title = f"The largest drop is in {where}: {worst} reaches {value} instead of {kept}"
    return {"kind": said, "title": title, "rows": rows}


def in_order(types: Mapping[str, Record]) -> list[str]:
    """Kinds of items: those that are numbers in their order (1, 2, 3+), others by how many items (`n`) they have."""
    if all(name[:1].isdigit() for name in types):
        return sorted(types, key=lambda name: (int(re.match(r"\d+", name)[0]), name))
    return sorted(types, key=lambda name: -types[name]["n"])
