"""The official LAMBADA test file in OpenAI's variant: what we ask of a model is what lm-evaluation-harness asks."""

import hashlib
import json
import random
from pathlib import Path

import pytest

from bitbudget import files
from bitbudget.datasets import lambada_openai, local_lambada, passage_rows
from bitbudget.items import item as items
from bitbudget.tracks import lambada

FILE = Path(__file__).parents[3] / "shared" / "real" / "lambada" / "lambada_test.jsonl"
pytestmark = pytest.mark.skipif(not FILE.is_file(), reason=f"the real passages {FILE} are not there")

# tests/testdata/lambada-v0-loglikelihood of EleutherAI/lm-evaluation-harness at commit
# 121b7096ab608a3ef8a73957c0f6efae053b5f15: the SHA-256 of its requests for this file.
REQUESTS = "6829e6a8aa5922e6c92dd31403cc060f242dc0ede4a775e085a70da095ab2e20"


@pytest.fixture(scope="module")
def passages():
    return passage_rows.read_passages(FILE)


def test_the_file_is_the_one_that_the_data_set_pins(passages):
    assert files.sha256_of(FILE) == lambada_openai.SHA256
    assert len(passages) == lambada_openai.PASSAGES == 5153
    assert [passages[0].id, passages[-1].id] == ["1", "5153"]
    assert passages[0].question.endswith("I don't care about") and passages[0].references == ("signs",)


def test_the_requests_are_those_of_lm_evaluation_harness(passages):
    """It shuffles the documents by a seed, asks for likelihood and greedy match of each, and hashes the list."""
    documents = list(passages)
    rng = random.Random()
    rng.seed(42)
    rng.shuffle(documents)
    requests = [[item.question, f" {item.references[0]}"] for item in documents for _ in range(2)]
    assert hashlib.sha256(json.dumps(requests, sort_keys=True).encode()).hexdigest() == REQUESTS


def test_context_and_word_are_the_passage_to_the_letter(passages):
    texts = [json.loads(line)["text"] for line in FILE.read_text(encoding="utf-8").splitlines()]
    assert [f"{item.question} {item.references[0]}" for item in passages] == texts


def test_it_survives_items_jsonl_and_is_read_as_a_users_own_file(passages, tmp_path):
    items.write(tmp_path / "items.jsonl", passages)
    assert items.read(tmp_path / "items.jsonl") == passages
    found = local_lambada.fetch({"file": str(FILE)}, tmp_path / "out", tmp_path / "partial")
    assert found["files"] == {local_lambada.FILE: lambada_openai.SHA256}
    assert local_lambada.read_items({"file": str(FILE)}, tmp_path / "out", "all") == passages


def test_guessing_by_frequency_hardly_ever_finds_the_word(passages):
    """The words were chosen so that only the passage decides them: no word is the last of one passage in a hundred."""
    rows = [item.to_dict() for item in passages]
    said, answers = lambada.blind_answers(rows, 0)
    metrics, _ = lambada.score(rows, answers, 0)
    assert 0 < metrics["top_1"]["value"] < 0.01
    assert metrics["top_1"]["value"] < metrics["top_10"]["value"] < 0.05
    assert 1000 < metrics["perplexity"]["value"] < 5153
    assert said.startswith("the 3197 different last words of 5153 passages by frequency: 'Ana' (16), ")
