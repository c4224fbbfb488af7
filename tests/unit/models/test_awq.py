"""AWQ: factors that lessen the error of outputs, layers that do what is stored, and an audit that sees any change."""

import functools
import importlib.util
import re
from dataclasses import replace

import pytest
import tiny_models as tiny
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from bitbudget import files
from bitbudget.models import checkpoint
from bitbudget.models.audit import checkpoint_audit
from bitbudget.models.calibration.inputs import inputs_of
from bitbudget.models.formats import awq_quantize
from bitbudget.models.formats.base import Calibration, Layer, Seen
from bitbudget.registry import format_of
from bitbudget.runtimes.transformers import calibration as calibration_inputs

if importlib.util.find_spec("gptqmodel") is None:
    pytest.skip("GPTQModel is not installed, whose installation needs a C compiler", allow_module_level=True)

TEXTS = [
    f"{who} went {where} and saw the red dog, and then {who} went home."
    for who in ("she", "a cat", "an old friend")
    for where in ("to his house", "on and on")
]


def spec(bits, **chosen):
    name = f"awq-{bits}"
    defaults = {key: rule["default"] for key, rule in format_of(name).options.items()}
    return defaults | {"format": name, "group_size": 32, "symmetric": False} | chosen


def uneven(positions=300, columns=128):
    """Inputs of which a few features are thirty times as large as the others, as in language models."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(positions, columns, generator=generator)
    inputs[:, ::16] *= 30
    return inputs


def linear(rows=64, columns=128, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(columns, rows, device="meta", dtype=dtype)
    layer.weight = nn.Parameter((torch.randn(rows, columns, generator=generator) * columns**-0.5).to(dtype), False)
    layer.bias = nn.Parameter(torch.randn(rows, generator=generator).to(dtype), False)
    return layer


def rounded(bits, layer, inputs, dtype=torch.bfloat16, **chosen):
    wanted = Layer("the.layer", layer, "language", spec(bits, **chosen))
    copy = nn.Linear(layer.in_features, layer.out_features)
    copy.weight.data, copy.bias.data = layer.weight.data.float().clone(), layer.bias.data.float().clone()
    seen = Seen([inputs[:200], inputs[200:]])
    return format_of(f"awq-{bits}").quantize_seen(replace(wanted, module=copy), seen, dtype)


@pytest.mark.parametrize("exponent", [0.0, 0.35, 0.95])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_factors_are_exact_and_as_far_below_one_as_above(dtype, exponent):
    sizes = torch.cat([torch.logspace(-2, 2, 63), torch.zeros(1)])
    factors = awq_quantize.factors_of(sizes, exponent, dtype)
    assert torch.equal(factors, factors.to(dtype).float())
    assert bool((factors > 0).all())
    assert (factors.max() * factors.min()).item() == pytest.approx(1, rel=0.02)
    within = factors[:63] * sizes[:63] ** exponent
    torch.testing.assert_close(within, within.mean().expand_as(within), rtol=0.01, atol=0)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [8, 4, 3, 2])
def test_outputs_change_less_than_with_plain_rounding(bits, symmetric):
    layer, inputs, fmt = linear(), uneven(), format_of(f"awq-{bits}")
    state, report = rounded(bits, layer, inputs, symmetric=symmetric)
    found = fmt.held(state, (64, 128), spec(bits)).weights()
    nearest = fmt.reference(layer.weight, spec(bits, symmetric=symmetric))
    errors = [(inputs @ (weights - layer.weight).T).square().mean().item() for weights in (found, nearest)]
    assert errors[0] < 0.7 * errors[1]
    assert report["loss"] == pytest.approx(errors[0], rel=0.05)
    assert report["exponent"] > 0


def test_where_all_inputs_are_alike_nothing_is_lost():
    layer, inputs = linear(), torch.randn(300, 128, generator=torch.Generator().manual_seed(2))
    _, report = rounded(4, layer, inputs)
    nearest = format_of("awq-4").reference(layer.weight, spec(4))
    assert report["loss"] <= (inputs @ (nearest - layer.weight).T).square().mean().item() * 1.0001


@pytest.mark.parametrize("kernel", ["torch", "torch-int8"])
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_a_layer_multiplies_with_what_is_stored_and_is_taken_for_awq_only(bits, kernel):
    layer, inputs, fmt = linear(dtype=torch.bfloat16), uneven(), format_of(f"awq-{bits}")
    options = spec(bits, kernel=kernel)
    state, _ = rounded(bits, layer, inputs, kernel=kernel)
    shell = nn.Linear(128, 64, device="meta", dtype=torch.bfloat16)
    made = fmt.restore(shell, state | {"bias": layer.bias}, options, "cpu")
    plain = format_of(f"gptq-{bits}").restore(
        shell, {k: v for k, v in state.items() if k != "factors"} | {"bias": layer.bias}, options, "cpu"
    )
    assert checkpoint_audit.recognise(plain) == f"gptq-{bits}"
    assert checkpoint_audit.bytes_of(made) == checkpoint_audit.bytes_of(plain) + 2 * 128
    x = inputs[:8].bfloat16()
    weights = fmt.multiplied(fmt.held(state, (64, 128), options), options).weights()
    expected = x.float() @ weights.T + layer.bias.float()
    assert (made(x).float() - expected).norm() < 0.01 * expected.norm()
    assert checkpoint_audit.recognise(made) == f"awq-{bits}"
    assert "a factor for each input feature" in fmt.storage(made)


# --- through a model ---


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    return tiny.llama(tmp_path_factory.mktemp("llama"))


def made(snapshot, folder, plant=None, **asked):
    load = functools.partial(checkpoint.original, snapshot, tiny.LLAMA, "bfloat16")
    calibration = Calibration(load, calibration_inputs.of_texts(snapshot, TEXTS))
    model, wanted = (
        checkpoint.original(snapshot, tiny.LLAMA, "bfloat16"),
        tiny.assignment(tiny.LLAMA, "bfloat16", **asked),
    )
    layers, stored = checkpoint.quantize(model, tiny.LLAMA, wanted, "cpu", calibration)
    tensors = dict(stored)
    if plant:
        plant(tensors)
    manifest = checkpoint.save(folder, snapshot, model, tensors.items(), layers)
    told = {"calibration_hash": files.hash_of(TEXTS), "n": len(TEXTS), "texts": len(TEXTS)} | calibration.report
    files.write_json(
        folder / checkpoint.MANIFEST, {"dtype": "bfloat16", "device": "cpu", "calibration": told, **manifest}
    )


def faults(snapshot, folder, trust=True, **asked):
    model = checkpoint.load(folder, tiny.LLAMA, "cpu")
    original = checkpoint.load_original(snapshot, tiny.LLAMA, "bfloat16")
    told = checkpoint.manifest(folder)["calibration"]["layers"]
    decided = {path: facts["decided"] for path, facts in told.items()} if trust else None
    texts = calibration_inputs.of_texts(snapshot, TEXTS)
    layers = checkpoint_audit.audit_layers(
        model, original, tiny.LLAMA, tiny.assignment(tiny.LLAMA, "bfloat16", **asked), "cpu",
        functools.partial(checkpoint.stored_state, folder), decided,
        functools.partial(inputs_of, model, list(told), texts, "cpu"),
    )  # fmt: skip
    others = checkpoint_audit.other_parameters(model, original, tiny.LLAMA, layers)
    return checkpoint_audit.faults_in_one_sentence("x", layers, others)


@pytest.mark.parametrize(
    "asked",
    [
        {"language": spec(4)},
        {"language_attention": spec(8, kernel="torch-int8"), "language_mlp": spec(3, symmetric=True, group_size=-1)},
        {"language_attention": spec(2), "language_mlp": spec(4) | {"format": "gptq-4", "damping": 0.05}},
    ],
)
def test_a_model_is_quantized_and_passes_its_audit_with_all_else_untouched(asked, snapshot, tmp_path):
    made(snapshot, tmp_path, **asked)
    assert faults(snapshot, tmp_path, **asked) == ""


PATH = "model.layers.1.mlp.up_proj"


def doubled_factor(tensors):
    tensors[f"{PATH}.factors"][5] *= 2


def factors_of_one(tensors):
    tensors[f"{PATH}.factors"].fill_(1)


def another_integer(tensors):
    tensors[f"{PATH}.qweight"][3, 7] ^= 1 << 9


def another_zero_point(tensors):
    tensors[f"{PATH}.qzeros"][0, 0] ^= 1


@pytest.mark.parametrize("plant", [doubled_factor, factors_of_one, another_integer, another_zero_point])
def test_what_is_not_the_definitions_is_found_without_any_record(plant, snapshot, tmp_path):
    made(snapshot, tmp_path, plant, language=spec(4))
    found = faults(snapshot, tmp_path, trust=False, language=spec(4))
    assert found.startswith(f"precision x is not what its name says: {PATH} has ")
    assert ";" not in found


def test_factors_that_are_no_positive_numbers_are_refused(snapshot, tmp_path):
    made(snapshot, tmp_path, language=spec(4))
    path = tmp_path / "weights-00001.safetensors"
    tensors = load_file(path)
    tensors[f"{PATH}.factors"][2] = -1
    save_file(tensors, path)
    tiny.seal(tmp_path)
    with pytest.raises(checkpoint.UserError, match=re.escape(f"does not hold {PATH} as awq-4 stores it")):
        checkpoint.load(tmp_path, tiny.LLAMA, "cpu")
