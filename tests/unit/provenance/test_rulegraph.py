"""The graph of rules: Snakemake's text brought into one order."""

from __future__ import annotations

import random
import subprocess

import pytest

from bitbudget.errors import UserError
from bitbudget.provenance import rulegraph

EDGES = [("fetch", "predict"), ("quantize", "predict"), ("predict", "score"), ("score", "all"), ("resolve", "all")]


def drawn(seed: int) -> str:
    """What Snakemake might print: rules, numbers, colours and edges in any order."""
    chance = random.Random(seed)
    names = sorted({name for edge in EDGES for name in edge})
    chance.shuffle(names)
    number = {name: k for k, name in enumerate(names)}
    lines = [f'\t{k}[label = "{name}", color = "0.{k} 0.6 0.85", style="rounded"];' for name, k in number.items()]
    edges = [f"\t{number[a]} -> {number[b]}" for a, b in EDGES]
    chance.shuffle(edges)
    return "\n".join(["digraph snakemake_dag {", "    graph[bgcolor=white];", *lines, *edges, "}            "])


def test_the_graph_is_the_same_in_whatever_order_it_is_drawn():
    found = {rulegraph.in_order(drawn(seed)) for seed in range(5)}
    assert len(found) == 1
    text = found.pop()
    order = ["fetch", "quantize", "resolve", "predict", "score", "all"]
    assert [line.split('"')[1] for line in text.splitlines() if "label" in line] == order
    edges = [tuple(order[int(n)] for n in line.strip(" ;").split(" -> ")) for line in text.splitlines() if "->" in line]
    assert sorted(edges) == sorted(EDGES)


def test_what_is_no_graph_is_said_in_a_sentence():
    with pytest.raises(UserError, match="drew no graph of rules, but wrote: Building DAG"):
        rulegraph.in_order("Building DAG of jobs...\n")
    with pytest.raises(UserError, match="rules that need each other"):
        rulegraph.in_order('0[label = "a"]\n1[label = "b"]\n0 -> 1\n1 -> 0\n')


def test_what_snakemake_cannot_draw_is_said_with_its_reason(monkeypatch):
    seen = {}

    def fail(command, env, **_):
        seen.update(env)
        return subprocess.CompletedProcess(command, 1, "", "there is no\n  study")

    monkeypatch.setattr(subprocess, "run", fail)
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "slurm")
    with pytest.raises(UserError, match="of tiny: there is no study"):
        rulegraph.ask(["tiny"])
    assert "SNAKEMAKE_PROFILE" not in seen and "PATH" in seen
