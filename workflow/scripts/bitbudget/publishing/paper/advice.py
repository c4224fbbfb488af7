"""Which precision to take, in sentences formed from the records: what it wins, what it costs, what it risks."""

from __future__ import annotations

from collections.abc import Sequence

from bitbudget.judging import recommendation, verdicts
from bitbudget.publishing.paper import costs, nodes
from bitbudget.publishing.paper.view import View
from bitbudget.telling import wording

ALIKE = 0.05  # relative difference of a cost below which it is no part of a trade
TIMES = "\N{MULTIPLICATION SIGN}"
# Column of the summary, and how a factor of it is said.
TRADES = (
    ("weights_in_memory_MB", "{factor} the weights in memory"),
    ("latency_median_s", "{factor} the latency"),
    ("energy_per_item_J", "{factor} the energy an item"),
    ("size_on_disk_MB", "{factor} the size on disk"),
    ("peak_memory_MB", "{factor} the peak memory"),
)


def sentences(view: View, cells: Sequence[tuple[str, str]], full: bool = True) -> list[str]:
    """The recommendations of these models and conditions, those of the same precision in one; the first with numbers.

    In full, it is also said what the precision loses at worst.
    """
    chosen: dict[str | None, list[tuple[str, str]]] = {}
    for cell in cells:
        found = view.e.recommendation_of(*cell)
        if found is not None:
            chosen.setdefault(found["precision"], []).append(cell)
    said = []
    for precision, where in chosen.items():
        if precision is None or precision == view.e.baseline:
            said.append(_where(view, where, cells, _no_other(view, where[0], precision)))
        else:
            said.append(_where(view, where, cells, f"recommended is {_won(view, where[0], precision, len(where) > 1)}"))
            said += _worst(view, where[0], precision) if full else []
            said += _despite(view, where, precision)
    return said


def _where(view: View, cells: Sequence[tuple[str, str]], among: Sequence[tuple[str, str]], said: str) -> str:
    """A sentence with the models and conditions that it is of, as far as there are others."""
    several = len(view.cells) > 1
    if several and len(cells) == len(among) == len(view.cells):
        what = ["models"] * (len(view.e.models) > 1) + ["conditions"] * (len(view.e.conditions) > 1)
        return f"For all {' and '.join(what)}, {said}"
    if several:
        return f"For {wording.listed([f'{view.cell_name(*cell)}'.replace(', ', ' with ') for cell in cells])}, {said}"
    return said[:1].upper() + said[1:] if said.startswith(("recommended", "no ", "nothing", "only", "the ")) else said


def _no_other(view: View, cell: tuple[str, str], precision: str | None) -> str:
    """What is said where nothing but the baseline can be taken."""
    if view.simulated_only:
        return "only simulated formats were compared, which have no costs, so nothing is recommended on costs."
    if precision is None:
        found = view.e.recommendation_of(*cell)
        return nodes.sentence(found["sentence"])[:1].lower() + nodes.sentence(found["sentence"])[1:]
    accepted = [name for name in view.others if (one := _verdict(view, cell, name)) and one["accepted"]]
    usable = [name for name in accepted if view.unusable(name, *cell) is None]
    if not usable:
        return f"no other precision is both accepted and measured, so the baseline, {precision}, is the choice."
    cost = recommendation.preferred(view.e.study["accept"]["prefer"], _rows(view, cell))
    return f"the baseline, {precision}, is recommended: no accepted precision has less {cost.name}."


def _verdict(view: View, cell: tuple[str, str], precision: str) -> dict | None:
    return view.e.verdict_of(cell[0], precision, cell[1])


def _rows(view: View, cell: tuple[str, str]) -> list[dict]:
    return [view.e.row(cell[0], name, cell[1]) for name in view.e.precisions]


def _won(view: View, cell: tuple[str, str], precision: str, several: bool) -> str:
    """The precision with the preferred cost, and what else is more or less of it: a trade is called one."""
    row, base = (view.e.row(cell[0], name, cell[1]) for name in (precision, view.e.baseline))
    cost = recommendation.preferred(view.e.study["accept"]["prefer"], _rows(view, cell))
    new, old = row[cost.column], base[cost.column]
    first = f"{precision}, with the least {cost.name} among the accepted precisions"
    usable = [
        one[cost.column]
        for one in _rows(view, cell)
        if one["precision"] != precision and one[cost.column] is not None and not view.unusable(one["precision"], *cell)
        if one["baseline"] or (_verdict(view, cell, one["precision"]) or {}).get("accepted")
    ]
    if new is not None and any(other < new for other in usable):
        first += f" (to within {100 * recommendation.TIE:g} %)"
    if new is not None and old:
        first += f": {cost.written(new, old)} instead of {cost.written(old, new)}"
        first += f" ({_of(view, cell)})" if several else ""
    less, more, same = [], [], ""
    for column, words in TRADES:
        if column == cost.column or row.get(column) is None or not base.get(column):
            continue
        factor = row[column] / base[column]
        doubt = ""
        if column == "latency_median_s":
            how = costs.relation(view, precision, *cell)
            if how == costs.OVERLAP:
                same = "; the latency intervals overlap"
                continue
            doubt = " (without an interval)" if how == costs.UNKNOWN else ""
        if abs(factor - 1) >= ALIKE:
            (less if factor < 1 else more).append(words.format(factor=f"{factor:.2f}{TIMES}") + doubt)
    if less:
        first += f", with {wording.listed(less)}"
    if more:
        first += f"; the price is {wording.listed(more)}"
    return f"{first}{same}."


def _of(view: View, cell: tuple[str, str]) -> str:
    return view.cell_name(*cell).replace(", ", " with ")


def _worst(view: View, cell: tuple[str, str], precision: str) -> list[str]:
    """What the precision loses in the worst case that its interval allows."""
    one = view.e.comparison_of(cell[0], precision, cell[1])
    metric = verdicts.metric_of(one, view.e.primary) if one else None
    if metric is None:
        return []
    form = wording.format_of(view.words, metric)
    lost = view.words.sign * (metric["baseline"] - verdicts.worst(metric, view.words))
    of = f" ({_of(view, cell)})" if len(view.cells) > 1 else ""
    if lost <= 0:
        return [f"In the worst case within its 95 % interval{of} it loses nothing."]
    verb = "loses" if view.words.higher_is_better else "is worse by"
    share = f", {wording.percent(lost / metric['baseline'])} of the baseline's" if metric["baseline"] > 0 else ""
    return [f"In the worst case within its 95 % interval{of} it {verb} {form.size(lost)} {view.words.noun}{share}."]


def _despite(view: View, cells: Sequence[tuple[str, str]], precision: str) -> list[str]:
    """That a recommended precision loses clearly and is accepted nevertheless."""
    lost = [cell for cell in cells if (one := _verdict(view, cell, precision)) and one["kind"] == verdicts.LOSS]
    if not lost:
        return []
    metric = view.difference(lost[0][0], precision, lost[0][1])
    where = f" of {wording.listed([_of(view, cell) for cell in lost])}" if len(view.cells) > 1 else ""
    shown = f" ({view.signed(metric)} {view.words.noun})" if metric and len(lost) == 1 else ""
    return [f"It is accepted although it loses quality clearly{where}{shown}: it {view.kept}."]
