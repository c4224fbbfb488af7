"""The methods that a report says once for all its studies: carbon, intervals, tests, and the rule of acceptance."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bitbudget.publishing.paper import nodes
from bitbudget.publishing.paper.nodes import Node, Unit
from bitbudget.publishing.paper.view import View
from bitbudget.telling import wording


def carbon(views: Sequence[View]) -> Node:
    """How carbon is worked out, and on which grid."""
    return nodes.p(
        "Carbon follows Patterson et al. [@patterson2022carbon]: the energy of the machine times the power usage "
        "effectiveness of its building ({pue}) times the carbon intensity of the grid.{grid}" + _estimated(views),
        pue=_each(views, lambda view: f"{view.e.study['carbon']['pue']:g}"),
        grid="".join(f" {said}" for said in dict.fromkeys(map(_grid, views)) if said),
    )


def _grid(view: View) -> str:
    main = next((row for row in view.e.carbon if not row["what_if"] and row["intensity_g_per_kwh"] is not None), None)
    if main is None:
        return ""
    place = f"that of {main['country_name']}" if main["country_name"] else "as the study states it"
    intensity = wording.number(main["intensity_g_per_kwh"])
    return f"The grid is {place} ({intensity} g CO\N{SUBSCRIPT TWO}e per kWh, {main['intensity_source']})."


def _estimated(views: Sequence[View]) -> str:
    """Where the energy that the operations alone would need is found, if it is known for a cell."""
    if not any(row["energy_estimated_from_flops_J"] for view in views for row in view.e.carbon):
        return ""
    return (
        " Beside the measured energy, carbon.csv has the estimate of Desislavov et al. [@desislavov2023trends]: the "
        "floating point operations of an answer over those that the hardware computes with a joule at its peak."
    )


def _each(views: Sequence[View], value: Callable[[View], str]) -> str:
    """A value of every study: once where they agree, else with the studies' names."""
    found: dict[str, list[str]] = {}
    for view in views:
        found.setdefault(value(view), []).append(view.e.name)
    if len(found) == 1:
        return next(iter(found))
    return wording.listed([f"{shown} in {wording.listed(names)}" for shown, names in found.items()])


def tests(views: Sequence[View]) -> Unit:
    """Intervals, tests and corrections, as far as the studies compare anything, and when a precision is accepted."""
    clusters = wording.listed(list(dict.fromkeys(view.track.RESAMPLED for view in views)))
    compared = [view for view in views if view.others and view.e.comparison["resamples"]]
    if not compared:
        words = "Intervals hold 95 % and come from a bootstrap over {clusters} with a fixed seed [@efron1993bootstrap]."
        words += (
            " So few {clusters} are not compared: any difference could be chance, so there is no verdict."
            if any(view.others for view in views)
            else " With one precision there is nothing to compare."
        )
        return Unit([nodes.h("Statistics"), nodes.p(words, clusters=clusters)])
    words = (
        "Every precision is compared with the baseline on the same items. Intervals hold 95 % and come from a paired "
        "bootstrap over {clusters} with random weights and a fixed seed (resamples: {resamples}) "
        "[@efron1993bootstrap; @rubin1981bayesian]. Each end counts one unit more than was seen, which at the worse "
        "end loses all that a unit has to lose [@gaffke2005three], so that many unchanged {clusters} vouch for no more "
        "than they can. "
    )
    if any("McNemar" in test for view in compared for test in _tests_used(view)):
        words += "Independent items that are right or wrong are tested by McNemar's exact test [@mcnemar1947]. "
    words += (
        "P values are corrected for all comparisons of a study by Holm's method [@holm1979], and a difference is "
        "called a "
        "loss or a gain only where its interval excludes 0 and the corrected p is below .05. "
    )
    if any(cell["repeated"] for view in compared for cell in view.cells):
        words += (
            "The comparison has a noise floor: {repeated}. What changes there is noise, and no difference that it "
            "shows as well is called a loss; another machine may change more. "
        )
    words += (
        "Where no difference is clear, we give the smallest detectable loss: one of this size would have been found "
        "with a probability of {power} %."
    )
    shown = nodes.p(
        words,
        clusters=clusters,
        resamples=_each(compared, _resamples),
        repeated=wording.listed(list(dict.fromkeys(view.e.verdicts["repeated"] for view in compared))),
        power=_each(compared, lambda view: f"{100 * view.e.comparison['power']:.0f}"),
    )
    rules = list(dict.fromkeys(view.e.verdicts["rule"] for view in compared))
    return Unit([nodes.h("Statistics"), shown, nodes.p("{rules}", rules=" ".join(rules))])


def _resamples(view: View) -> str:
    """Those of the primary metric."""
    resamples = view.e.comparison["resamples"]
    number = resamples.get(view.e.primary) or max(resamples.values())
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _tests_used(view: View) -> set[str]:
    return {
        metric["test"]
        for one in view.e.comparison["comparisons"]
        for metric in one["metrics"].values()
        if metric.get("test")
    }
