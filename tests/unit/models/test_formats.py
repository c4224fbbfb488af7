"""Formats: what goes through a checkpoint comes back the same, and every kernel does what its format's paper says."""

import math

import numpy as np
import packed_layers
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from bitbudget.models.audit.checkpoint_audit import audit_layer, bytes_of, recognise
from bitbudget.models.formats import grid, int4_packed
from bitbudget.models.formats.base import Layer
from bitbudget.models.formats.padded import PaddedLinear
from bitbudget.registry import FORMATS, format_of

# The others are of whole files, and of checkpoints that somebody else made.
OF_LAYERS = [name for name in FORMATS if format_of(name).runtime == "transformers" and name != "as-is"]
# Those that make a layer from its weights alone; GPTQ is in test_gptq.py.
HERE = [name for name in OF_LAYERS if "cpu" in format_of(name).runs_on]
QUANTIZED = [name for name in HERE if not format_of(name).is_float and not format_of(name).calibrated]
FLOATS = [name for name in OF_LAYERS if format_of(name).is_float]
DYNAMIC = "torchao-int8-dynamic"
AWKWARD = [(160, 160), (160, 448), (192, 100), (100, 64)]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


# Round to nearest where a test is about values spread over all levels of a small group, which its defaults are not.
FINE = {"group_size": 64, "symmetric": False}


def fine(name, **chosen):
    """Options for the format: `FINE` for round to nearest, and what is chosen."""
    return (FINE if name.startswith("rtn-") else {}) | chosen


def options_of(name, **chosen):
    """A format's options, with its defaults where nothing is chosen."""
    return {key: rule["default"] for key, rule in format_of(name).options.items()} | chosen


def linear(columns=128, rows=64, dtype=torch.float32, bias=True, seed=0):
    """A layer as training leaves it: Gaussian weights whose rows differ in scale."""
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(columns, rows, bias=bias)
    scales = 10 ** (torch.rand(rows, 1, generator=generator) * 2 - 1)
    layer.weight.data = torch.randn(rows, columns, generator=generator) * scales * columns**-0.5
    if bias:
        layer.bias.data = torch.randn(rows, generator=generator)
    return layer.to(dtype).eval().requires_grad_(False)


def quantized(name, layer, **chosen):
    return format_of(name).quantize(layer, options_of(name, **chosen)).eval()


def restored(name, layer, state, **chosen):
    shell = nn.Linear(
        layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta", dtype=layer.weight.dtype
    )
    return format_of(name).restore(shell, state, options_of(name, **chosen), "cpu").eval()


def audited(name, layer, original, **chosen):
    spec = {"format": name} | options_of(name, **chosen)
    return audit_layer(Layer("the.layer", layer, "language", spec), original, "cpu")


def relative_error(found, exact):
    return ((found - exact).norm() / exact.norm()).item()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", QUANTIZED)
def test_outputs_are_the_same_after_a_way_through_a_file(name, dtype, bias, tmp_path):
    layer = linear(dtype=dtype, bias=bias)
    made = quantized(name, layer, **fine(name))
    state = {key: value.contiguous() for key, value in format_of(name).state(made).items()}
    save_file(state, tmp_path / "layer.safetensors")
    again = restored(name, layer, load_file(tmp_path / "layer.safetensors"), **fine(name))
    x = torch.randn(2, 5, 128, generator=torch.Generator().manual_seed(1)).to(dtype)
    expected = made(x)
    assert expected.shape == (2, 5, 64)
    assert expected.dtype == dtype
    assert torch.equal(again(x), expected)
    assert relative_error(expected.float(), layer(x).float()) < (0.5 if name.endswith("-2") else 0.3)


@pytest.mark.parametrize("name", QUANTIZED)
def test_the_original_layer_is_left_as_it_was(name):
    layer = linear()
    weight, bias = layer.weight.clone(), layer.bias.clone()
    quantized(name, layer)(torch.ones(1, 128))
    assert torch.equal(layer.weight, weight)
    assert torch.equal(layer.bias, bias)


