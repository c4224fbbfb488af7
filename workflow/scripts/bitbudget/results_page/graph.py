"""The graph of rules in words, for those who cannot see it: read from Snakemake's Graphviz text."""

from __future__ import annotations

import re

_NODE = re.compile(r'^\s*(\d+)\[label = "((?:[^"\\]|\\.)*)"', re.MULTILINE)
_EDGE = re.compile(r"^\s*(\d+) -> (\d+)", re.MULTILINE)


def in_words(dot: str) -> list[tuple[str, list[str]]]:
    """Each rule with those whose output it reads, in the order of the text."""
    names = {number: re.sub(r"\\(.)", r"\1", label) for number, label in _NODE.findall(dot)}
    needs: dict[str, list[str]] = {number: [] for number in names}
    for before, after in _EDGE.findall(dot):
        if before in names and after in needs:
            needs[after].append(names[before])
    return [(name, sorted(needs[number])) for number, name in names.items()]
