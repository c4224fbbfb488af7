"""GPTQ: packed integers are read as the library packs them, kernels do what these say, and exactly what was asked for
is quantized."""

import functools
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import packed_layers
import pytest
import tiny_models as tiny
import torch
from asked import asked
from packed_layers import kernel_of, options_of, state_of
from safetensors.torch import load_file, save_file
from torch import nn

import warm
from bitbudget import files
from bitbudget.errors import UserError
from bitbudget.models import checkpoint
from bitbudget.models.audit import checkpoint_audit
from bitbudget.models.calibration import quantizing
from bitbudget.models.calibration.inputs import inputs_of
from bitbudget.models.formats import gptq_kernels, gptq_quantize, grid, packed
from bitbudget.models.formats.base import Calibration, Layer
from bitbudget.models.formats.gptq import LAYER_MS, WIDTHS, kernel_for
from bitbudget.models.formats.gptq import RUNS as RUNS_ON
from bitbudget.models.formats.gptq_library import gptqmodel_library, silent_gptqmodel
from bitbudget.records import _validator
from bitbudget.registry import format_of
from bitbudget.runtimes.transformers import calibration as calibration_inputs
from bitbudget.system.machine import AVX2

if importlib.util.find_spec("gptqmodel") is None:
    pytest.skip("GPTQModel is not installed, whose installation needs a C compiler", allow_module_level=True)

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"
BITS = [8, 4, 3, 2]
# What runs on a CPU: kernel, bits, symmetric, dtypes.
HALF, ALL = [torch.bfloat16, torch.float16], [torch.bfloat16, torch.float16, torch.float32]
RUNS = [
    *[("torch", bits, symmetric, ALL) for bits in BITS for symmetric in (True, False)],
    *[("torch-int8", bits, symmetric, ALL) for bits in (8, 4, 2) for symmetric in (True, False)],
    *[("torch-aten", 4, symmetric, HALF) for symmetric in (True, False)],
    ("torch-fused", 4, True, ALL),
]
TEXTS = [
    f"{who} went {where} and saw {what}, and {what} saw {who}, and then {who} went home to {what}."
    for who in ("the cat", "an old friend", "she", "the red dog")
    for where in ("to his house", "home", "on and on")
    for what in ("the mat", "a dog", "his friend")
]


def linear(columns=128, rows=64, dtype=torch.bfloat16, bias=True, seed=0):
    """A layer as training leaves it: Gaussian weights whose rows differ in scale."""
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(columns, rows, bias=bias)
    scales = 10 ** (torch.rand(rows, 1, generator=generator) * 2 - 1)
    layer.weight.data = torch.randn(rows, columns, generator=generator) * scales * columns**-0.5
    if bias:
        layer.bias.data = torch.randn(rows, generator=generator)
    return layer.to(dtype).eval().requires_grad_(False)


def audited(bits, made, original, state, **chosen):
    name = f"gptq-{bits}"
    spec = {"format": name} | options_of(name, **({"group_size": 32} | chosen))
    return checkpoint_audit.audit_layer(
        Layer("the.layer", made, "language", spec), original, "cpu", state=lambda: state
    )


# --- packed integers ---