def test_int8_state_is_the_same_before_and_after_the_first_forward_pass():
    """Linear8bitLt moves its scales when it is first called."""
    made = quantized("bnb-int8", linear())
    before = {key: value.clone() for key, value in format_of("bnb-int8").state(made).items()}
    made(torch.ones(1, 128))
    after = format_of("bnb-int8").state(made)
    assert before.keys() == after.keys() == {"weight", "SCB", "bias"}
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("after_forward", [False, True])
def test_every_layer_is_recognised_as_its_own_format_and_no_other(after_forward):
    for name in HERE:
        dtype = getattr(torch, name) if name in FLOATS else torch.bfloat16
        layer = linear(dtype=dtype)
        if format_of(name).calibrated:
            layer = packed_layers.kernel_of(name, layer)
        elif name not in FLOATS:
            layer = quantized(name, layer)
        if after_forward:
            layer(torch.ones(1, 128, dtype=dtype))
        assert [other for other in FORMATS if format_of(other).recognises(layer)] == [name]
        assert recognise(layer) == name


def test_neighbours_of_the_formats_are_not_taken_for_them():
    import bitsandbytes as bnb
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, PerTensor, quantize_

    layer = bnb.nn.Linear4bit(128, 64, quant_type="fp4", bias=False)
    assert recognise(layer) == "unknown", "not quantized yet"
    coarse = bnb.nn.Params4bit(torch.randn(64, 128), requires_grad=False, quant_type="nf4", blocksize=128)
    for weight in (
        bnb.nn.Params4bit(torch.randn(64, 128), requires_grad=False, quant_type="fp4", blocksize=64),
        coarse,
    ):
        layer.weight = weight.to("cpu")
        assert layer.weight.bnb_quantized
        assert recognise(layer) == "unknown"
    dynamic = linear()
    quantize_(dynamic, Int8DynamicActivationInt8WeightConfig(granularity=PerTensor(), set_inductor_config=False))
    assert recognise(dynamic) == "unknown", "one scale for all tokens"


# --- what each format's definition says, worked out again in numpy ---


def small_matrix():
    return np.random.default_rng(5).normal(size=(6, 128)).astype(np.float32) * np.logspace(-2, 2, 6)[:, None]


def reference_of(name, matrix, **chosen):
    return format_of(name).reference(torch.from_numpy(matrix).float(), options_of(name, **chosen)).numpy()


@pytest.mark.parametrize(("name", "steps"), [("bnb-int8", 127), ("torchao-int8", 127.5), (DYNAMIC, 127.5)])
def test_int8_reference_is_rows_over_half_the_steps(name, steps):
    """torchao's 255 steps reach from -max to max; int8 ends one half before."""
    matrix = small_matrix().astype(np.float32)
    scales = abs(matrix).max(1, keepdims=True) / np.float32(steps)
    expected = np.clip(np.rint(matrix / scales), -128, 127) * scales
    np.testing.assert_allclose(reference_of(name, matrix), expected, rtol=1e-5)


def test_nf4_reference_is_the_nearest_of_16_values_a_block():
    from bitsandbytes.functional import get_4bit_type

    matrix = small_matrix().astype(np.float32)
    values = get_4bit_type("nf4", device="cpu").numpy()
    np.testing.assert_array_equal(np.array(grid.NF4, dtype=np.float32), values)
    expected = np.empty_like(matrix)
    for row in range(6):
        for start in (0, 64):
            block = matrix[row, start : start + 64]
            top = abs(block).max()
            expected[row, start : start + 64] = [values[np.argmin(abs(values - w / top))] * top for w in block]
    np.testing.assert_allclose(reference_of("bnb-nf4", matrix), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "bits"), [("rtn-2", 2), ("rtn-3", 3), ("rtn-4", 4), ("rtn-8", 8), ("torchao-int4", 4)]
)
def test_asymmetric_reference_spreads_its_levels_from_least_to_largest(name, bits):
    matrix = small_matrix().astype(np.float32)
    expected = np.empty_like(matrix)
    for row in range(6):
        for start in range(0, 128, 32):
            block = matrix[row, start : start + 32].astype(np.float64)
            levels = np.linspace(block.min(), block.max(), 2**bits)
            expected[row, start : start + 32] = [levels[np.argmin(abs(levels - w))] for w in block]
    found = reference_of(name, matrix, **fine(name, group_size=32))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert max(len(np.unique(group)) for group in found.reshape(-1, 32)) <= 2**bits


