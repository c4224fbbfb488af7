"""Mis-quantized layers, planted one by one: the audit names every one of them, and passes what nobody touched.

Each plant changes what a checkpoint stores for a layer, as a wrong kernel, packer or converter would, and the layer is
loaded from that. Names, classes, dtypes and shapes stay as asked.
"""

import copy
import functools
import importlib.util

import pytest
import tiny_models as tiny
import torch
from torch import nn

from bitbudget.errors import UserError
from bitbudget.models import checkpoint
from bitbudget.models.audit import calibrated as calibrated_audit
from bitbudget.models.audit import checkpoint_audit
from bitbudget.models.calibration.inputs import inputs_of
from bitbudget.models.formats.base import Calibration, Layer
from bitbudget.registry import FORMATS, format_of
from bitbudget.runtimes.transformers import calibration as calibration_inputs

COLUMNS, ROWS = 256, 64


def options_of(name, **chosen):
    return {key: rule["default"] for key, rule in format_of(name).options.items()} | chosen


def linear(columns=COLUMNS, rows=ROWS, dtype=torch.bfloat16, seed=0, bias=True):
    """A layer as training leaves it: Gaussian weights whose rows differ in scale."""
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(columns, rows, bias=bias)
    scales = 10 ** (torch.rand(rows, 1, generator=generator) - 0.5)
    layer.weight.data = torch.randn(rows, columns, generator=generator) * scales * columns**-0.5
    if bias:
        layer.bias.data = torch.randn(rows, generator=generator)
    return layer.to(dtype).eval().requires_grad_(False)


def shell_of(layer):
    bias = layer.bias is not None
    return nn.Linear(layer.in_features, layer.out_features, bias=bias, device="meta", dtype=layer.weight.dtype)


def fault_of(name, original, plant, **chosen):
    """What the audit says of a layer in this format after `plant` has changed its stored tensors."""
    fmt, spec = format_of(name), {"format": name} | options_of(name, **chosen)
    state = {key: value.clone() for key, value in fmt.state(fmt.quantize(original, spec)).items()}
    plant(state)
    made = fmt.restore(shell_of(original), state, spec, "cpu").eval()
    return checkpoint_audit.audit_layer(Layer("the.layer", made, "language", spec), original, "cpu").fault


def change(key, function):
    """A plant that puts `function` of the stored tensor in its place."""

    def plant(state):
        state[key] = function(state[key].clone()).to(state[key].dtype).contiguous()

    return plant


def at(*places, add=None, times=None, to=None, flip=None):
    """A function that changes some places of a tensor."""

    def changed(tensor):
        part = tensor[places]
        if add is not None:
            part = part + add
        if times is not None:
            part = part * times
        if to is not None:
            part = torch.full_like(part, to)
        if flip is not None:
            part = part ^ flip
        tensor[places] = part
        return tensor

    return changed


def swapped(a, b, dim=0):
    def changed(tensor, _=None):
        order = list(range(tensor.shape[dim]))
        order[a], order[b] = order[b], order[a]
        return tensor.index_select(dim, torch.tensor(order))

    return changed


EVERY = (...,)
SOME = slice(0, 3)
BIAS = {
    "a bias of one output": change("bias", at(3, add=0.5)),
    "biases of two outputs exchanged": change("bias", swapped(3, 4)),
}


def int8(weight, scale):
    """Plants of formats that store int8 rows with a scale each."""
    return BIAS | {
        "one integer more": change(weight, at(5, 7, add=1)),
        "one integer less, in the last row": change(weight, at(ROWS - 1, COLUMNS - 1, add=-1)),
        "every integer one more": change(weight, lambda w: (w.int() + 1).clamp(-127, 127)),
        "one bit flipped": change(weight, at(9, 100, flip=0x20)),
        "one sign changed": change(weight, at(2, SOME, times=-1)),
        "a row of zeros": change(weight, at(17, to=0)),
        "two rows exchanged": change(weight, swapped(3, 4)),
        "rows with their scales exchanged": lambda s: [change(k, swapped(3, 4))(s) for k in (weight, scale)],
        "two columns exchanged": change(weight, swapped(10, 11, dim=1)),
        "columns reversed": change(weight, lambda w: w.flip(1)),
        "seven bits": change(weight, lambda w: (w.float() / 2).round() * 2),
        "integers cut off at 100": change(weight, lambda w: w.clamp(-100, 100)),
        "scales 5 % too large": change(scale, at(*EVERY, times=1.05)),
        "scales 1 % too large": change(scale, at(*EVERY, times=1.01)),
        "one scale 5 % too small": change(scale, at(40, times=0.95)),
        "scales of two rows exchanged": change(scale, swapped(3, 4)),
        "one scale for all rows": change(scale, lambda s: torch.full_like(s, s.max())),
        "a scale that is no number": change(scale, at(1, to=float("nan"))),
    }


