"""What the texts cite: works that references.bib has, each of them somewhere, beside the claim that is its own."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path

import pytest

import bitbudget
import made_results
from bitbudget import registry
from bitbudget.publishing.paper import statistics
from bitbudget.publishing.paper.view import View
from bitbudget.publishing.typesetting import bibliography, markdown, typst
from bitbudget.telling import evidence

LIBRARY = Path(bitbudget.__file__).parent
WORKS = bibliography.read(typst.TEMPLATES.parent / "references.bib")
KEYS = re.compile(r"@([a-z]\w*)")


def cited_in_code() -> set[str]:
    """The keys in the library's own sentences; documentation of the syntax is no sentence."""
    found: set[str] = set()
    for path in LIBRARY.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
                found |= {key for group in re.findall(r"\[(@[^\[\]]*)\]", node.value) for key in KEYS.findall(group)}
    return found


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return evidence.load(made_results.build(tmp_path_factory.mktemp("study"), track="captioning"))


def test_every_work_cited_is_known_and_every_known_one_is_cited():
    assert cited_in_code() == set(WORKS)


def test_no_work_is_there_twice():
    titles = [re.search(r"\btitle = (.*)", entry)[1].lower() for entry in WORKS.values()]
    assert len(set(titles)) == len(titles)


def test_the_estimate_from_operations_is_cited_where_it_is(study):
    def cited(rows):
        return list(markdown.cited(statistics.carbon([View(dataclasses.replace(study, carbon=rows))])))

    assert cited(study.carbon) == ["patterson2022carbon", "desislavov2023trends"]
    unknown = [row | {"energy_estimated_from_flops_J": None} for row in study.carbon]
    assert cited(unknown) == ["patterson2022carbon"]


def test_a_metric_of_questions_is_cited_as_those_who_defined_it():
    from bitbudget.tracks import vqa

    for metric, whose in (("vqa_accuracy", "{VQA}: Visual"), ("anls", "Scene Text"), ("relaxed_accuracy", "{ChartQA}")):
        assert whose in WORKS[KEYS.findall(vqa.METRICS[metric]["cited"])[0]]


def test_llava_1_5_has_its_own_paper():
    assert "2310.03744" in WORKS["liu2024llava15"] and "liu2024llava15" in registry.module_of("family", "llava").ABOUT
