"""SmolLM2-135M-Instruct from the Python package index, on the first real passages of the ready study `real-smollm2`."""

from pathlib import Path

import pytest
import torch
import yaml

from bitbudget import files, registry
from bitbudget.datasets import passage_rows
from bitbudget.errors import UserError
from bitbudget.items import subset
from bitbudget.models import checkpoint, gguf_models, readers, snapshots
from bitbudget.runtimes import prediction
from bitbudget.runtimes.llama_cpp import converting
from bitbudget.runtimes.llama_cpp.model import LlamaCpp
from bitbudget.runtimes.transformers import generation, last_word

ROOT = Path(__file__).parents[2]
FILE = ROOT.parent / "shared" / "real" / "lambada" / "lambada_test.jsonl"
STUDY = yaml.safe_load((ROOT / "config/studies/real-smollm2.yaml").read_text())
NAME = STUDY["models"][0]
LLAMA = registry.module_of("family", "llama")
PASSAGES = 12
pytestmark = pytest.mark.skipif(not FILE.is_file(), reason=f"the real passages {FILE} are not there")


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    """The model as the workflow fetched it, or else fetched now."""
    pytest.importorskip("gguf", reason="the package gguf is not installed")
    folder = ROOT / "resources/models" / NAME
    if not (folder / "model.json").exists():
        entry = yaml.safe_load((ROOT / "config/models.yaml").read_text())[NAME]
        work = tmp_path_factory.mktemp("smollm2")
        folder = work / NAME
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(work)  # where config/locks.json is written
            try:
                gguf_models.fetch(NAME, entry, folder, work / "partial", lambda made: snapshots.check(made, LLAMA))
            except UserError as fault:
                if "pip cannot get" not in str(fault):
                    raise
                pytest.skip(f"the package cannot be had here: {fault}")
    return folder


@pytest.fixture(scope="module")
def model(snapshot):
    return LLAMA.model_class().from_pretrained(snapshot, local_files_only=True).eval()


@pytest.fixture(scope="module")
def items():
    passages = {item.id: item.to_dict() for item in passage_rows.read_passages(FILE)}
    return [passages[one] for one in subset.choose(passages, PASSAGES, STUDY.get("seed", 53))]


def test_the_record_says_that_the_weights_had_few_bits_before(snapshot):
    made_from = files.read_json(snapshot / "model.json")["made_from"]
    assert (made_from["types"], made_from["bits"]) == ({"Q4_1": 210, "F32": 61, "Q8_0": 1}, 5.737)
    assert made_from["dtype"] == "float32" and (snapshot / "LICENSE").read_text().strip().startswith("Apache License")


def test_batched_scores_are_those_of_a_plain_loop(snapshot, model, items, tmp_path):
    """The loop reads each passage by itself, without padding, and takes log-probabilities of the whole vocabulary.

    This is how lm-evaluation-harness asks. The batches are sorted by length and padded.
    """
    tokenizer = readers.load_tokenizer(snapshot)
    passages = {item["id"]: last_word.encode(tokenizer, [], item, last_word.positions(model)) for item in items}
    asked = prediction.asked_in(items, {}, lambda item: passages[item["id"]].read)
    found = prediction.predict(
        asked,
        lambda batch: [
            row for row, _ in last_word.score(model, tokenizer, [passages[i["id"]] for i in batch], "cpu", "float32")
        ],
        batch_size=4, shard_size=100, folder=tmp_path,
    )  # fmt: skip
    for item, row in zip(items, prediction.in_order_of(items, found), strict=True):
        context = tokenizer(item["question"])["input_ids"]
        whole = tokenizer(f"{item['question']} {item['references'][0]}")["input_ids"]
        assert whole[: len(context)] == context  # no passage of these shares a token with its last word
        with torch.inference_mode():
            logprobs = model(torch.tensor([whole[:-1]])).logits[0].log_softmax(-1)[len(context) - 1 :]
        target = torch.tensor(whole[len(context) :])
        assert row["logprob"] == pytest.approx(float(logprobs.gather(-1, target[:, None]).sum()), abs=1e-4)
        assert row["greedy"] == bool((logprobs.argmax(-1) == target).all())
    assert 0 < sum(row["greedy"] for row in found) < PASSAGES


def test_llama_cpp_gives_the_log_probabilities_of_transformers(snapshot, model, items, tmp_path):
    pytest.importorskip("xllamacpp", reason="llama.cpp's package is not installed")
    file, original = tmp_path / "language.gguf", checkpoint.original(snapshot, LLAMA, "float32")
    converting.convert(snapshot, original, LLAMA, file, "f32")
    tokenizer = generation.load_tokenizer(snapshot)
    begin = last_word.beginning(tokenizer, "auto")
    passages = [last_word.encode(tokenizer, begin, item, 2048) for item in items[:4]]
    theirs = LlamaCpp(file, model.config, model.generation_config, "cpu")
    found = last_word.score(theirs, tokenizer, passages, "cpu", "gguf")
    wanted = last_word.score(model, tokenizer, passages, "cpu", "float32")
    for (mine, _), (other, _) in zip(found, wanted, strict=True):
        assert mine.logprob == pytest.approx(other.logprob, abs=1e-2)  # nats
