"""The study's figures in the paper: which ones, in what order, and how large they can be and stay readable."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bitbudget.paper import nodes
from bitbudget.paper.nodes import Node, Unit
from bitbudget.paper.view import View

# Width of the text over both columns, and how tall a figure may be, in points.
WIDE, TALLEST = 493.0, 400.0
SMALLEST = 0.69  # of its own size: below, its small print can no longer be read
# Rank in the order of what the paper shows first, name, and the sentence below it.
SHOWN: tuple[tuple[int, str, str], ...] = (
    (
        0,
        "detections",
        "What is found in the same images under every precision. Solid outlines are right, dotted ones with a cross "
        "are "
        "wrong, and dashed ones are the objects, or what was missed.",
    ),
    (
        1,
        "quality_delta",
        "What each precision changes in {label} against {baseline}, with 95 % intervals, beside what the baseline "
        "repeated changes against itself.",
    ),
    (
        1,
        "ablation",
        "One module group at a time in the low format: what each group alone loses, and all of them together.",
    ),
    (2, "quality_vs_{prefer}", "{label} against {prefer_words}: on the front, no other precision is better in both."),
    (3, "quality_by_type", "{label} by kinds of question."),
    (4, "latency", "Median latency of one {item}, by phase."),
    (6, "memory", "Memory of the weights and of the process."),
    (7, "quality_vs_latency", "{label} against latency."),
    (8, "energy", "Energy of one {item}."),
    (9, "quality", "All quality metrics with their 95 % intervals."),
    (10, "throughput", "Throughput by batch size."),
    (11, "size", "Size on disk."),
    (12, "quality_vs_energy", "{label} against energy."),
)
PREFER = {"size": "size on disk", "memory": "memory", "latency": "latency", "energy": "energy"}
# With one precision a difference has nothing to show, and a front has one point.
OF_SEVERAL = ("quality_delta", "quality_vs_")
# Figures that show little where only one of several precisions was measured, and the column that tells.
OF_COSTS = {"quality_vs_size": "size_on_disk_MB", "quality_vs_memory": "weights_in_memory_MB"}
OF_COSTS |= dict.fromkeys(("latency", "quality_vs_latency", "throughput"), "latency_median_s")
OF_COSTS |= dict.fromkeys(("energy", "quality_vs_energy"), "energy_per_item_J")
OF_COSTS |= {"size": "size_on_disk_MB", "memory": "peak_memory_MB"}


def of_quality(view: View) -> list[Unit]:
    """The figures of quality alone."""
    return [unit for name, unit in _units(view) if name not in OF_COSTS]


def of_costs(view: View) -> list[Unit]:
    """The figures of costs, alone or against quality."""
    return [unit for name, unit in _units(view) if name in OF_COSTS]


def _units(view: View) -> list[tuple[str, Unit]]:
    """The figures that the study has and that stay readable, each standing or falling by its rank."""
    prefer = view.e.study["accept"]["prefer"]
    prefer = prefer if prefer in PREFER else "size"
    found, seen = [], set()
    for rank, name, words in SHOWN:
        name = name.format(prefer=prefer)
        if name in seen or name not in view.e.figures or (not view.others and name.startswith(OF_SEVERAL)):
            continue
        if view.others and name in OF_COSTS and len(view.measured(OF_COSTS[name])) < 2:
            continue
        block = _block(view, name, words, prefer, forced=name == "detections")
        if block is not None:
            seen.add(name)
            caption = block["alt"].rstrip(".").split(": ")[0]
            said = nodes.p(f"[#{block['label']}] shows {{what}}.", what=nodes.within(caption))
            found.append((name, Unit([said, block], rank + 1 if name != "detections" else 0)))
    return found


def path_of(view: View, name: str) -> str:
    """The figure's name among the paper's assets."""
    return f"figures/{view.number}/{name}.svg"


def _block(view: View, name: str, words: str, prefer: str, forced: bool) -> Node | None:
    size = size_of(view.e.figures[name])
    if size is None:
        return None
    width, height = size
    scale = min(WIDE / width, TALLEST / height, 1.0)
    if scale < SMALLEST and not forced:
        return None
    label = view.words.label
    caption = words.format(
        label=label[:1].upper() + label[1:] if words.startswith("{label}") else label,
        baseline=view.e.baseline,
        prefer_words=PREFER[prefer],
        item="image" if view.words.detections else "item",
    )
    return {
        "t": "figure",
        "wide": True,
        "label": view.label(f"figure-{name}"),
        "path": path_of(view, name),
        "width": round(min(width * scale / WIDE, 1.0), 4),
        "alt": caption,
        "caption": nodes.text(caption + (f" Study {view.e.name}." if view.several else "")),
    }


def size_of(path: Path) -> tuple[float, float] | None:
    """Width and height of an svg file in points; None where it does not say."""
    with path.open(encoding="utf-8") as file:
        head = file.read(4000)
    found = re.search(r'viewBox="\s*[\d.-]+[\s,]+[\d.-]+[\s,]+([\d.]+)[\s,]+([\d.]+)', head)
    return (float(found[1]), float(found[2])) if found else None


def assets(views: Sequence[View]) -> dict[str, Path]:
    """The files of all figures by their names among the assets."""
    return {path_of(view, name): path for view in views for name, path in view.e.figures.items()}