@pytest.mark.parametrize("bits", BITS)
def test_integers_are_unpacked_as_numpy_packed_them(bits):
    values = np.random.default_rng(bits).integers(0, 2**bits, (160, 7))
    words = packed_layers.pack(values, bits)
    assert words.dtype == torch.int32
    assert words.shape == (160 * bits // 32, 7)
    np.testing.assert_array_equal(packed.unpack(words, bits).numpy(), values)


@pytest.mark.parametrize("bits", BITS)
def test_integers_are_unpacked_as_gptqmodel_packs_them(bits):
    """Its own packer is given weights that lie on a grid; what is read from its words are these weights."""
    gptqmodel_library()
    layer, size = linear(128, 64, torch.float32), 32
    blocks = layer.weight.reshape(64, -1, size)
    scale = ((blocks.amax(-1) - blocks.amin(-1)) / (2**bits - 1)).half().float()
    zero = (-blocks.amin(-1) / scale).round()
    values = ((blocks / scale[..., None]).round() + zero[..., None]).clamp(0, 2**bits - 1)
    layer.weight.data = (scale[..., None] * (values - zero[..., None])).reshape(64, 128)
    made = gptq_kernels._class("torch")(
        bits=bits, group_size=size, sym=False, desc_act=False, in_features=128, out_features=64, bias=True,
        pack_dtype=torch.int32, register_buffers=False,
    )  # fmt: skip
    made.pack(layer, scale, zero, torch.arange(128, dtype=torch.int32) // size)
    state = {name: getattr(made, name) for name in gptq_kernels.TENSORS}
    torch.testing.assert_close(packed.dequantize(state, bits), layer.weight.data, rtol=1e-6, atol=0)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", BITS)
def test_the_grid_of_rtn_is_gptqs_own(bits, symmetric):
    """Against GPTQModel's Quantizer, to the last bit; also groups without a negative or a positive value, or any."""
    library = gptqmodel_library()
    weight = torch.randn(200, 64, generator=torch.Generator().manual_seed(1))
    weight[0], weight[1], weight[2], weight[3] = 0, weight[1].abs(), -weight[2].abs(), 1
    with silent_gptqmodel():
        from gptqmodel.quantization.quantizer import Quantizer

        config = library.QuantizeConfig(bits=bits, group_size=16, sym=symmetric, offload_to_disk=False)
        quantizer = Quantizer(config)
        quantizer.configure(perchannel=True)
        expected = torch.empty_like(weight)
        for first in range(0, 64, 16):
            quantizer.find_params(weight[:, first : first + 16], weight=True)
            expected[:, first : first + 16] = quantizer.quantize(weight[:, first : first + 16])
    options = options_of(f"rtn-{bits}", gptq_grid=True, group_size=16, symmetric=symmetric)
    assert torch.equal(format_of(f"rtn-{bits}").reference(weight, options), expected)
    assert torch.equal(grid.gptq(weight, bits, 16, symmetric).nearest(weight), expected)
    assert len(expected[5, :16].unique()) <= 2**bits


def test_gptqs_grid_is_not_rtns_own():
    row = torch.tensor([[0.0, 1.1, 1.9, 3.0, -6.0, 0.4, 2.9, 3.0]])
    found = format_of("rtn-2").reference(row, options_of("rtn-2", gptq_grid=True))
    torch.testing.assert_close(found, torch.tensor([[0.0, 0, 0, 4, -8, 0, 4, 4]]))  # a step of 12 / 3, and -8 .. 4


# --- kernels ---


@pytest.mark.parametrize(("kernel", "bits", "symmetric", "dtypes"), RUNS)
def test_a_kernel_does_what_the_packed_integers_say(kernel, bits, symmetric, dtypes):
    for dtype in dtypes:
        original, chosen = linear(dtype=dtype), {"kernel": kernel, "symmetric": symmetric}
        assert format_of(f"gptq-{bits}").unusable(options_of(f"gptq-{bits}", **chosen), "cpu", dtype) is None
        state = state_of(original, bits, 32, symmetric)
        made = kernel_of(f"gptq-{bits}", original, **chosen)
        found = audited(bits, made, original, state, **chosen)
        assert found.fault is None, dtype
        assert found.found == f"gptq-{bits}"
        assert found.kernel == f"{gptq_kernels.PACKAGE}.{'.'.join(gptq_kernels.KERNELS[kernel])}"
        expected = (packed.dequantize(state, bits) - original.weight.float()).norm() / original.weight.float().norm()
        assert found.relative_error == pytest.approx(expected.item(), rel=0.05, abs=5e-3)
        x = torch.randn(2, 5, 128, generator=torch.Generator().manual_seed(3)).to(dtype)
        assert made(x).shape == (2, 5, 64)
        assert made(x).dtype == dtype
        assert torch.equal(made(x), made(x))


def packed_bytes(bits, words=4):
    """Of 64 x 128 weights in groups of 32: integers, zero points, 16-bit scales, groups' numbers, bias."""
    groups = 4 * 64
    return 64 * 128 * bits // 8 + groups * bits // 8 + 2 * groups + words * 128 + 2 * 64


@pytest.mark.parametrize("bits", BITS)
def test_bytes_of_the_torch_kernel_fall_with_the_bits(bits):
    made = kernel_of(f"gptq-{bits}", linear(), kernel="torch")
    before = checkpoint_audit.bytes_of(made)
    made(torch.ones(1, 128, dtype=torch.bfloat16))
    unpacked_once = 0 if bits == 3 else 4 * 64 * (2 if bits == 8 else 1) + 8 * 128  # zero points, and g_idx as int64
    shifts = 4 * 36 if bits == 3 else 4 * 32 // bits
    assert before == packed_bytes(bits) + shifts
    assert checkpoint_audit.bytes_of(made) == before + unpacked_once
    assert f"{bits}-bit integers in int32 words, a bfloat16 scale and zero point for 32" in format_of(
        f"gptq-{bits}"
    ).storage(made)


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_the_int8_kernel_holds_a_byte_a_weight_whatever_the_bits(bits):
    made = kernel_of(f"gptq-{bits}", linear(), kernel="torch-int8")
    assert checkpoint_audit.bytes_of(made) == 64 * 128 + 4 * 64 + 2 * 64  # with float32 scales and the bias
    made(torch.ones(1, 128, dtype=torch.bfloat16))
    assert (
        checkpoint_audit.bytes_of(made) == 64 * 128 + 4 * 64 + 2 * 64 + 2 * 64
    )  # and the scales once more, in bfloat16
    assert format_of(f"gptq-{bits}").storage(made).startswith(f"int8 with a scale a row (the {bits}-bit values")


@pytest.mark.parametrize("kernel", ["torch-aten", "torch-fused"])
def test_what_the_4_bit_kernels_keep_as_plain_attributes_is_counted(kernel):
    made = kernel_of("gptq-4", linear(), kernel=kernel, symmetric=True)
    made(torch.ones(1, 128, dtype=torch.bfloat16))
    groups = 4 * 64
    pairs, order = 2 * 2 * groups, 4 * 128  # scales with offsets as the kernel reads them; the columns' order
    scales_and_offsets = 2 * groups + 2 * groups
    assert (
        checkpoint_audit.bytes_of(made) == 64 * 128 // 2 + scales_and_offsets + pairs + order + 4 * 128 + 4 * 8 + 2 * 64
    )


@pytest.mark.parametrize("after_forward", [False, True])
@pytest.mark.parametrize(("kernel", "bits", "symmetric", "dtypes"), RUNS)
def test_a_layer_is_recognised_by_what_it_holds(kernel, bits, symmetric, dtypes, after_forward):
    made = kernel_of(f"gptq-{bits}", linear(), kernel=kernel, symmetric=symmetric)
    if after_forward:
        made(torch.ones(1, 128, dtype=torch.bfloat16))
    assert checkpoint_audit.recognise(made) == f"gptq-{bits}"


def test_a_layer_that_says_other_bits_than_its_words_hold_is_none_of_ours():
    made = kernel_of("gptq-4", linear(), kernel="torch")
    made.bits = 8
    assert checkpoint_audit.recognise(made) == "unknown"


def test_a_large_bias_is_added_as_it_was_and_hides_nothing():
    original = linear()
    original.bias.mul_(300)
    state = state_of(original, 4)
    made = kernel_of("gptq-4", original)
    assert audited(4, made, original, state).fault is None
    made.bias = made.bias + 8
    assert audited(4, made, original, state).fault == "adds another bias than the original"
    without = linear(bias=False)
    assert audited(4, kernel_of("gptq-4", without), without, state_of(without, 4)).fault is None


# --- what goes wrong is found ---


def test_the_fused_kernel_would_pass_over_zero_points_and_is_found_out():
    """GPTQModel 7.6.0 lets an asymmetric grid through; `unusable` refuses it, and the audit would."""
    original = linear()
    state = state_of(original, 4, symmetric=False)
    made = kernel_of("gptq-4", original, kernel="torch-fused", symmetric=False)
    fault = audited(4, made, original, state, kernel="torch-fused", symmetric=False).fault
    assert re.fullmatch(
        r"has a kernel whose sums are off by 0\.\d+ from those of the weights that its tensors stand for, .*", fault
    )


@pytest.mark.parametrize("bits", BITS)
def test_another_layers_integers_are_found_out(bits):
    original, other = linear(seed=0), linear(seed=9)
    other.bias = original.bias
    fault = audited(bits, kernel_of(f"gptq-{bits}", other), original, state_of(other, bits)).fault
    assert fault.startswith(f"has no group whose scales and zero points are those that gptq-{bits} begins with")


def test_a_scale_that_changed_when_it_was_loaded_is_found_out():
    original = linear()
    made = kernel_of("gptq-4", original, kernel="torch")
    made.scales[2, 5] *= 1.05
    fault = audited(4, made, original, state_of(original, 4)).fault
    assert fault == "was loaded with other integers, scales or zero points than the checkpoint stores"


def test_coarser_integers_than_asked_for_are_no_fault_of_the_kernel_but_one_of_the_weights():
    original = linear(dtype=torch.float16)
    coarse = linear(dtype=torch.float16)
    coarse.weight.data = grid.symmetric(original.weight, 2, 32).nearest(original.weight).half()
    fault = audited(8, kernel_of("gptq-8", coarse), original, state_of(coarse, 8)).fault
    assert fault.startswith("has weights that are off to one side, as with a wrong zero point (")


# --- what cannot be ---


@pytest.mark.parametrize(
    ("bits", "chosen", "dtype", "sentence"),
    [
        (
            3, {"kernel": "torch-int8"}, torch.bfloat16,
            "its kernel torch-int8 runs 2, 4 and 8 bits only; set `kernel` to torch, or leave the format out",
        ),
        (
            8, {"kernel": "torch-aten"}, torch.bfloat16,
            "its kernel torch-aten runs 4 bits only; set `kernel` to torch or torch-int8, or leave the format out",
        ),
        (
            4, {"kernel": "marlin"}, torch.bfloat16,
            "its kernel marlin runs on cuda only; set `kernel` to torch, torch-int8, torch-aten or torch-fused, "
            "or leave the format out",
        ),
        (
            4, {"kernel": "torch-aten"}, torch.float32,
            "its kernel torch-aten computes in float16 and bfloat16 only, and this model in float32; set `kernel` to "
            "torch, torch-int8 or torch-fused, or leave the format out",
        ),
        (
            4, {"kernel": "torch-fused", "symmetric": False}, torch.bfloat16,
            "its kernel torch-fused passes over zero points on a CPU, so it takes symmetric grids only; set `kernel` "
            "to torch, torch-int8 or torch-aten, or leave the format out",
        ),
        (
            4, {"kernel": "torch-aten", "group_size": -1}, torch.bfloat16,
            "its kernel torch-aten takes a group size of 16, 32, 64 and 128 only; set `kernel` to torch, torch-int8 or "
            "torch-fused, or leave the format out",
        ),
    ],
)  # fmt: skip
def test_what_no_kernel_can_do_is_one_sentence(bits, chosen, dtype, sentence):
    found = format_of(f"gptq-{bits}").unusable(options_of(f"gptq-{bits}", **chosen), "cpu", dtype)
    assert found == sentence


def test_a_kernel_that_fails_on_this_machine_says_why(monkeypatch):
    kind = gptq_kernels._class("torch-int8")
    monkeypatch.setattr(kind, "validate", lambda **_: (False, ImportError("no such\n operator.")))
    found = format_of("gptq-4").unusable(options_of("gptq-4", kernel="torch-int8"), "cpu", torch.bfloat16)
    assert found.startswith("its kernel torch-int8 cannot be used here (no such operator); set `kernel` to torch, ")


@pytest.mark.parametrize(
    ("shape", "chosen", "reason"),
    [
        ((96, 64), {"group_size": 64}, "its 96 input features are no multiple of the group size 64"),
        ((172, 64), {"group_size": -1}, "its 172 input features are no multiple of 32, as the packed words need"),
        ((96, 40), {"group_size": 32}, "its 40 output features are no multiple of 32, as the packed words need"),
        (
            (96, 128), {"group_size": 32, "kernel": "machete"},
            "its 96 input features are no multiple of the kernel machete's 64",
        ),
        ((96, 64), {"group_size": 32}, None),
        ((96, 64), {"group_size": -1}, None),
    ],
)  # fmt: skip
def test_shapes_that_the_packed_words_cannot_take(shape, chosen, reason):
    assert format_of("gptq-4").refusal(*shape, options_of("gptq-4", **chosen), "cpu") == reason


# --- through the model ---


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("snapshots")
    return {name: maker(folder / name) for name, (maker, _) in tiny.TEXT_MAKERS.items()}


def gptq(bits, **chosen):
    return {"format": f"gptq-{bits}", "group_size": 32} | chosen


def calibration_of(snapshot, family, dtype, texts=TEXTS):
    load = functools.partial(checkpoint.original, snapshot, family, dtype)
    return Calibration(load, calibration_inputs.of_texts(snapshot, texts))


def made(snapshot, family, folder, texts=TEXTS, dtype="bfloat16", plant=None, **asked):
    """A checkpoint, and what quantizing it told of itself."""
    model = checkpoint.original(snapshot, family, dtype)
    calibration = calibration_of(snapshot, family, dtype, texts)
    layers, stored = checkpoint.quantize(model, family, tiny.assignment(family, dtype, **asked), "cpu", calibration)
    tensors = dict(stored)
    if plant:
        plant(tensors)
    manifest = checkpoint.save(folder, snapshot, model, tensors.items(), layers)
    looked_at = {"calibration_hash": files.hash_of(texts), "n": len(texts), "texts": len(texts)} | calibration.report
    known = {"dtype": dtype, "device": "cpu", "calibration": looked_at}
    files.write_json(folder / checkpoint.MANIFEST, known | manifest)
    return calibration.report


def audit_of(snapshot, family, folder, dtype="bfloat16", trust=True, **asked):
    """Layers and other parameters; without `trust` not even what the solver decided is known."""
    model, original = checkpoint.load(folder, family, "cpu"), checkpoint.load_original(snapshot, family, dtype)
    states = functools.partial(checkpoint.stored_state, folder)
    decided = {path: facts["decided"] for path, facts in checkpoint.manifest(folder)["calibration"]["layers"].items()}
    texts = calibration_inputs.of_texts(snapshot, TEXTS)
    inputs = functools.partial(inputs_of, model, list(decided), texts, "cpu")
    assigned = tiny.assignment(family, dtype, **asked)
    layers = checkpoint_audit.audit_layers(
        model, original, family, assigned, "cpu", states, decided if trust else None, inputs
    )
    return layers, checkpoint_audit.other_parameters(model, original, family, layers)


MIXED = {"language_attention": gptq(8), "language_mlp": gptq(2, symmetric=False, group_size=64)}


@pytest.mark.parametrize("asked", [{"language": gptq(4)}, MIXED, {"language_mlp": gptq(3), "head": "torchao-int8"}])
@pytest.mark.parametrize("name", tiny.TEXT_MAKERS)
def test_exactly_the_layers_that_were_asked_for_are_quantized(name, asked, snapshots, tmp_path):
    family, snapshot = tiny.TEXT_MAKERS[name][1], snapshots[name]
    before = {path: path.stat().st_mtime_ns for path in snapshot.iterdir()}
    report = made(snapshot, family, tmp_path, **asked)
    assert {path: path.stat().st_mtime_ns for path in snapshot.iterdir()} == before, "the snapshot was touched"
    layers, others = audit_of(snapshot, family, tmp_path, **asked)
    assert checkpoint_audit.faults_in_one_sentence("x", layers, others) == ""
    quantized = [layer for layer in layers if layer.asked.startswith("gptq")]
    assert {layer.path for layer in quantized} == set(report["layers"])
    assert quantized and all(layer.found == layer.asked for layer in layers)
    assert report["tokens"] == sum(row["input_ids"].numel() for row in calibration_inputs.of_texts(snapshot, TEXTS))
    assert all(facts["loss"] > 0 and facts["damping"] == 0.05 for facts in report["layers"].values())


def test_a_checkpoint_comes_back_as_it_was_saved_and_twice_the_same(snapshots, tmp_path):
    snapshot = snapshots["llama"]
    for name in ("first", "second"):
        made(snapshot, tiny.LLAMA, tmp_path / name, language=gptq(4))
    first, second = (checkpoint.manifest(tmp_path / name)["checkpoint_hash"] for name in ("first", "second"))
    assert first == second
    inputs = torch.arange(3, 60)[None]
    with torch.inference_mode():
        logits = [checkpoint.load(tmp_path / name, tiny.LLAMA, "cpu")(inputs).logits for name in ("first", "second")]
    assert torch.equal(*logits)


@pytest.mark.parametrize("kernel", ["torch", "torch-int8", "torch-aten"])
def test_one_set_of_integers_runs_on_every_kernel(kernel, snapshots, tmp_path):
    """The checkpoint is the same but for the option; so are the answers, but for rounding."""
    asked = {"language": gptq(4, symmetric=False, kernel=kernel)}
    made(snapshots["llama"], tiny.LLAMA, tmp_path, **asked)
    layers, others = audit_of(snapshots["llama"], tiny.LLAMA, tmp_path, **asked)
    assert checkpoint_audit.faults_in_one_sentence("x", layers, others) == ""
    names = {layer.kernel for layer in layers if layer.found == "gptq-4"}
    assert names == {f"{gptq_kernels.PACKAGE}.{'.'.join(gptq_kernels.KERNELS[kernel])}"}


def test_gptq_changes_a_layers_outputs_less_than_rounding_on_the_same_grid(snapshots, tmp_path):
    snapshot = snapshots["llama"]
    asked = {"language": gptq(3, symmetric=False)}
    made(snapshot, tiny.LLAMA, tmp_path, **asked)
    original = checkpoint.load_original(snapshot, tiny.LLAMA, "float32")
    inputs = []
    path = "model.layers.0.self_attn.q_proj"
    original.get_submodule(path).register_forward_hook(lambda _, given, __: inputs.append(given[0][0]))
    for text in calibration_inputs.of_texts(snapshot, TEXTS):
        original(**text)
    exact = original.get_submodule(path).weight
    found = packed.dequantize(checkpoint.stored_state(tmp_path, path), 3)
    nearest = grid.gptq(exact, 3, 32, False).nearest(exact)
    x = torch.cat(inputs)
    with_gptq, with_rounding = ((x @ (weight - exact).T).square().mean() for weight in (found, nearest))
    assert with_gptq < 0.7 * with_rounding
    assert (found - exact).norm() > (nearest - exact).norm()


@pytest.mark.parametrize("bits", [8, 2])
def test_weights_of_dead_neurons_are_lost_and_told_of(bits, tmp_path, caplog):
    """OPT's ReLU leaves some features at zero in all texts; GPTQ sets their weights to zero."""
    model = checkpoint.load_original(tiny.opt(tmp_path / "alive"), tiny.OPT, "float32")
    model.model.decoder.layers[1].fc1.bias[[5, 77]] = -1e4
    shutil.copytree(tmp_path / "alive", tmp_path / "dead")
    model.save_pretrained(tmp_path / "dead")
    asked = {"language": gptq(bits)}
    report = made(tmp_path / "dead", tiny.OPT, tmp_path / "checkpoint", **asked)
    path = "model.decoder.layers.1.fc2"
    found = packed.dequantize(checkpoint.stored_state(tmp_path / "checkpoint", path), bits)
    assert (found == 0).all(0).nonzero().flatten().tolist() == [5, 77]
    assert report["layers"][path]["unused_inputs"] == 2
    assert "2 input features were zero in all items" in caplog.text
    layers, others = audit_of(tmp_path / "dead", tiny.OPT, tmp_path / "checkpoint", **asked)
    assert checkpoint_audit.faults_in_one_sentence("x", layers, others) == ""
    assert next(layer for layer in layers if layer.path == path).relative_error > 0.1


@pytest.mark.parametrize("name", tiny.TEXT_MAKERS)
def test_a_head_can_be_quantized_though_gptqmodel_knows_no_such_model(name, snapshots, tmp_path):
    family, asked = tiny.TEXT_MAKERS[name][1], {"language_mlp": gptq(8), "head": gptq(4)}
    made(snapshots[name], family, tmp_path, **asked)
    layers, others = audit_of(snapshots[name], family, tmp_path, **asked)
    assert checkpoint_audit.faults_in_one_sentence("x", layers, others) == ""
    assert [layer.group for layer in layers if layer.found == "gptq-4"] == ["head"]


def test_a_calibrated_format_without_texts_is_refused(snapshots):
    model = checkpoint.original(snapshots["llama"], tiny.LLAMA, "bfloat16")
    wanted = tiny.assignment(tiny.LLAMA, "bfloat16", language=gptq(4))
    with pytest.raises(UserError, match=r"^gptq-4 needs items to calibrate on: name them with --calibration"):
        checkpoint.quantize(model, tiny.LLAMA, wanted, "cpu")


def test_what_no_kernel_runs_is_refused_before_any_work(snapshots, tmp_path):
    with pytest.raises(UserError, match=r"^gptq-3 cannot be used on this machine's cpu: its kernel torch-int8 runs"):
        made(snapshots["llama"], tiny.LLAMA, tmp_path, language=gptq(3, kernel="torch-int8"))
    with pytest.raises(UserError, match=r"^gptq-4 cannot take model\.layers\.0\.self_attn\.q_proj .* group size 128;"):
        made(snapshots["llama"], tiny.LLAMA, tmp_path, language=gptq(4, group_size=128))


def test_a_checkpoint_is_refused_where_its_kernel_does_not_run(snapshots, tmp_path):
    made(snapshots["llama"], tiny.LLAMA, tmp_path, language=gptq(4, kernel="torch-aten"))
    record = files.read_json(tmp_path / checkpoint.MANIFEST)
    files.write_json(tmp_path / checkpoint.MANIFEST, record | {"dtype": "float32"})
    with pytest.raises(UserError, match=r"^gptq-4 cannot be used on this machine's cpu: its kernel torch-aten comp"):
        checkpoint.load(tmp_path, tiny.LLAMA, "cpu")


def test_texts_are_cut_to_the_models_positions(snapshots, tmp_path):
    texts = ["a b", *TEXTS[:3], " ".join(TEXTS * 3)]
    report = made(snapshots["llama"], tiny.LLAMA, tmp_path, texts=texts, language_mlp=gptq(8))
    lengths = [row["input_ids"].numel() for row in calibration_inputs.of_texts(snapshots["llama"], texts)]
    assert max(lengths) == 256
    assert report["tokens"] == sum(lengths)


def test_a_text_of_another_length_beside_it_does_not_change_what_a_text_does(snapshots, tmp_path, monkeypatch):
    """The inputs of OPT's MLP have no batch dimension, so nothing may be padded."""
    seen = []
    gptqmodel_library()
    from gptqmodel.quantization.gptq import GPTQ

    monkeypatch.setattr(GPTQ, "add_batch", functools.partialmethod(_told, GPTQ.add_batch, seen))
    report = made(snapshots["opt"], tiny.OPT, tmp_path, texts=TEXTS[:9] + TEXTS[-9:], language_mlp=gptq(8))
    assert len(set(seen)) > 1
    assert sum(seen) == 4 * report["tokens"], "both blocks have an fc1 and an fc2"


def _told(self, add_batch, seen, inputs, *rest, **more):
    seen.append(inputs.numel() // inputs.shape[-1])
    return add_batch(self, inputs, *rest, **more)


def test_what_could_not_be_solved_is_named():
    for loss in (float(gptq_quantize.UNSOLVED), float("nan")):
        with pytest.raises(UserError, match=r"^GPTQ could not be solved for the\.up_proj: give more calibration items"):
            gptq_quantize.refuse_unsolved("the.up_proj", loss)
    gptq_quantize.refuse_unsolved("the.up_proj", 0.5)


def test_a_raised_damping_is_told(caplog):
    layers = {"the.up_proj": Layer("the.up_proj", linear(), "language.mlp", gptq(4, damping=0.05))}
    quantizing._warn({"the.up_proj": {"damping": 0.05, "unused_inputs": 0}}, layers)
    assert not caplog.text
    quantizing._warn({"the.up_proj": {"damping": 0.15, "unused_inputs": 0}}, layers)
    assert "damping was raised for 1 layers (the.up_proj, ...)" in caplog.text


def test_integers_that_were_changed_on_disk_are_found_by_the_audit(snapshots, tmp_path):
    asked = {"language": gptq(4)}
    made(snapshots["llama"], tiny.LLAMA, tmp_path, **asked)
    path = tmp_path / "weights-00001.safetensors"
    tensors = load_file(path)
    tensors["model.layers.1.mlp.up_proj.qweight"] = tensors["model.layers.1.mlp.gate_proj.qweight"].clone()
    save_file(tensors, path)
    tiny.seal(tmp_path)  # otherwise the checksum would tell
    layers, _ = audit_of(snapshots["llama"], tiny.LLAMA, tmp_path, **asked)
    assert [layer.path for layer in layers if layer.fault] == ["model.layers.1.mlp.up_proj"]


def no_longer_solved(tensors):
    """Every other input feature's integers are one step off."""
    for name in [key for key in tensors if key.endswith(".qweight")]:
        values = packed.unpack(tensors[name], 4).int()
        values[::4] += torch.where(values[::4] < 15, 1, -1)
        values[2::4] -= torch.where(values[2::4] > 0, 1, -1)
        tensors[name] = packed_layers.pack(values.numpy(), 4)


@pytest.mark.parametrize("trust", [True, False])
def test_integers_of_the_whole_model_that_the_solver_did_not_choose(trust, snapshots, tmp_path):
    """With the record of its decisions all are named, and without it the first, by what it does to its outputs."""
    asked = {"language": gptq(4)}
    made(snapshots["llama"], tiny.LLAMA, tmp_path, plant=no_longer_solved, **asked)
    layers, _ = audit_of(snapshots["llama"], tiny.LLAMA, tmp_path, trust=trust, **asked)
    faults = [layer.fault for layer in layers if layer.fault]
    if trust:
        assert len(faults) == 14
        assert set(faults) == {
            "holds other integers, scales or zero points than gptq-4 decided on when it was quantized"
        }
    else:
        assert len(faults) == 1
        assert re.fullmatch(r"changes its output \d\.\d+ times as much as rounding to nearest .*", faults[0])


def odd(snapshot, folder, kind):
    """The model with weights of a kind that training seldom leaves."""
    shutil.copytree(snapshot, folder)
    tensors = load_file(folder / "model.safetensors")
    for weight in (value for name, value in tensors.items() if "proj" in name):
        if kind == "features without negative weights":
            weight[:, :32] = weight[:, :32].abs()
        elif kind == "rows of one value":
            weight[::5] = 0.05
        elif kind == "rows of zeros":  # so that what they make is no input of the layers after
            weight[::7] = 0
        elif kind == "one feature of large weights":
            weight[:, 3] *= 40
        else:
            weight *= 1e-3
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("kind", "bits", "chosen"),
    [
        ("features without negative weights", 4, {"group_size": 16}),
        ("features without negative weights", 8, {"group_size": -1, "symmetric": False}),
        ("rows of one value", 4, {"group_size": 16}),
        ("rows of one value", 3, {"group_size": 64}),
        ("rows of zeros", 2, {"group_size": -1}),
        ("rows of zeros", 3, {"group_size": 64}),
        ("one feature of large weights", 4, {"symmetric": False}),
        ("one feature of large weights", 2, {"group_size": -1}),
        ("tiny weights", 8, {"group_size": -1, "symmetric": False}),
    ],
)
def test_untouched_checkpoints_of_odd_weights_pass(kind, bits, chosen, snapshots, tmp_path):
    source = odd(snapshots["llama"], tmp_path / "source", kind)
    asked = {"language": gptq(bits, **chosen)}
    made(source, tiny.LLAMA, tmp_path / "made", **asked)
    layers, others = audit_of(source, tiny.LLAMA, tmp_path / "made", **asked)
    assert checkpoint_audit.faults_in_one_sentence("x", layers, others) == ""


# --- as the rules run it ---


def run(name, fails=False, env=None, python=None, **paths):
    command = [python or warm.python(), SCRIPTS / f"{name}.py"]
    for key, value in paths.items():
        command += [f"--{key.replace('_', '-')}", asked(name, value) if isinstance(value, dict) else str(value)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"} | (env or {})
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert (done.returncode != 0) == fails, done.stderr
    return done


def test_the_scripts_need_no_compiler_and_keep_the_log_clean(snapshots, tmp_path):
    """With nothing on PATH and an empty cache of extensions."""
    rows = [
        {"id": str(k), "images": [], "question": context, "references": [word], "extra": {}}
        for k, (context, word) in enumerate(text.rsplit(" ", 1) for text in TEXTS)
    ]
    files.write_jsonl(tmp_path / "calibration.jsonl", rows)
    spec = {
        "study": "test", "model": "tiny", "precision": "gptq-4", "family": "llama", "dtype": "bfloat16",
        "device": "cpu", "simulated": [], "least_coverage": 0.5,
        "assignment": tiny.assignment(tiny.LLAMA, "bfloat16", language=gptq(4)),
    }  # fmt: skip
    (tmp_path / "bin").mkdir()
    cache = tmp_path / "extensions"
    env = {
        "PATH": str(tmp_path / "bin"), "TORCH_EXTENSIONS_DIR": str(cache), "GPTQMODEL_TORCH_EXTENSIONS_DIR": str(cache),
        "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path),
    }  # fmt: skip
    done = run(
        "quantize_model", env=env, python=sys.executable, model_dir=snapshots["llama"], spec=spec,
        calibration=tmp_path / "calibration.jsonl", out=tmp_path / "checkpoint",
    )  # fmt: skip
    assert not cache.exists()
    assert done.stdout == ""
    record = files.read_json(tmp_path / "checkpoint" / checkpoint.MANIFEST)
    _validator("checkpoint").validate(record)
    told = [line for line in done.stderr.splitlines() if line and "torchao" not in line]
    assert all(re.match(r"calibrating: +\d+%.* \d+/14 \[", line) for line in told[:-1])
    assert told[-2].startswith("calibrating: 100%")
    assert told[-1].startswith("gptq-4 of tiny: 14 layers quantized")
    assert record["calibration"]["n"] == record["calibration"]["texts"] == len(TEXTS)
    audit_it = functools.partial(
        run, "audit_checkpoint", env=env, checkpoint=tmp_path / "checkpoint", model_dir=snapshots["llama"], spec=spec,
        out=tmp_path / "audit.json",
    )  # fmt: skip
    assert "holds formats that are calibrated: name the items" in audit_it(fails=True).stderr
    done = audit_it(calibration=tmp_path / "calibration.jsonl")
    assert done.stdout == ""
    layers = files.read_json(tmp_path / "audit.json")["layers"]
    assert {layer["kernel"].rsplit(".", 1)[1] for layer in layers if layer["found"] == "gptq-4"} == {"TorchFusedLinear"}
    path = next(iter(record["layers"]))
    del record["calibration"]
    files.write_json(tmp_path / "checkpoint" / checkpoint.MANIFEST, record)
    done = audit_it(fails=True, calibration=tmp_path / "calibration.jsonl")
    assert f"does not say what gptq-4 decided on for {path}: delete it" in done.stderr
    without = run("quantize_model", fails=True, model_dir=snapshots["llama"], spec=spec, out=tmp_path / "none")
    assert without.stderr.strip().splitlines()[-1].startswith("error: gptq-4 needs items to calibrate on")


def test_importing_the_library_says_nothing_and_leaves_the_process_as_it_was():
    code = (
        "import os, threading; before = dict(os.environ)\n"
        "from bitbudget.models.formats.gptq_library import gptqmodel_library; gptqmodel_library()\n"
        "changed = {k for k in {*before, *os.environ} if before.get(k) != os.environ.get(k)}\n"
        "assert all(name.startswith('GPTQMODEL_') for name in changed), changed\n"
        "assert not [t.name for t in threading.enumerate() if 'refresh' in t.name]\n"
        "assert int(os.environ['GPTQMODEL_CPU_WORKERS']) >= 2\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GPTQMODEL") and "PYTEST" not in k}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=SCRIPTS, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_a_format_is_described_without_torch_or_the_library():
    code = (
        "import sys; from bitbudget.registry import format_of; f = format_of('gptq-4')\n"
        "given = {'group_size': 64, 'symmetric': False, 'damping': 0.1, 'kernel': 'torch', 'calibration': {}}\n"
        "assert f.complete({'kernel': 'marlin'}, given) == "
        "{'group_size': 64, 'symmetric': False, 'damping': 0.1, 'kernel': 'marlin'}\n"
        "assert not {'torch', 'gptqmodel', 'numpy', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, check=True, timeout=60)


@pytest.mark.parametrize(
    ("bits", "dtype", "chosen", "kernel"),
    [
        (4, torch.float32, {}, "torch-fused"),
        (4, torch.bfloat16, {}, "torch-fused"),
        (4, torch.bfloat16, {"symmetric": False}, "torch-aten"),
        (4, torch.float32, {"symmetric": False}, "torch"),
        (4, torch.float16, {}, "torch"),
        (4, torch.bfloat16, {"group_size": 16}, "torch"),
        (8, torch.bfloat16, {}, "torch"),
        (4, torch.float32, {"kernel": "torch-int8"}, "torch-int8"),
    ],
)
def test_on_a_processor_the_fastest_kernel_with_these_very_integers_runs(bits, dtype, chosen, kernel):
    name, chosen = f"gptq-{bits}", {"group_size": 32} | chosen
    original = linear(dtype=dtype)
    state = state_of(original, bits, chosen["group_size"], chosen.get("symmetric", True))
    shell = nn.Linear(128, 64, device="meta", dtype=dtype)
    made = format_of(name).restore(shell, state, options_of(name, **chosen), "cpu")
    assert gptq_kernels.name_of(made) == kernel
    assert audited(bits, made, original, state, **chosen).fault is None
    assert kernel_for(bits, options_of(name, **chosen | {"kernel": "auto"}), "bfloat16", "cuda") == "torch"


def test_what_is_told_of_speed_is_that_of_the_kernel_that_runs():
    found = format_of("gptq-4").timed(options_of("gptq-4"))
    assert found["float32", AVX2] == LAYER_MS["torch-fused", 0]["float32", AVX2]
    assert found["float16", AVX2] == LAYER_MS["torch", 4]["float16", AVX2]


def test_the_widths_known_while_parsing_are_those_of_the_kernels():
    gptqmodel_library()
    assert set(WIDTHS) == set(gptq_kernels.KERNELS)
    for kernel, (module, name) in gptq_kernels.KERNELS.items():
        try:
            found = getattr(importlib.import_module(f"{gptq_kernels.PACKAGE}.{module}"), name)
        except ImportError:  # triton is not installed beside a CPU build of torch
            continue
        assert set(WIDTHS[kernel]) == set(found.SUPPORTS_BITS) & {8, 4, 3, 2}, kernel
        devices, floats, _ = RUNS_ON[kernel]
        known = {device.value for device in found.SUPPORTS_DEVICES}
        assert "all" in known or set(devices) == known & {"cpu", "cuda"}, kernel
        listed = {str(dtype).removeprefix("torch.") for dtype in found.SUPPORTS_DTYPES}
        assert set(floats) == listed | ({"float32"} if kernel == "torch" else set()), kernel  # see gptq_kernels
