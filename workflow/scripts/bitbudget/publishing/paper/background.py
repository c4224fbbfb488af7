"""What a reader has to know beforehand: the number formats that the study really used, and what its task is for."""

from __future__ import annotations

from collections.abc import Sequence

from bitbudget import registry
from bitbudget.publishing.paper import nodes
from bitbudget.publishing.paper.nodes import Unit
from bitbudget.publishing.paper.view import View
from bitbudget.telling import wording

GENERAL = (
    "Quantization maps numbers to a coarser grid: a weight w is stored as an integer q with w \N{ALMOST EQUAL TO} s(q "
    "\N{MINUS SIGN} z), where the scale s and the zero point z are shared by a row, a channel or a small block of "
    "weights [@nagel2021white; @gholami2021survey]. Done after training, it needs no gradient and no training data. "
    "What it saves depends on what is quantized: weights alone shrink the file and the memory traffic, while quantized "
    "activations also let integer units do the multiplications. What it costs depends on the outliers, because one "
    "large value stretches the grid for all that share its scale."
)

LATER = 4  # rank of what is said of a task where there are several


def units(views: Sequence[View]) -> list[Unit]:
    """The section: numbers in general, a paragraph a title of formats, and each track's task and models."""
    used = {name for view in views for name in view.formats}
    titles: dict[str, list[str]] = {}
    for name in registry.FORMATS:
        if name in used:
            titles.setdefault(registry.format_of(name).title, []).append(name)
    found = [Unit([nodes.h("Number formats"), nodes.p(GENERAL)])]
    for title, names in titles.items():
        said = " ".join([registry.format_of(names[0]).about, *_options(names, views)])
        found.append(Unit([nodes.paragraph(nodes.strong(title), nodes.inline(said))]))
    of_track = {view.e.track: view for view in views}.values()
    tasks = [nodes.p(view.says("APPLICATION")) for view in of_track]
    found.append(Unit([nodes.h("Applications and deployment"), *tasks]))
    for view in of_track:
        paragraphs = [nodes.p(one) for one in view.says("BACKGROUND")]
        found += [Unit(paragraphs, 0 if len(of_track) == 1 else LATER)] if paragraphs else []
    return found


def _options(names: Sequence[str], views: Sequence[View]) -> list[str]:
    """What the options of the precisions make of formats: once where it is the same of all, else with their names."""
    said: dict[str, dict[str, None]] = {}
    for view in views:
        for assignments in view.e.study.get("assignments", {}).values():
            for precision, groups in assignments.items():
                for spec in (one for one in groups.values() if one["format"] in names):
                    form = registry.format_of(spec["format"])
                    options = {name: about["default"] for name, about in form.options.items() if "default" in about}
                    said.setdefault(form.about_options(options | spec), {})[precision] = None
    if len(said) == 1:
        return [one for one in said if one]
    return [f"Of {wording.named(list(precisions))}: {one}" for one, precisions in said.items() if one]