def nf4():
    code, scale = "weight", "weight.absmax"
    return BIAS | {
        "one code more": change(code, at(50, 0, flip=0x10)),
        "one code in the last byte": change(code, at(-1, 0, flip=0x01)),
        "codes exchanged within bytes": change(code, lambda c: (c >> 4) | (c << 4)),
        "a row of zeros": change(code, at(slice(3 * COLUMNS // 2, 4 * COLUMNS // 2), to=0x77)),
        "two rows exchanged": change(code, lambda c: swapped(3, 4)(c.reshape(ROWS, -1)).reshape(-1, 1)),
        "scales 5 % too large": change(scale, at(*EVERY, times=1.05)),
        "one scale 5 % too small": change(scale, at(77, times=0.95)),
        "scales of two blocks exchanged": change(scale, swapped(3, 4)),
        "scales reversed": change(scale, lambda s: s.flip(0)),
        "another table of values": change("weight.quant_map", lambda m: torch.linspace(-1, 1, 16)),
        "one value of the table": change("weight.quant_map", at(5, times=1.1)),
    }


def int4():
    code, pairs = "weight.qdata", "weight.scale_and_zero"
    return BIAS | {
        "one bit flipped": change(code, at(5, 7, flip=0x01)),
        "the highest bit flipped": change(code, at(60, 3, flip=0x80)),
        "integers exchanged within bytes": change(code, lambda c: (c >> 4) | (c << 4)),
        "rows of words exchanged": change(code, swapped(3, 40)),
        "every integer its complement": change(code, lambda c: c ^ 0xFF),
        "scales 5 % too large": change(pairs, at(..., 0, times=1.05)),
        "scales 2 % too large": change(pairs, at(..., 0, times=1.02)),
        "one scale 5 % too small": change(pairs, at(1, 9, 0, times=0.95)),
        "zero points moved by a step": change(pairs, lambda p: torch.stack((p[..., 0], p[..., 1] + p[..., 0]), -1)),
        "one zero point moved by a step": change(pairs, at(2, 11, 1, add=0.02)),
        "groups reversed": change(pairs, lambda p: p.flip(0)),
        "groups of two rows exchanged": change(pairs, swapped(3, 4, dim=1)),
        "middle and scale exchanged": change(pairs, lambda p: p.flip(-1)),
    }


def rounded(bits, how, group_size=0):
    """The original's weights rounded in another way than asked for."""
    from bitbudget.models.formats import grid

    return lambda w: getattr(grid, how)(linear().weight, bits, group_size).nearest(linear().weight)


def rtn(bits):
    finer = {8: 8, 4: 8, 3: 4, 2: 3}[bits]
    plants = BIAS | {
        "an asymmetric grid": change("weight", rounded(bits, "asymmetric")),
        "a grid for every 32": change("weight", rounded(bits, "symmetric", 32)),
        "weights of full precision": change("weight", lambda w: linear().weight),
        "one weight a step off": change("weight", lambda w: at(5, 7, add=w[5].abs().max() / (2 ** (bits - 1) - 1))(w)),
        "one weight of full precision": change("weight", lambda w: at(6, 8, to=linear().weight[6, 8].item())(w)),
        "a row of zeros": change("weight", at(17, to=0)),
        "two rows exchanged": change("weight", swapped(3, 4)),
        "two columns exchanged": change("weight", swapped(10, 11, dim=1)),
        "rows reversed": change("weight", lambda w: w.flip(0)),
        "weights 5 % too large": change("weight", at(*EVERY, times=1.05)),
        "one row 1 % too large": change("weight", at(9, times=1.01)),
        "signs changed": change("weight", at(*EVERY, times=-1)),
    }
    if finer != bits:
        plants["a bit more"] = change("weight", rounded(finer, "symmetric"))
    if bits > 2:
        plants["a bit less"] = change("weight", rounded(bits - 1, "symmetric"))
    return plants


PLANTS = {
    "bnb-int8": int8("weight", "SCB"),
    "torchao-int8": int8("weight.qdata", "weight.scale")
    | {"zero points of one": change("weight.zero_point", at(*EVERY, to=1))},
    "torchao-int8-dynamic": int8("weight.qdata", "weight.scale"),
    "bnb-nf4": nf4(),
    "torchao-int4": int4(),
    **{f"rtn-{bits}": rtn(bits) for bits in (8, 4, 3, 2)},
}
TABLE = [(name, plant) for name, plants in PLANTS.items() for plant in plants]


@pytest.mark.parametrize(("name", "plant"), TABLE, ids=[f"{name}: {plant}" for name, plant in TABLE])
def test_a_planted_fault_is_named(name, plant):
    original = linear()
    assert fault_of(name, original, lambda state: None) is None
    fault = fault_of(name, original, PLANTS[name][plant])
    assert fault is not None
    assert ("bias" in plant) == (fault == "adds another bias than the original")


NESTED = {
    "codes of scales with one bit flipped": change("weight.absmax", at(*EVERY, flip=0x40)),
    "one code of a scale one more": change("weight.absmax", at(77, add=1)),
    "one code of a scale one less": change("weight.absmax", at(200, add=-1)),
    "scales of scales too large": change("weight.nested_absmax", at(*EVERY, times=1.5)),
    "scales of scales 1 % too large": change("weight.nested_absmax", at(*EVERY, times=1.01)),
    "a value of the table of scales": change("weight.nested_quant_map", at(200, times=1.01)),
    "a table of values that is cut off": change("weight.quant_map", lambda m: m[:15]),
}


@pytest.mark.parametrize("plant", NESTED)
def test_planted_nested_scales_are_named(plant):
    original, chosen = linear(), {"double_quant": True}
    assert fault_of("bnb-nf4", original, lambda state: None, **chosen) is None
    assert "bnb-nf4" in fault_of("bnb-nf4", original, NESTED[plant], **chosen)


@pytest.mark.parametrize("shape", [(160, 448), (100, 64), (64, 100), (2048, 576)])
def test_untouched_nested_scales_pass(shape):
    for seed in range(3):
        original = linear(*shape, dtype=torch.float16, seed=seed)
        original.weight.data *= torch.randn(shape[1], 1, generator=torch.Generator().manual_seed(seed)) ** 2
        assert fault_of("bnb-nf4", original, lambda state: None, double_quant=True) is None


def test_the_sentence_names_the_weight():
    found = fault_of("bnb-int8", linear(), change("weight", at(5, 7, add=1)))
    assert found.startswith("has 1 weight not as bnb-int8 rounds them (row 5, column 7: ")
    found = fault_of("bnb-int8", linear(), change("SCB", at(40, times=0.99)))
    assert found.startswith("has 1 scale unlike those that bnb-int8 gives to these weights (row 40, column 0: ")
    found = fault_of("bnb-int8", linear(), change("SCB", at(..., times=0.95)))
    assert found.startswith("has weights that are off by 0.05")


# --- GPTQ, whose weights no definition gives ---

TEXTS = [
    f"{who} went {way} and saw {what}, and {what} saw {who}."
    for who in ("a cat", "the old man", "she")
    for way in ("home", "to the house", "on and on")
    for what in ("a dog", "the mat", "his friend", "nobody")
]
GPTQ_PATH = "model.layers.1.mlp.gate_proj"
GPTQ = [("gptq-8", True), ("gptq-4", False), ("gptq-3", True), ("gptq-2", False)]  # symmetric or not


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """For each width: a layer's original, what is stored of it, what reaches it, and what the solver decided."""
    source = tiny.llama(tmp_path_factory.mktemp("llama"))

    @functools.cache
    def of(name, symmetric):
        spec = {"format": name} | options_of(name, group_size=32, symmetric=symmetric)
        load = functools.partial(checkpoint.original, source, tiny.LLAMA, "bfloat16")
        calibration = Calibration(load, calibration_inputs.of_texts(source, TEXTS))
        whole = checkpoint.load_original(source, tiny.LLAMA, "bfloat16")
        original = whole.get_submodule(GPTQ_PATH)
        assignment = tiny.assignment(tiny.LLAMA, "bfloat16", language=spec)
        _, tensors = checkpoint.quantize(load(), tiny.LLAMA, assignment, "cpu", calibration)
        prefix = f"{GPTQ_PATH}."
        state = {key.removeprefix(prefix): value for key, value in tensors if key.startswith(prefix)}
        # Here the original's inputs do: what the quantized model makes of them is in test_gptq.
        seen = inputs_of(whole, [GPTQ_PATH], calibration.inputs, "cpu")[GPTQ_PATH]
        return spec, original, state, seen, calibration.report["layers"][GPTQ_PATH]["decided"]

    return of


def gptq_fault(case, plant, recorded):
    """What the audit says of the layer, with or without the record of what the solver decided on."""
    spec, original, right, seen, decided = case
    state = {key: value.clone() for key, value in right.items()}
    plant(state)
    fmt = format_of(spec["format"])
    made = fmt.restore(shell_of(original), state, spec, "cpu")
    layer = Layer("the.layer", made, "language", spec)
    found = checkpoint_audit.audit_layer(
        layer, original, "cpu", state=lambda: state, decided=decided if recorded else None
    )
    held = fmt.held(state, tuple(original.weight.shape), spec) if found.fault is None else None
    return found.fault or calibrated_audit.output_fault_of(held, original.weight, seen, fmt, spec)


def repacked(key, change_values):
    """A plant that changes the integers in packed words: (in, out) of `qweight`, (out, groups) of `qzeros`."""
    from packed_layers import pack

    from bitbudget.models.formats import packed

    def plant(state):
        words, across = state[key], key == "qzeros"
        bits = state["qweight"].shape[0] * 32 // len(state["g_idx"])
        values = packed.unpack(words.T if across else words, bits).int()
        new = pack(change_values(values, 2**bits - 1).clamp(0, 2**bits - 1).numpy(), bits)
        state[key] = (new.T if across else new).contiguous()

    return plant


def random_signs(values, _):
    return values + torch.randint(0, 2, values.shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


ZERO, CODE, SCALE = "qzeros", "qweight", "scales"
SEEN_IN_THE_WEIGHTS = {
    "zero points of all one more": repacked(ZERO, lambda z, top: torch.where(z < top, z + 1, z - 1)),
    "zero points of all one less": repacked(ZERO, lambda z, top: torch.where(z > 0, z - 1, z + 1)),
    "scales 5 % too large": change(SCALE, at(*EVERY, times=1.05)),
    "scales 20 % too large": change(SCALE, at(*EVERY, times=1.2)),
    "scales 1 % too large": change(SCALE, at(*EVERY, times=1.01)),
    "groups' scales reversed": change(SCALE, lambda s: s.flip(0)),
    "scales of all outputs in another order": change(SCALE, lambda s: s.roll(1, 1)),
    "integers one more or less at random": repacked(CODE, random_signs),
    "integers of all one more": repacked(CODE, lambda q, top: torch.where(q < top, q + 1, q)),
    "integers their complements": repacked(CODE, lambda q, top: top - q),
    "groups of input features reversed": change("g_idx", lambda g: g.flip(0)),
    "one input feature in another group": change("g_idx", at(0, to=1)),
    "one output of zeros": repacked(CODE, lambda q, top: at(slice(None), 9, to=top // 2 + 1)(q)),
    "input features reversed": repacked(CODE, lambda q, top: q.flip(0)),
    "two blocks of input features exchanged": repacked(CODE, lambda q, top: q.roll(32, 0)),
}
SEEN_IN_THE_RECORD = {
    "two outputs exchanged": repacked(CODE, swapped(9, 10, dim=1)),  # two outputs may be alike
    "one integer one more": repacked(CODE, lambda q, top: at(5, 7, add=1 if q[5, 7] < top else -1)(q)),
    "the last integer": repacked(CODE, lambda q, top: at(-1, -1, add=-1 if q[-1, -1] else 1)(q)),
    "one scale 1 % too large": change(SCALE, at(1, 20, times=1.01)),
    "one scale 5 % too small": change(SCALE, at(0, 3, times=0.95)),
    "one zero point one more": repacked(ZERO, lambda z, top: at(30, 1, add=1 if z[30, 1] < top else -1)(z)),
    "two input features exchanged": repacked(CODE, swapped(40, 41)),
}


@pytest.mark.skipif(importlib.util.find_spec("gptqmodel") is None, reason="GPTQModel is not installed")
@pytest.mark.parametrize(("name", "symmetric"), GPTQ)
@pytest.mark.parametrize("plant", [*SEEN_IN_THE_WEIGHTS, *SEEN_IN_THE_RECORD])
def test_a_fault_planted_in_gptq_is_named(calibrated, name, symmetric, plant):
    case = calibrated(name, symmetric)
    assert gptq_fault(case, lambda state: None, recorded=True) is None
    change_it = (SEEN_IN_THE_WEIGHTS | SEEN_IN_THE_RECORD)[plant]
    assert gptq_fault(case, change_it, recorded=True) is not None
    if plant in SEEN_IN_THE_WEIGHTS:
        assert gptq_fault(case, change_it, recorded=False) is not None


# --- no false alarm ---


REAL = [(name, (576, 1536), dtype) for name in PLANTS for dtype in (torch.bfloat16, torch.float16)]
REAL += [(name, (2048, 5632), torch.bfloat16) for name in PLANTS if not format_of(name).simulated]


@pytest.mark.parametrize(("name", "shape", "dtype"), REAL, ids=str)
def test_untouched_layers_of_real_shapes_pass(name, shape, dtype):
    original = linear(*shape, dtype=dtype, bias=False)
    assert fault_of(name, original, lambda state: None) is None


@pytest.mark.parametrize("name", PLANTS)
@pytest.mark.parametrize(
    "kind",
    ["heavy tails", "an offset", "tiny", "below normal", "large", "huge", "rows of zeros", "rows of one value",
     "one large weight"],
)  # fmt: skip
def test_untouched_layers_of_odd_weights_pass(name, kind):
    original = linear(dtype=torch.float16 if kind in ("tiny", "large") else torch.bfloat16)
    weight = original.weight
    if kind == "heavy tails":
        weight.data = (weight * torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)) ** 3).to(
            weight.dtype
        )
    elif kind == "an offset":
        weight.data += 0.3
    elif kind == "tiny":
        weight.data *= 1e-3
    elif kind == "below normal":  # as decay leaves them, taken for zero by processors and kernels
        weight.data *= 1e-39
    elif kind == "large":  # sums would be beyond float16
        weight.data *= 3e4 / weight.abs().max()
    elif kind == "huge":  # and squares beyond float32
        weight.data *= 1e25
    elif kind == "rows of one value":
        weight.data[::3] = 0.05
    elif kind == "rows of zeros":
        weight.data[::7] = 0
    else:
        weight.data[3, 5] = 50
    assert fault_of(name, original, lambda state: None) is None


# --- what surrounds the layers ---


def test_two_formats_that_take_one_layer_for_their_own_are_an_error(monkeypatch):
    monkeypatch.setattr(type(format_of("rtn-4")), "recognises", lambda self, layer: self.name in ("rtn-4", "rtn-3"))
    with pytest.raises(UserError, match=r"^the formats rtn-4 and rtn-3 both take .* for their own"):
        checkpoint_audit.recognise(nn.Identity())
    assert list(FORMATS).index("rtn-4") < list(FORMATS).index("rtn-3")


def test_a_simulated_layer_is_of_the_format_that_made_it():
    """A second format of as many bits does not take it for its own."""
    made = format_of("rtn-8").quantize(linear(), options_of("rtn-8"))
    other = copy.copy(format_of("rtn-8"))
    other.name = "mx-8"
    assert not other.recognises(made)
    assert checkpoint_audit.recognise(made) == "rtn-8"


def test_buffers_and_settings_are_the_originals(tmp_path):
    source = tiny.llama(tmp_path / "source")
    folder = tiny.make_checkpoint(
        source, tmp_path / "made", tiny.LLAMA, "bfloat16", language="bnb-int8", head="bnb-int8"
    )
    original = checkpoint.load_original(source, tiny.LLAMA, "bfloat16")
    model = checkpoint.load(folder, tiny.LLAMA, "cpu")
    assert checkpoint_audit.changed_elsewhere(model, original, []) == []
    model.model.rotary_emb.inv_freq *= 1.01
    model.config.rms_norm_eps = 1e-3
    faults = {row["path"]: row["fault"] for row in checkpoint_audit.changed_elsewhere(model, original, [])}
    assert faults["model.rotary_emb.inv_freq"] == "is a buffer that differs from the original's"
    assert faults["config.rms_norm_eps"] == "is 0.001 where the original has 1e-06"
