"""Formats that round activations too: each of their kernels is probed, and a wrong one is caught."""

import os
import subprocess
import sys

import pytest
import torch
from test_formats import audited, linear, options_of, quantized, restored

from bitbudget.registry import format_of
from bitbudget.system.machine import AVX2, Gpu, Machine

INT8 = "torchao-int8-dynamic"
KERNELS = {"torchao": "torchao.kernel.int_scaled_matmul", "onednn": "torch.ops.onednn.qlinear_pointwise"}
LAPTOP = Machine("Intel Core i5-8250U", False, AVX2, int8_overflows=True)
ADA, AMPERE = (Machine("Intel Xeon", False, AVX2, Gpu("a GPU", (8, minor))) for minor in (9, 6))


@pytest.mark.parametrize("reduce_range", [False, True])
@pytest.mark.parametrize("kernel", ["torchao", "onednn"])
def test_both_kernels_multiply_the_same_integers(kernel, reduce_range):
    chosen, original = {"kernel": kernel, "reduce_range": reduce_range}, linear(256, 128)
    made = quantized(INT8, original, **chosen)
    state = format_of(INT8).state(made)
    found = audited(INT8, made, original, **chosen)
    assert found.fault is None
    assert found.kernel == KERNELS[kernel]
    assert found.bytes == 256 * 128 + 4 * 128 * 2 + (128 * 4 if kernel == "onednn" else 128)
    other = restored(INT8, original, state, **chosen | {"kernel": "torchao" if kernel == "onednn" else "onednn"})
    inputs = torch.randn(2, 3, 256, generator=torch.Generator().manual_seed(1))
    inputs[..., 0] = 9  # a largest value below zero is a tie between two integers
    torch.testing.assert_close(made(inputs), other(inputs), rtol=1e-4, atol=1e-4)


def test_activations_have_a_scale_each_token():
    """A large token beside a small one takes none of its digits."""
    made, original = quantized(INT8, linear(bias=False)), linear(bias=False)
    inputs = torch.randn(2, 128, generator=torch.Generator().manual_seed(2)) * torch.tensor([[1e-3], [1e3]])
    error = (made(inputs) - original(inputs)).norm(dim=1) / original(inputs).norm(dim=1)
    assert error.max() < 0.02


@pytest.mark.parametrize(
    ("spoil", "asked"),
    [
        (lambda layer: setattr(layer, "top", 63), False),
        (lambda layer: setattr(layer, "top", 127), True),
        (lambda layer: layer.scale.mul_(1.01), False),
    ],
    ids=["activations of 7 bits", "activations of 8 bits unasked", "scales"],
)
def test_a_kernel_that_multiplies_otherwise_is_caught(spoil, asked):
    made = quantized(INT8, linear(), reduce_range=asked)
    spoil(made)
    assert audited(INT8, made, linear(), reduce_range=asked).fault


def test_a_processor_whose_sums_overflow_is_told_and_the_audit_sees_it():
    """oneDNN held to AVX2, as on a laptop without VNNI: full range is refused, and reduced range is exact."""
    assert "reduce_range" in format_of(INT8).unfit(options_of(INT8), "float32", LAPTOP, "cpu")
    assert format_of(INT8).unfit(options_of(INT8, reduce_range=True), "float32", LAPTOP, "cpu") is None
    code = (
        "import torch, test_formats as t\n"
        "f = t.format_of(t_name := 'torchao-int8-dynamic')\n"
        "for reduce in (False, True):\n"
        "    o = t.options_of(t_name, reduce_range=reduce)\n"
        "    layer = t.linear(256, 128)\n"
        "    layer.weight.data = layer.weight.data.sign() * (1 - 1e-3 * torch.rand(128, 256))\n"
        "    found = t.audited(t_name, t.quantized(t_name, layer, reduce_range=reduce), layer, reduce_range=reduce)\n"
        "    print(f.unusable(o, 'cpu', torch.float32) is None, found.fault is None)\n"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    held = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", code], env=held, capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[:2] == ["False False", "True True"], done.stderr


def test_torchaos_own_kernel_is_refused_beside_float16():
    """Its sums overflow: an input of 1000 gives infinities."""
    options = options_of(INT8, kernel="torchao")
    assert "float16" in format_of(INT8).unusable(options, "cpu", torch.float16)
    assert "float16" in format_of(INT8).unfit(options_of(INT8), "float16", ADA, "cuda")
    assert format_of(INT8).unfit(options_of(INT8), "bfloat16", ADA, "cuda") is None
    layer, inputs = linear(2048, 64, torch.float16), torch.ones(1, 2048, dtype=torch.float16)
    inputs[0, ::50] = 1000
    assert quantized(INT8, layer)(inputs).isfinite().all()
    assert format_of(INT8).quantize(layer, options)(inputs).isinf().any()


def test_float8_needs_a_gpu_that_has_it():
    fp8 = format_of("torchao-fp8")
    assert "needs a GPU of compute capability 8.9 or later" in fp8.unfit({}, "bfloat16", LAPTOP, "cpu")
    assert "8.9" in fp8.unfit({}, "bfloat16", AMPERE, "cuda")
    assert fp8.unfit({}, "bfloat16", ADA, "cuda") is None
    assert "bfloat16 only" in fp8.unfit({}, "float16", ADA, "cuda")
    assert "GPU" in fp8.unusable({}, "cpu", torch.bfloat16)


def test_float8_is_what_its_definition_says(monkeypatch):
    """torchao's tensors are made on a processor here, where its own check would refuse; the product is a GPU's."""
    import torchao.quantization.quant_api

    monkeypatch.setattr(torchao.quantization.quant_api, "_check_hardware_support", lambda granularity: None)
    layer = linear(256, 128, torch.bfloat16)
    fp8, made = format_of("torchao-fp8"), quantized("torchao-fp8", layer)
    assert fp8.recognises(made)
    state = fp8.state(made)
    held = fp8.held(state, (128, 256), {})
    exact = layer.weight.float()
    torch.testing.assert_close(held.weights(), fp8.reference(layer.weight, {}), rtol=0, atol=0)
    # numbers of 4 significant bits: the largest relative error of a normal one is 2^-4
    normal = exact.abs() > exact.abs().amax(1, keepdim=True) / 448 * 2**-6
    assert ((held.weights() - exact).abs() / exact.abs())[normal].max() <= 2**-4 * 1.01
    inputs = fp8.probes(torch.randint(0, 2, (32, 256)).to(torch.bfloat16) * 2 - 1, {})
    scale = inputs.abs().amax(1, keepdim=True).float() / 448
    torch.testing.assert_close((inputs.float() / scale).to(torch.float8_e4m3fn).float() * scale, inputs.float())
    again = restored("torchao-fp8", layer, state)
    assert torch.equal(again.weight.qdata.float(), made.weight.qdata.float())