def test_the_levels_of_rtn_at_2_bits():
    """By default three of a symmetric grid for a whole row; else four from the least to the largest of each group."""
    row = np.array([[0.0, 1.1, 1.9, 3.0, -6.0, 0.4, 2.9, 3.0]])
    np.testing.assert_allclose(reference_of("rtn-2", row), [[0, 0, 0, 0, -6, 0, 0, 0]])
    np.testing.assert_allclose(reference_of("rtn-2", row, group_size=4), [[0, 0, 3, 3, -6, 0, 0, 0]])
    asymmetric = reference_of("rtn-2", row, group_size=4, symmetric=False)
    np.testing.assert_allclose(asymmetric, [[0, 1, 2, 3, -6, 0, 3, 3]], atol=1e-6)
    even = np.tile(np.linspace(-1, 1, 64), (10, 1))
    many = np.random.default_rng(8).permuted(even, axis=1).reshape(5, 128)
    for bits in (2, 3, 4):
        whole_rows = reference_of(f"rtn-{bits}", many)
        assert [len(np.unique(one)) for one in whole_rows] == [2**bits - 1] * 5
        groups = reference_of(f"rtn-{bits}", many, group_size=64, symmetric=False).reshape(-1, 64)
        assert [len(np.unique(one)) for one in groups] == [2**bits] * 10


def test_symmetric_rtn_at_2_bits_keeps_three_levels_and_zero():
    found = reference_of("rtn-2", np.array([[0.6, -1.0, 0.4, 0.0]]), group_size=0, symmetric=True)
    np.testing.assert_allclose(found, [[1.0, -1.0, 0.0, 0.0]])


@pytest.mark.parametrize("name", QUANTIZED)
def test_a_matrix_of_zeros_stays_one(name):
    layer = nn.Linear(128, 64, bias=False).eval().requires_grad_(False)
    layer.weight.zero_()
    assert not format_of(name).reference(layer.weight, options_of(name)).any()
    assert not quantized(name, layer)(torch.ones(1, 128)).any()


def gaussian(rows=256, columns=1024):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(3))


def test_golden_nf4_loses_nine_percent_of_gaussian_weights():
    assert relative_error(reference("bnb-nf4"), gaussian()) == pytest.approx(0.09, abs=0.004)


def reference(name, **chosen):
    return format_of(name).reference(gaussian(), options_of(name, **chosen))


def test_int8_rows_lose_a_step_over_the_root_of_twelve():
    """Weights of unit variance lie evenly within steps of (largest magnitude / 127) (Bennett 1948)."""
    step = gaussian().abs().amax(1) / 127
    expected = math.sqrt((step**2 / 12).mean())
    for name in ("bnb-int8", "torchao-int8"):
        assert relative_error(reference(name), gaussian()) == pytest.approx(expected, rel=0.03)
    assert expected < 0.01


@pytest.mark.parametrize(("name", "levels"), [("rtn-4", 15), ("rtn-8", 255), ("torchao-int4", 15)])
def test_asymmetric_rounding_loses_a_step_over_the_root_of_twelve(name, levels):
    groups = gaussian().reshape(-1, 64)
    step = (groups.amax(1) - groups.amin(1)) / levels
    expected = math.sqrt((step**2 / 12).mean())
    assert relative_error(reference(name, **fine(name)), gaussian()) == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", QUANTIZED)
def test_the_kernel_does_what_the_definition_says(name, dtype):
    original = linear(256, 128, dtype)
    found = audited(name, quantized(name, original), original)
    assert found.fault is None
    assert found.found == name
    assert found.relative_error == pytest.approx(found.promised_error, rel=0.1, abs=2e-3)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [8, 4, 3, 2])
def test_rtn_on_gptqs_grid_passes_the_audit(bits, symmetric):
    original, chosen = linear(256, 128, torch.bfloat16), {"gptq_grid": True, "group_size": 64, "symmetric": symmetric}
    found = audited(f"rtn-{bits}", quantized(f"rtn-{bits}", original, **chosen), original, **chosen)
    assert found.fault is None
    assert found.relative_error == pytest.approx(found.promised_error, rel=0.1, abs=2e-3)


