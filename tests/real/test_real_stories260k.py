"""A really trained language model, stories260K of llama2.c, through our Llama, our formats and our scores."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_models as tiny
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from bitbudget import registry
from bitbudget.models import checkpoint
from bitbudget.models.formats import grid, rtn
from bitbudget.runtimes.transformers import generation, last_word

FOLDER = Path(__file__).parents[3] / "shared" / "real" / "stories260K"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"{FOLDER} is not there: the real files stand beside the checkout of the project"
)

# Bits: mean negative log-likelihood of the 200 reference tokens, and how many of them are the likeliest.
ROUNDED = {8: (0.4768, 198), 6: (0.4745, 196), 4: (0.6129, 167), 3: (2.667, 71)}


@pytest.fixture(scope="module")
def ids():
    """What the model writes after its BOS, token 1, always taking the likeliest."""
    return json.loads((FOLDER / "greedy_reference.json").read_text())["greedy_ids"]


@pytest.fixture(scope="module")
def original():
    """The file as a Llama of transformers.

    llama2.c, version 0 (run.c and export.py of github.com/karpathy/llama2.c): seven int32, then float32 tensors, layer
    by layer for each kind of matrix; the classifier is the embeddings. It rotates neighbouring features, transformers
    those half a head apart, so the rows of the queries and keys of each head come in another order.
    """
    content = (FOLDER / "stories260K.restored.bin").read_bytes()
    dim, hidden, layers, heads, kv_heads, vocabulary, positions = np.frombuffer(content, np.int32, 7).tolist()
    numbers = torch.from_numpy(np.frombuffer(content, np.float32, offset=28).copy())

    def take(*shape):
        nonlocal numbers
        taken, numbers = numbers[: math.prod(shape)], numbers[math.prod(shape) :]
        return taken.view(shape)

    def halves(matrices, count):
        return matrices.view(layers, count, -1, 2, dim).transpose(2, 3).reshape(matrices.shape)

    kv = dim // heads * kv_heads
    state = {"model.embed_tokens.weight": take(vocabulary, dim)}
    stacks = {
        "input_layernorm": take(layers, dim),
        "self_attn.q_proj": halves(take(layers, dim, dim), heads),
        "self_attn.k_proj": halves(take(layers, kv, dim), kv_heads),
        "self_attn.v_proj": take(layers, kv, dim),
        "self_attn.o_proj": take(layers, dim, dim),
        "post_attention_layernorm": take(layers, dim),
        "mlp.gate_proj": take(layers, hidden, dim),
        "mlp.down_proj": take(layers, dim, hidden),
        "mlp.up_proj": take(layers, hidden, dim),
    }
    state |= {f"model.layers.{k}.{name}.weight": all_[k] for name, all_ in stacks.items() for k in range(layers)}
    state["model.norm.weight"] = take(dim)
    assert numbers.numel() == positions * dim // heads, "what is left are the cosines and sines of the rotation"
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=dim, intermediate_size=hidden, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv_heads, max_position_embeddings=positions, rms_norm_eps=1e-5,
        bos_token_id=1, eos_token_id=2, tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    report = model.load_state_dict(state, strict=False)
    assert (report.missing_keys, report.unexpected_keys) == (["lm_head.weight"], [])
    return model.eval()


def through_a_checkpoint(original, folder, bits=None):
    """The model as our checkpoint code makes, writes and reads it, in the bits or as it is.

    The published numbers round the embeddings, too, which are the classifier. Our formats take linear layers alone, so
    the embeddings are rounded here; rounding what they give to the classifier once more changes nothing.
    """
    model = LlamaForCausalLM(original.config)
    model.load_state_dict(original.state_dict())
    if bits:
        embeddings = original.model.embed_tokens.weight.data
        model.model.embed_tokens.weight.data = grid.symmetric(embeddings, bits, 0).nearest(embeddings)
    model.save_pretrained(folder / "source")
    chosen = {"language": f"rtn-{bits}", "head": f"rtn-{bits}"} if bits else {}
    tiny.make_checkpoint(folder / "source", folder / "checkpoint", tiny.LLAMA, "float32", **chosen)
    return checkpoint.load(folder / "checkpoint", tiny.LLAMA, "cpu")


def teacher_forced(model, ids):
    """Mean negative log-likelihood of the ids after BOS, and how many are the likeliest."""
    with torch.no_grad():
        logits = model(torch.tensor([[1, *ids[:-1]]])).logits[0]
    wanted = torch.tensor(ids)
    return torch.nn.functional.cross_entropy(logits, wanted).item(), int((logits.argmax(-1) == wanted).sum())


def test_it_writes_the_reference(original, ids, tmp_path):
    model = through_a_checkpoint(original, tmp_path)
    begin = last_word.padded(SimpleNamespace(pad_token_id=None, eos_token_id=2), [[1]], "cpu")
    tokenizer = SimpleNamespace(eos_token_id=2, pad_token_id=2)
    wrote = model.generate(**begin, generation_config=generation.decoding(model, tokenizer, 200, 200))
    assert wrote[0, 1:].tolist() == ids
    loss, hits = teacher_forced(model, ids)
    assert (round(loss, 4), hits) == (0.4734, 200)


def test_scoring_the_last_word_gives_the_same_numbers(original, ids):
    """The 200 tokens taken for one long word, read after BOS; and beside a shorter one in a batch."""
    tokenizer = SimpleNamespace(pad_token_id=None, eos_token_id=2, decode=lambda *_, **__: "")
    whole = last_word.Passage("whole", [1], ids, False, False)
    part = last_word.Passage("part", [1, *ids[:150]], ids[150:], False, False)
    ((alone, _),) = last_word.score(original, tokenizer, [whole], "cpu", "float32")
    (again, _), (rest, _) = last_word.score(original, tokenizer, [whole, part], "cpu", "float32")
    assert alone.greedy and again.greedy and rest.greedy
    assert (alone.rank, rest.rank, rest.prompt_tokens) == (1, 1, 151)
    assert round(-alone.logprob / 200, 4) == round(-again.logprob / 200, 4) == 0.4734


@pytest.mark.parametrize("bits", ROUNDED)
def test_round_to_nearest_costs_what_was_published(original, ids, tmp_path, monkeypatch, bits):
    """Weights alone, symmetric, one scale a row."""
    name = f"rtn-{bits}"
    monkeypatch.setitem(registry.FORMATS, name, "bitbudget.models.formats.rtn")
    monkeypatch.setitem(rtn.FORMATS, name, rtn.FORMATS.get(name, rtn.RoundToNearest(bits)))
    loss, hits = teacher_forced(through_a_checkpoint(original, tmp_path, bits), ids)
    expected, expected_hits = ROUNDED[bits]
    assert loss == pytest.approx(expected, rel=2e-4)
    assert hits == expected_hits
