"""A compiled decoder gives the tokens of the model as it is, and what cannot be compiled is told and left as it is."""

import pytest
import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from bitbudget.errors import UserError
from bitbudget.measuring import compiling, pooling
from bitbudget.registry import format_of

_compile = torch.compile


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, vocab_size=256,
        max_position_embeddings=512, pad_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval().requires_grad_(False)


@pytest.fixture
def traced(monkeypatch):
    """Dynamo alone, without a compiler behind it, and what it was given: seconds become tenths."""
    torch._dynamo.reset()
    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda function, mode=None, **how: _compile(function, backend=keep, **how))
    return graphs


def answers(model, steps, lengths=(9, 5, 12)):
    """What answers batches of items, whose prompts have these lengths."""

    @torch.inference_mode()
    def answer(numbers):
        longest = max(lengths[number] for number in numbers)
        tokens = torch.zeros(len(numbers), longest, dtype=torch.long)
        for row, number in enumerate(numbers):
            tokens[row, longest - lengths[number] :] = torch.arange(lengths[number]) + 7 * number + 1
        how = GenerationConfig(max_new_tokens=6, min_new_tokens=6, do_sample=False, pad_token_id=0)
        given = {"input_ids": tokens, "attention_mask": (tokens > 0).long()}
        return model.generate(**given, generation_config=how, **steps.given(given, how))

    return answer


def test_steps_of_one_token_are_compiled_once_for_prompts_of_all_lengths(model, traced):
    steps = compiling.Steps(model, "cpu")
    answer = answers(model, steps)
    before = [answer([number]) for number in range(3)]
    found = compiling.begin(steps, answer, compiling.longest_first((9, 5, 12), [2]))
    assert (found.decoder, found.same_answers, found.remark) == (True, True, None)
    assert found.seconds > 0
    graphs = len(traced)
    assert graphs == 2, "one for each batch size"
    for number, expected in enumerate(before):
        assert torch.equal(answer([number]), expected)
    assert torch.equal(answer([2, 1])[0], answer([2])[0])
    model.generate(torch.tensor([[3, 4]]), max_new_tokens=3, do_sample=False)
    assert len(traced) == graphs, "another cache is none of ours"
    steps.stop()
    assert steps.given({}, None) == {}


def test_a_format_on_onednn_is_compiled_without_a_break(model, traced):
    fmt = format_of("torchao-int8-dynamic")
    mlp = model.model.layers[0].mlp
    mlp.up_proj = fmt.quantize(mlp.up_proj, {"kernel": "onednn", "reduce_range": False})
    steps = compiling.Steps(model, "cpu")
    found = compiling.begin(steps, answers(model, steps), [[0]])
    assert found.same_answers
    assert len(traced) == 1
    assert "bitbudget.onednn_int8_product" in traced[0].code


def test_what_cannot_be_compiled_is_told_and_measured_as_it_is(model, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("no kernel for this")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fails)
    steps = compiling.Steps(model, "cpu")
    answer = answers(model, steps)
    before = answer([0])
    found = compiling.begin(steps, answer, [[0]])
    expected = "its decoder could not be compiled (no kernel for this), so it was measured as it is."
    assert found == compiling.Compiled(False, remark=expected)
    assert torch.equal(answer([0]), before)
    repeat = {"repeat": 1, "circumstances": {"compiled": found.circumstances()}, "metrics": {}}
    assert pooling.remarks([repeat | {"provenance": {"commit": "a"}}]) == [f"repeat 1: {expected}"]


def test_other_tokens_than_as_it_is_are_told(model, monkeypatch):
    def wrong(function, **_):
        def changed(*args, **given):
            out = function(*args, **given)
            out.last_hidden_state.neg_()
            return out

        return changed

    monkeypatch.setattr(torch, "compile", wrong)
    steps = compiling.Steps(model, "cpu")
    found = compiling.begin(steps, answers(model, steps), [[0]])
    assert found.decoder and not found.same_answers
    assert "other tokens" in found.remark


def test_without_a_compiler_one_sentence_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    from torch._inductor import cpp_builder

    for name in ("get_cpp_compiler", "check_compiler_exist_windows"):
        if hasattr(getattr(cpp_builder, name), "cache_clear"):
            getattr(cpp_builder, name).cache_clear()
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("no-such-compiler",))
    with pytest.raises(
        UserError, match=r"^`measure.compile` needs a C\+\+ compiler, which is not here: install it, or"
    ):
        compiling.require_compiler("cpu")
    with pytest.raises(UserError, match=r"^`measure.compile` needs the package triton"):
        compiling.require_compiler("cuda")