@pytest.mark.parametrize("chosen", [{"double_quant": True}, {"double_quant": False}])
def test_nf4_with_and_without_quantized_scales(chosen):
    layer = linear(128, 64)
    made = quantized("bnb-nf4", layer, **chosen)
    words = format_of("bnb-nf4").storage(made)
    assert ("nested" in words) is chosen["double_quant"]
    state = format_of("bnb-nf4").state(made)
    again = restored("bnb-nf4", layer, {k: v.clone() for k, v in state.items()}, **chosen)
    x = torch.randn(3, 128)
    assert torch.equal(made(x), again(x))


def test_int8_with_and_without_outlier_columns():
    layer = linear(128, 64)
    x = torch.randn(4, 128)
    x[:, 7] = 40.0
    error = {t: relative_error(quantized("bnb-int8", layer, threshold=t)(x), layer(x)) for t in (6.0, 0.0)}
    assert error[6.0] < error[0.0] / 2, "an outlier column takes the others' bits unless it is multiplied apart"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("columns", "rows"), AWKWARD)
def test_nf4_is_right_where_the_shape_does_not_fill_its_blocks(columns, rows, dtype):
    original = linear(columns, rows, dtype)
    made = quantized("bnb-nf4", original)
    found = audited("bnb-nf4", made, original)
    assert found.fault is None
    assert 0.08 < found.relative_error < 0.10
    x = torch.randn(3, columns, generator=torch.Generator().manual_seed(4)).to(dtype)
    state = {key: value.clone() for key, value in format_of("bnb-nf4").state(quantized("bnb-nf4", original)).items()}
    again = restored("bnb-nf4", original, state)
    assert made(x).shape == (3, rows)
    assert torch.equal(made(x), again(x))
    assert relative_error(made(x).float(), original(x).float()) < 0.15


@pytest.mark.parametrize("wrong", ["shifted", "failing"])
def test_a_kernel_that_is_wrong_for_a_shape_is_found_out(wrong, monkeypatch):
    """Class, dtypes and tensors are as asked, only what is multiplied is not. Which shapes bitsandbytes' own kernel is
    wrong for depends on the processor, so the fault is planted."""
    original = linear(160, 448, torch.bfloat16)
    made = quantized("bnb-nf4", original)
    right = made.inner.forward

    def shifted(x):
        return right(x.roll(1, -1))

    def failing(_):
        raise RuntimeError("no kernel for 160 columns")

    monkeypatch.setattr(made.inner, "forward", {"shifted": shifted, "failing": failing}[wrong])
    fault = audited("bnb-nf4", made, original).fault
    if wrong == "failing":
        assert fault == "cannot be used, because its kernel fails on it (no kernel for 160 columns)"
    else:
        assert fault.startswith("has a kernel whose sums are off by 1.")


