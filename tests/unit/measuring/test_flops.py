"""The operations of an answer, held against numbers worked out by hand."""

import sys

import pytest
import tiny_models as tiny
import torch
from asked import asked
from PIL import Image
from torch import nn

import count_flops
from bitbudget import files
from bitbudget.measuring import flops
from bitbudget.models import checkpoint
from bitbudget.models.families import parts
from bitbudget.runtimes.transformers import generation


class Reader(nn.Module):
    """A linear layer of 6 x 4 that is called once for each token, and an image layer of 5 x 3 in the first call."""

    def __init__(self):
        super().__init__()
        self.eye, self.linear = nn.Linear(5, 3), nn.Linear(6, 4)

    def forward(self, tokens, image=None):
        if image is not None:
            self.eye(image)
        return self.linear(tokens)


def test_a_linear_layer_takes_two_operations_for_each_weight_and_token():
    """7 tokens at first with an image of 2 patches, then 1 at a time."""
    model = Reader().requires_grad_(False)

    def answer():
        model(torch.zeros(1, 7, 6), torch.zeros(1, 2, 5))
        for _ in range(3):
            model(torch.zeros(1, 1, 6))

    found = flops.count(model, ("eye",), answer)
    assert (found.vision, found.prefill, found.decode) == (2 * 5 * 3 * 2, 2 * 6 * 4 * 7, 2 * 6 * 4 * 3)
    assert found.total == sum(found.operators.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_attention_is_counted_on_a_processor(dtype):
    """2 heads of width 16: 9 queries meet 9 keys, and 9 x 9 weights meet the values."""

    class Attention(nn.Module):
        def forward(self, x):
            return nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)

    model = Attention()
    found = flops.count(model, (), lambda: model(torch.zeros(1, 2, 9, 16, dtype=dtype)))
    assert found.total == 2 * (2 * 2 * 9 * 9 * 16)


def by_hand(prompt, new_tokens, vocabulary):
    """A tiny Llama: 2 layers, hidden size 64, 2 heads and 1 of keys and values (width 32), and an MLP of 128."""
    weights = 2 * (64 * 64 + 2 * 64 * 32 + 64 * 64 + 3 * 64 * 128)
    prefill = 2 * weights * prompt + 2 * 64 * vocabulary + 2 * (4 * prompt * prompt * 64)
    steps = range(prompt + 1, prompt + new_tokens)
    decode = sum(2 * weights + 2 * 64 * vocabulary + 2 * (4 * length * 64) for length in steps)
    return prefill, decode


def answered(model, tokenizer, prompt, new_tokens):
    inputs = {"input_ids": torch.arange(5, 5 + prompt)[None], "attention_mask": torch.ones(1, prompt, dtype=torch.long)}
    how = generation.decoding(model, tokenizer, new_tokens, new_tokens)
    return flops.count(model, (), lambda: model.generate(**inputs, generation_config=how))


@pytest.mark.parametrize(("prompt", "new_tokens"), [(10, 4), (17, 1)])
def test_a_language_model_takes_what_its_layers_take(tmp_path, prompt, new_tokens):
    """Every weight once for each token, attention over all tokens before, and the head once for each new one."""
    folder = tiny.llama(tmp_path)
    model = checkpoint.load_original(folder, tiny.LLAMA, "float32")
    found = answered(model, generation.load_tokenizer(folder), prompt, new_tokens)
    rotary = found.operators.pop("bmm", 0)  # angles of the rotation, where they are a product of matrices
    assert rotary < 0.01 * found.total
    assert found.total - rotary == sum(by_hand(prompt, new_tokens, model.config.vocab_size))


@pytest.mark.parametrize("family", tiny.MAKERS)
def test_every_attention_kernel_gives_the_same_count_and_vision_is_apart(tmp_path, family):
    make, module = tiny.MAKERS[family]
    folder = make(tmp_path)
    model = checkpoint.load_original(folder, module, "float32")
    how = generation.decoding(model, generation.load_processor(folder), 3, 3)
    inputs = tiny.inputs_of(folder, module)
    found = {}
    for kernel in ("sdpa", "eager"):
        model.set_attn_implementation(kernel)
        found[kernel] = flops.count(
            model, parts.vision_modules(module, model), lambda: model.generate(**inputs, generation_config=how)
        )
    assert found["sdpa"].total == found["eager"].total
    assert min(found["sdpa"].vision, found["sdpa"].prefill, found["sdpa"].decode) > 0
    assert any("attention" in name for name in found["sdpa"].operators)


