"""What the inspection counted, in the one way in which everything published tells it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bitbudget.judging import verdicts
from bitbudget.telling import wording

Record = Mapping[str, Any]

FLAGS = {"privacy": "private strings", "profanity": "profanity", "people": "about people"}


def not_there(inspection: Mapping[str, Any]) -> str | None:
    """How many captions of all precisions name an object that is not there, in words; None where none was looked for.

    `inspection` is the record. Every precision's caption counts, as it does for CHAIR-s.
    """
    shares = [cell["metrics"].get("chair_s") or {} for cell in inspection["cells"]]
    counted = [one for one in shares if "value" in one]
    if not counted:
        return None
    named = sum(one["count"] if "count" in one else round(one["value"] * one["n"]) for one in counted)
    captions = sum(one["n"] for one in counted)
    if not named:
        return "no caption names an object that is not there"
    return f"{named} of {captions} captions {'names' if named == 1 else 'name'} an object that is not there"


def of_cell(inspection: Record, model: str, condition: str, baseline: str) -> dict[str, Any]:
    """What was found in the answers of a model under a condition: `rows`, one a precision, with the share of the named
    objects that are `not_there`, its `difference` from the baseline's (empty texts where there is none) and how often
    each kind was `flagged`; how many answers were flagged (`answers`) of how many that were `screened`; `objects`, a
    headline of the objects that are not there (None where none was looked for), and the precisions that it `names`."""
    mine = [one for one in inspection["cells"] if (one["model"], one["condition"]) == (model, condition)]
    against = {
        one["precision"]: one["metrics"].get("chair_i", {})
        for one in inspection.get("comparisons", [])
        if (one["model"], one["condition"]) == (model, condition)
    }
    shares = {one["precision"]: one["metrics"].get("chair_i", {}).get("value") for one in mine}
    known = {name: value for name, value in shares.items() if value is not None}
    screened = [one for one in mine if one["flagged"]]  # boxes cannot be
    return {
        "rows": [
            {
                "precision": one["precision"],
                "not_there": "" if one["precision"] not in known else _percent(known[one["precision"]]),
                "difference": points(against.get(one["precision"], {})),
                "flagged": one["flagged"],
            }
            for one in mine
        ],
        "answers": sum(one["answers_flagged"] for one in screened),
        "screened": sum(one["n"] for one in screened),
        "objects": _objects(known, baseline) if known else None,
        "names": [baseline, max(known, key=known.__getitem__)] if known else [baseline],
    }


def _objects(known: Mapping[str, float], baseline: str) -> str:
    worst, own = max(known, key=known.__getitem__), known.get(baseline)
    said = "of the objects that {} names are not there"
    if own == known[worst]:
        return f"{_percent(own)} {said.format(baseline)}; no precision names more"
    told = f"{_percent(known[worst])} {said.format(worst)}"
    return told if own is None else f"{told}; under {baseline} it is {_percent(own)}"


def points(metric: Record) -> str:
    """A difference of shares with its interval: "+1.2 [-0.4, +2.8]"; empty where there is none."""
    found = difference(metric)
    return " ".join(found[key] for key in ("text", "interval") if found.get(key))


def level(metric: Record | None) -> dict[str, str]:
    """A share as `text` and `interval` in percent, or why it is `absent`; `why` there is no interval."""
    if not metric or "value" not in metric:
        return {"absent": (metric or {}).get("absent", "not computed in this run")}
    return _shown(metric, lambda share: _percent(share).removesuffix(" %"))


def difference(metric: Record | None) -> dict[str, str]:
    """A difference of shares in points, likewise; `note` is its p value, and whether that is corrected."""
    if not metric or "value" not in metric:
        return {"absent": (metric or {}).get("absent", "this is the baseline, or there is nothing to compare")}
    found = _shown(metric, _signed)
    if (p := metric.get("p_holm")) is not None:
        over = f" after Holm over {metric['family']}" if metric.get("family") else " after Holm"
        return found | {"note": wording.p_value(p) + over}
    if (p := metric.get("p_value")) is not None:
        return found | {"note": f"{wording.p_value(p)}, not corrected"}
    return found


def _shown(metric: Record, write: Callable[[float], str]) -> dict[str, str]:
    ends, found = metric.get("ci"), {"text": write(metric["value"])}
    found |= {"interval": f"[{', '.join(map(write, ends))}]"} if ends else {}
    return found | ({"why": metric["note"]} if metric.get("note") else {})


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _signed(share: float) -> str:
    """With the value's own sign, also where it reads as 0."""
    return f"{100 * share:+.1f}".replace("-", wording.MINUS)


def screened(inspections: Sequence[Record]) -> str:
    """How many answers of all were flagged, or why none was screened, without a full stop."""
    cells = [cell for one in inspections for cell in one["cells"] if cell["flagged"]]
    if not cells:
        checks = [check["absent"] for one in inspections for check in one["looked_for"] if check["absent"]]
        return f"not screened: {checks[-1].rstrip('.') if checks else 'no inspection is recorded'}"
    flagged, many = sum(cell["answers_flagged"] for cell in cells), sum(cell["n"] for cell in cells)
    if flagged:
        return f"{flagged} of {many} answers were flagged, for a person to look at (flagged.csv)"
    return f"nothing private, profane or about people was flagged in {many} answers; a screen may miss some"


def share(metric: Record) -> str:
    """A share of the inspection with its interval: "8.1 % [4.7, 11.9]"."""
    interval = f" [{100 * metric['ci'][0]:.1f}, {100 * metric['ci'][1]:.1f}]" if metric.get("ci") else ""
    return f"{_percent(metric['value'])}{interval}"


def differences(inspection: Record, cell: Record) -> dict[str, Record]:
    """CHAIR-i's difference from the baseline's of every precision of a cell that has one."""
    here = (cell["model"], cell["condition"])
    found = {
        one["precision"]: one["metrics"].get("chair_i", {})
        for one in inspection["comparisons"]
        if (one["model"], one["condition"]) == here
    }
    return {name: metric for name, metric in found.items() if "value" in metric}


def chair(inspection: Record, cell: Record) -> str:
    """Which precisions of a cell clearly name more or fewer objects that are not there; empty where none does."""
    compared = differences(inspection, cell)
    if not compared:
        return ""
    clear = [
        f"{name} ({points(metric)} points, {'more' if metric['value'] > 0 else 'less'})"
        for name, metric in compared.items()
        if metric.get("ci")
        and not metric["ci"][0] <= 0 <= metric["ci"][1]
        and metric.get("p_holm", metric["p_value"]) < verdicts.ALPHA
    ]
    family = next(iter(compared.values())).get("family")
    comparisons = f"{family} comparison{'s' * (family != 1)}" if family else ""
    after = f" (after Holm's correction over {comparisons})" if family else ""
    if clear:
        return f"CHAIR-i differs clearly{after} from the baseline's under {wording.listed(clear)}."
    return f"No precision's CHAIR-i differs clearly{after} from the baseline's."