def test_blocks_that_cross_rows_are_not_the_formats():
    """bitsandbytes' own layer in place of ours: where rows do not fill whole blocks, its blocks run on across rows."""
    import bitsandbytes as bnb

    original = linear(160, 448, torch.bfloat16, bias=False)
    raw = bnb.nn.Linear4bit(160, 448, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4").eval()
    raw.weight = bnb.nn.Params4bit(original.weight.clone(), requires_grad=False, quant_type="nf4", blocksize=64).to(
        "cpu"
    )
    found = audited("bnb-nf4", raw, original)
    assert found.found == "bnb-nf4"
    assert found.fault.startswith(
        "does not hold the tensors of a bnb-nf4 layer of its shape (1120 blocks of 64 instead"
    )


@pytest.mark.parametrize("name", QUANTIZED)
def test_a_large_bias_does_not_hide_or_fake_a_fault(name):
    """Sums with a bias of hundreds (Qwen2's) are rounded much more coarsely than the weights alone."""
    original = linear(128, 64, torch.bfloat16)
    original.bias.mul_(300)
    made = quantized(name, original)
    bias = made.bias.clone()
    assert audited(name, made, original).fault is None
    assert torch.equal(made.bias, bias)


@pytest.mark.parametrize(
    ("name", "chosen", "shape", "reason"),
    [
        ("torchao-int4", {}, (96, 64), "its 96 input features are no multiple of the group size 64"),
        ("torchao-int4", {"group_size": 32}, (96, 40), "its 40 output features are no multiple of 16"),
        ("rtn-3", {"group_size": 64}, (100, 64), "its 100 input features are no multiple of the group size 64"),
    ],
)
def test_shapes_that_a_format_cannot_take(name, chosen, shape, reason):
    assert format_of(name).refusal(*shape, options_of(name, **chosen), "cpu") == reason


@pytest.mark.parametrize(("name", "chosen"), [("rtn-3", {}), ("torchao-int4", {"group_size": 32}), ("bnb-nf4", {})])
def test_shapes_that_a_format_can_take(name, chosen):
    assert format_of(name).refusal(96, 64, options_of(name, **chosen), "cpu") is None


def test_bytes_are_those_of_the_packed_weights_scales_and_bias():
    """128 x 64 weights and 64 biases in float32; each storage once, before and after the first forward pass."""
    weights, bias = 128 * 64, 4 * 64
    expected = {
        "bnb-int8": weights + 4 * 64 + bias,
        "bnb-nf4": weights // 2 + weights // 64 * 4 + bias,
        "torchao-int8": weights + 4 * 64 + 64 + bias,  # one byte a row is its zero point
        "rtn-4": 4 * weights + bias,
    }
    for name, size in expected.items():
        made = quantized(name, linear(128, 64))
        assert bytes_of(made) == size, name
        made(torch.ones(1, 128))
        assert bytes_of(made) <= size, name
        assert bytes_of(made) > 0.9 * size, name


def test_bytes_of_nested_scales_are_counted():
    plain, nested = (quantized("bnb-nf4", linear(1024, 64), double_quant=on) for on in (False, True))
    scales = 1024 * 64 // 64
    assert bytes_of(plain) - bytes_of(nested) == 4 * scales - (scales + 4 * scales // 256)


@pytest.mark.parametrize("name", FLOATS + QUANTIZED)
def test_only_float_and_simulated_formats_claim_no_packing(name):
    found = format_of(name)
    layer = linear(256, 64, torch.float16, bias=False)
    if not found.is_float:
        layer = quantized(name, layer)
        packed = bytes_of(layer) < 0.8 * 2 * 256 * 64
        assert packed != found.simulated
        assert found.kernel(layer)
        assert ("simulated" in found.storage(layer)) == found.simulated


def test_a_padded_layer_looks_like_its_own_shape():
    inner = nn.Linear(8, 6, bias=False).requires_grad_(False)
    layer = PaddedLinear(inner, 5, 4, torch.arange(4.0))
    x = torch.randn(2, 3, 5)
    expected = x @ inner.weight[:4, :5].T + torch.arange(4.0)
    torch.testing.assert_close(layer(x), expected)
    assert (layer.in_features, layer.out_features) == (5, 4)


def test_blueprints_of_torchao_are_made_once_a_shape(monkeypatch):
    """Restoring must not quantize a matrix for every layer of a large model."""
    found = format_of("torchao-int8")
    layer = linear(256, 48)
    state = found.state(quantized("torchao-int8", layer))
    restored("torchao-int8", layer, state)
    monkeypatch.setattr(type(found), "quantize", lambda *_: pytest.fail("quantized again"))
    again = restored("torchao-int8", layer, state)
    assert recognise(again) == "torchao-int8"


@pytest.mark.parametrize("run", [64, 48, 16])
@pytest.mark.parametrize("rows", [16, 64, 208])
def test_packed_integers_come_back_in_order_whatever_the_packer_takes_together(monkeypatch, rows, run):
    """Where other rows are packed together than was thought, the packer is asked for the whole matrix."""
    monkeypatch.setattr(int4_packed, "RUN", run)
    wanted = torch.randint(0, 16, (rows, 96), generator=torch.Generator().manual_seed(rows), dtype=torch.int32)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(wanted, 1)
    assert torch.equal(int4_packed.unpack(packed, (rows, 96)).int(), wanted)