def test_hooks_are_gone_also_after_a_crash():
    model = Reader()

    def crash():
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        flops.count(model, ("eye",), crash)
    assert not any((*m._forward_hooks, *m._forward_pre_hooks) for m in model.modules())


def test_metrics_are_means_with_their_raw_numbers():
    answers = [flops.Flops(1, 10, 100, {"mm": 111}), flops.Flops(3, 30, 300, {"mm": 300, "addmm": 33})]
    found = flops.metrics(answers, sees=True)
    assert found["flops_per_item"]["value"] == 222.0
    assert found["flops_per_item"]["raw"] == [111.0, 333.0]
    assert (found["flops_vision"]["value"], found["flops_decode"]["n"]) == (2.0, 2)
    assert "flops_vision" not in flops.metrics(answers, sees=False)
    assert list(flops.by_operator(answers).items()) == [("mm", 411), ("addmm", 33)]


IDENTITY = {"study": "s", "model": "tiny", "precision": "float32", "condition": "zero-shot", "seed": 53}
SPEC = (
    IDENTITY
    | {"measure": {"items": 3, "new_tokens": 4, "batch_sizes": [8]}, "device": "cpu"}
    | {
        "generation": {"num_beams": 1},
        "track": "lambada",
        "prompt": None,
        "shots": 0,
    }
)


def script(monkeypatch, folder, family, make, items, spec, **more):
    """The record that count_flops writes for a tiny checkpoint."""
    files.write_jsonl(folder / "items.jsonl", items)
    files.write_json(folder / "audit.json", {"checkpoint_hash": "c" * 64})
    files.write_json(folder / "subset.json", {"subset_hash": "5" * 64})
    made = tiny.make_checkpoint(make(folder / "model"), folder / "checkpoint", family)
    given = {"checkpoint": made, "out": folder / "flops.json", "spec": asked("count_flops", SPEC | spec), **more}
    given |= {name: folder / f"{name}.json" for name in ("audit", "subset")} | {"items": folder / "items.jsonl"}
    arguments = [text for name, value in given.items() for text in (f"--{name}", str(value))]
    monkeypatch.setattr(sys, "argv", ["count_flops", *arguments])
    count_flops.main()
    return files.read_json(folder / "flops.json")


def test_the_script_counts_the_answers_that_are_measured(tmp_path, monkeypatch):
    """A model that reads: contexts of different lengths, one after the other, never in a batch with padding."""
    items = [
        {"id": str(k), "images": [], "question": "a b c d " * k, "references": ["e"], "extra": {}} for k in range(1, 6)
    ]
    record = script(monkeypatch, tmp_path, tiny.LLAMA, tiny.llama, items, {"family": "llama", "bos": "auto"})
    raw = record["metrics"]["flops_per_item"]["raw"]
    assert len(raw) == 3, "as many as are measured"
    assert raw == sorted(set(raw)), "a longer context takes more"
    tokenizer = generation.load_tokenizer(tmp_path / "checkpoint")
    vocabulary = checkpoint.load(tmp_path / "checkpoint", tiny.LLAMA, "cpu").config.vocab_size
    prompts = [len(tokenizer(item["question"].rstrip())["input_ids"]) for item in items[:3]]
    hand = [sum(by_hand(prompt, 4, vocabulary)) for prompt in prompts]
    assert raw == pytest.approx(hand, rel=0.01)
    assert record["new_tokens"] == 4
    assert "flops_vision" not in record["metrics"]


def test_the_script_counts_what_a_model_sees_apart(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    Image.linear_gradient("L").resize((40, 30)).convert("RGB").save(tmp_path / "images/one.png")
    files.write_json(tmp_path / "images.json", {"images": {"one": {"file": "images/one.png"}}, "skipped": []})
    items = [{"id": "1", "images": [{"id": "one"}], "question": None, "references": ["a"], "extra": {}}]
    spec = {"family": "llava", "track": "vqa", "prompt": "What?", "shots": 0, "max_side": 64}
    spec |= {"images": {"max_tokens": None, "enlarge": False}}
    record = script(monkeypatch, tmp_path, tiny.LLAVA, tiny.llava, items, spec, images=tmp_path / "images.json")
    found = {name: metric["value"] for name, metric in record["metrics"].items()}
    phases = ("flops_vision", "flops_prefill", "flops_decode")
    assert found["flops_per_item"] == sum(found[name] for name in phases) == sum(record["operators"].values())
    assert min(found.values()) > 0
