"""Kernels of single layers on a CUDA GPU: each is audited against what its tensors stand for, or says why it is not.

`make test-gpu` runs them. A kernel that this GPU or this installation does not have is skipped with its own sentence.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU on this machine")

from packed_layers import options_of, state_of  # noqa: E402
from torch import nn  # noqa: E402

from bitbudget.measuring import compiling  # noqa: E402
from bitbudget.models.audit.checkpoint_audit import audit_layer  # noqa: E402
from bitbudget.models.formats.base import Layer  # noqa: E402
from bitbudget.models.formats.gptq import RUNS, WIDTHS  # noqa: E402
from bitbudget.registry import format_of  # noqa: E402
from bitbudget.system import machine  # noqa: E402

PACKED = [(kernel, bits) for kernel, (devices, *_) in RUNS.items() if "cuda" in devices for bits in WIDTHS[kernel]]


def linear(dtype: torch.dtype) -> nn.Linear:
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(512, 256)
    layer.weight.data = torch.randn(256, 512, generator=generator) * 512**-0.5
    return layer.to(dtype).eval().requires_grad_(False)


def usable(name: str, options: dict, dtype: torch.dtype) -> None:
    """Skip where the format says that it cannot run here."""
    fmt, float_format = format_of(name), str(dtype).removeprefix("torch.")
    reason = fmt.impossible(options, float_format) or fmt.unfit(options, float_format, machine.look(), "cuda")
    if reason := reason or fmt.unusable(options, "cuda", dtype) or fmt.refusal(512, 256, options, "cuda"):
        pytest.skip(reason)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("kernel", "bits"), PACKED)
def test_gptq_kernels_multiply_what_the_packed_integers_say(kernel: str, bits: int, dtype: torch.dtype) -> None:
    name, original = f"gptq-{bits}", linear(dtype)
    options = options_of(name, kernel=kernel, group_size=128)
    usable(name, options, dtype)
    state = state_of(original, bits, 128)
    shell = nn.Linear(512, 256, device="meta", dtype=dtype)
    made = format_of(name).restore(shell, state, options, "cuda")
    spec = {"format": name} | options
    found = audit_layer(Layer("a", made, "language", spec), original.cuda(), "cuda", state=lambda: state)
    assert found.fault is None
    assert found.kernel


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["torchao-int8-dynamic", "torchao-fp8", "torchao-int8", "torchao-int4", "bnb-int8"])
def test_layers_pass_their_audit_and_answer_one_token(name: str, dtype: torch.dtype) -> None:
    options, original = options_of(name), linear(dtype).cuda()
    usable(name, options, dtype)
    made = format_of(name).quantize(original, options)
    assert audit_layer(Layer("a", made, "language", {"format": name} | options), original, "cuda").fault is None
    one = torch.randn(1, 1, 512, generator=torch.Generator().manual_seed(1)).to("cuda", dtype)
    error = (made(one) - original(one)).float().norm() / original(one).float().norm()
    assert error < (0.15 if name == "torchao-int4" else 0.06)


def test_a_compiled_decoder_gives_the_tokens_of_the_model_as_it_is() -> None:
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    compiling.require_compiler("cuda")
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=4, vocab_size=512,
        pad_token_id=0,
    )  # fmt: skip
    model = LlamaForCausalLM(config).cuda().eval().requires_grad_(False)
    steps = compiling.Steps(model, "cuda")

    @torch.inference_mode()
    def answer(numbers: list[int]) -> torch.Tensor:
        tokens = torch.arange(1, 12, device="cuda").repeat(len(numbers), 1)
        how = GenerationConfig(max_new_tokens=16, min_new_tokens=16, do_sample=False, pad_token_id=0)
        given = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
        return model.generate(**given, generation_config=how, **steps.given(given, how))

    found = compiling.begin(steps, answer, [[0], [0, 0]])
    assert found.decoder, found.remark
    assert found.same_answers
