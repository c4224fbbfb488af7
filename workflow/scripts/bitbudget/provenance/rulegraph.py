"""The graph of a study's rules, as Snakemake draws it, always in the same order."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

from bitbudget.errors import UserError
from bitbudget.system import programs

_NODE = re.compile(r'^\s*(\d+)\[label = "((?:[^"\\]|\\.)*)"', re.MULTILINE)
_EDGE = re.compile(r"^\s*(\d+) -> (\d+);?\s*$", re.MULTILINE)


def ask(studies: Sequence[str]) -> str:
    """Snakemake's own graph of the rules that studies need, in Graphviz' language, whether they have run or not.

    It is asked in the working folder, while another Snakemake runs there: it takes no lock and runs nothing. Raises
    `UserError` where it cannot tell.
    """
    # what the user's environment says of Snakemake is for their own run
    environment = {name: value for name, value in programs.environment().items() if not name.startswith("SNAKEMAKE")}
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--rulegraph",
        "dot",
        "--forceall",
        "--config",
        f"study=[{','.join(studies)}]",
    ]
    asked = programs.ask(command, env=environment)
    if asked.returncode:
        said = " ".join(asked.stderr.split())[-600:]
        raise UserError(f"Snakemake could not draw the graph of the rules of {', '.join(studies)}: {said}")
    return asked.stdout


def in_order(dot: str) -> str:
    """The same graph with its rules from the first to the last, those in no order by name: Snakemake's own order, and
    with it every colour, changes from call to call.

    Raises `UserError` for a text that has no rules.
    """
    needs = parsed(dot)
    if not needs:
        raise UserError(f"Snakemake drew no graph of rules, but wrote: {' '.join(dot.split())[:200]}")
    number = {name: k for k, name in enumerate(_sorted(needs))}
    lines = ["digraph rules {", "    graph[bgcolor=white, margin=0];"]
    lines.append("    node[shape=box, style=rounded, fontname=sans, fontsize=10, penwidth=2];")
    lines.append("    edge[penwidth=2, color=grey];")
    for name, k in number.items():
        colour = f"{k / len(number):.2f} 0.6 0.85"  # around the colour circle: hue, saturation, value
        lines.append(f'    {k}[label = {json.dumps(name)}, color = "{colour}", style="rounded"];')
    edges = sorted((number[before], number[after]) for after, befores in needs.items() for before in befores)
    lines += [f"    {before} -> {after};" for before, after in edges]
    return "\n".join([*lines, "}"]) + "\n"


def parsed(dot: str) -> dict[str, set[str]]:
    """Each rule of such a graph with those whose output it reads, in the order of the text; empty for another text."""
    names = {number: re.sub(r"\\(.)", r"\1", label) for number, label in _NODE.findall(dot)}
    needs: dict[str, set[str]] = {name: set() for name in names.values()}
    for before, after in _EDGE.findall(dot):
        if before in names and after in names:
            needs[names[after]].add(names[before])
    return needs


def _sorted(needs: dict[str, set[str]]) -> list[str]:
    """The rules, each after all that it needs; by name where that leaves a choice."""
    sorter = TopologicalSorter(needs)
    try:
        sorter.prepare()
    except CycleError as fault:
        raise UserError(f"rules that need each other have no order: {', '.join(fault.args[1])}.") from None
    found: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        found += ready
        sorter.done(*ready)
    return found
