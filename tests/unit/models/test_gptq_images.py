"""GPTQ of vision-language models: calibrated on images with prompts and answers, in every kind of model."""

import functools
import importlib.util
import os
import subprocess
from pathlib import Path

import pytest
import tiny_models as tiny
import torch
from asked import asked
from PIL import Image
from torch import nn

import warm
from bitbudget import files
from bitbudget.models import checkpoint
from bitbudget.models.audit import checkpoint_audit
from bitbudget.models.calibration import quantizing
from bitbudget.models.calibration.inputs import inputs_of
from bitbudget.models.calibration.walk import walk
from bitbudget.models.formats import packed
from bitbudget.models.formats.base import Calibration, Layer
from bitbudget.models.formats.grid import gptq
from bitbudget.records import _validator
from bitbudget.registry import format_of
from bitbudget.runtimes.transformers import calibration as calibration_inputs
from bitbudget.runtimes.transformers import generation

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"
PROMPT = "Describe the image in one sentence."
ANSWERS = ["a red dog", "two small boats on a lake", "nothing </s> but sky"]
needs_gptqmodel = pytest.mark.skipif(
    importlib.util.find_spec("gptqmodel") is None, reason="GPTQModel is not installed, which needs a C compiler"
)


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("snapshots")
    return {name: maker(folder / name) for name, (maker, _) in tiny.MAKERS.items()}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Six calibration items of three sizes, as `available.usable_items` gives them; the last has two images."""
    folder, rows = tmp_path_factory.mktemp("pictures"), []
    for number in range(6):
        path = folder / f"{number}.png"
        noise = torch.randint(
            0, 256, (*tiny.SIZES[number % 3][::-1], 3), generator=torch.Generator().manual_seed(number)
        )
        Image.fromarray(noise.to(torch.uint8).numpy()).save(path)
        references = [ANSWERS[number % 3]]
        rows.append({"id": str(number), "images": [str(path)], "question": None, "references": references, "extra": {}})
    rows[-1]["images"].append(rows[0]["images"][0])
    return rows


def given(snapshot, family, pictures):
    return calibration_inputs.OfImages(snapshot, family, pictures, PROMPT)


# --- what a model is given ---


@pytest.mark.parametrize("name", tiny.MAKERS)
def test_the_answer_stands_where_the_model_would_write_it(name, snapshots, pictures):
    family, processor = tiny.MAKERS[name][1], generation.load_processor(snapshots[name])
    for item, inputs in zip(pictures, given(snapshots[name], family, pictures), strict=True):
        asked = generation.prepare_items(processor, family, [item], PROMPT, "cpu", torch.float32)
        length = asked["input_ids"].shape[1]
        assert torch.equal(inputs["input_ids"][:, :length], asked["input_ids"])
        assert torch.equal(inputs["pixel_values"], asked["pixel_values"])
        written = processor.tokenizer.decode(inputs["input_ids"][0, length:])
        assert written.strip() == item["references"][0]
        assert processor.tokenizer.eos_token_id not in inputs["input_ids"][0, length:], "an answer is text"


# --- going through a model ---


@pytest.mark.parametrize("name", tiny.MAKERS)
def test_each_layer_is_seen_once_with_what_a_plain_pass_gives_it(name, snapshots, pictures):
    family = tiny.MAKERS[name][1]
    model = checkpoint.load_original(snapshots[name], family, "float32")
    all_layers = checkpoint.linear_layers(model, family, tiny.assignment(family, "float32"))
    layers = {layer.path: layer.module for layer in all_layers if layer.group.startswith(("vision", "language"))}
    inputs = list(given(snapshots[name], family, pictures))
    plain: dict[str, list[torch.Tensor]] = {path: [] for path in layers}
    hooks = [
        module.register_forward_pre_hook(lambda _, got, path=path: plain[path].append(got[0]))
        for path, module in layers.items()
    ]
    for one in inputs:
        model(**one)
    for hook in hooks:
        hook.remove()
    seen = dict(walk(model, layers, inputs, "cpu", torch.float32))
    assert set(seen) == {path for path in plain if plain[path]}
    for path, tensors in seen.items():
        assert len(tensors) == len(inputs)
        assert all(torch.equal(*pair) for pair in zip(tensors, plain[path], strict=True)), path
    assert not any(module._forward_pre_hooks for module in layers.values())


def test_what_is_done_to_a_layer_counts_for_the_layers_after_it(snapshots, pictures):
    model = checkpoint.load_original(snapshots["llava"], tiny.LLAVA, "float32")
    paths = [f"model.language_model.layers.{number}.self_attn.v_proj" for number in (0, 1)]
    layers = {path: model.get_submodule(path) for path in paths}
    inputs, found = list(given(snapshots["llava"], tiny.LLAVA, pictures)), []
    for path, tensors in walk(model, layers, inputs, "cpu", torch.float32):
        found.append(tensors)
        layers[path].weight.data.zero_()
    alone = []
    layers[paths[1]].register_forward_pre_hook(lambda _, got: alone.append(got[0]))
    for one in inputs:
        model(**one)
    assert all(torch.equal(*pair) for pair in zip(found[1], alone, strict=True))


class Experts(nn.Module):
    """Each item goes to one of two experts, and some through the last layer twice."""

    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(4, 4, bias=False) for _ in range(3))
        self.last, self.dtype = nn.Linear(4, 4, bias=False), torch.float32
        self.config = type("Config", (), {"get_text_config": lambda self: self})()

    def forward(self, x, expert):
        x = self.last(self.experts[int(expert)](x))
        return self.last(x) if expert else x


def test_layers_that_a_part_of_the_items_reach_see_that_part():
    model = Experts().requires_grad_(False)
    inputs = [{"x": torch.full((1, 4), float(k)), "expert": torch.tensor(k % 2)} for k in range(5)]
    layers = {path: module for path, module in model.named_modules() if isinstance(module, nn.Linear)}
    steps = walk(model, layers, inputs, "cpu", torch.float32)
    seen = {path: sorted(tensor[0, 0].item() for tensor in tensors) for path, tensors in steps}
    assert seen["experts.0"] == [0, 2, 4]
    assert seen["experts.1"] == [1, 3]
    assert len(seen["last"]) == 5
    assert "experts.2" not in seen


class Twice(nn.Module):
    """Every item goes through the first layer twice, before it comes to the second."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(32, 32, bias=False), nn.Linear(32, 32, bias=False)
        self.config = type("Config", (), {"get_text_config": lambda self: self})()

    def forward(self, x, input_ids):
        return self.second(self.first(self.first(x)))


class AsStored:
    """What is asked of a model whose weights are read when they are asked for."""

    def __init__(self):
        self.model, self._stored = Twice().requires_grad_(False), {}
        for name, value in list(self.model.named_parameters()):
            self._stored[name] = value.data.clone()
            self._put(name, value.to("meta"))

    def _put(self, name, value):
        self.model.get_submodule(name.split(".")[0]).weight = nn.Parameter(value, requires_grad=False)

    def fill(self, names):
        for name in names:
            self._put(name, self._stored[name].clone())


def test_a_layer_is_read_when_it_is_reached_let_go_and_there_again_as_it_was_quantized(monkeypatch):
    original, fmt, reached, there = AsStored(), format_of("awq-4"), {}, {}
    spec = {"format": "awq-4", "group_size": 16, "symmetric": False, "kernel": "torch"}
    layers = [Layer(path, module, "language", spec) for path, module in original.model.named_children()]
    ask = type(fmt).quantize_seen

    def noted(self, layer, seen, dtype):
        reached[layer.path] = seen.shared("all", lambda tensors: [tensor.clone() for tensor in tensors])
        there[layer.path] = [one.path for one in layers if not one.module.weight.is_meta]
        return ask(self, layer, seen, dtype)

    monkeypatch.setattr(type(fmt), "quantize_seen", noted)
    inputs = [{"x": torch.randn(1, 5, 32), "input_ids": torch.zeros(1, 5)} for _ in range(3)]
    states = quantizing.quantize(layers, Calibration(lambda: original, inputs), torch.bfloat16, "cpu")
    assert there["first"] == ["first"]
    weight = fmt.held(states["first"], (32, 32), spec).weights()
    for given, seen in zip(inputs, reached["second"], strict=True):
        torch.testing.assert_close(seen, given["x"] @ weight.T @ weight.T)


# --- from quantizing to the answers ---


def gptq_spec(bits, **chosen):
    return {"format": f"gptq-{bits}", "group_size": 32, "symmetric": False} | chosen


def made(snapshot, family, folder, pictures, dtype="bfloat16", **asked):
    load = functools.partial(checkpoint.original, snapshot, family, dtype)
    calibration = Calibration(load, given(snapshot, family, pictures))
    assignment = tiny.assignment(family, dtype, **asked)
    model = checkpoint.original(snapshot, family, dtype)
    layers, tensors = checkpoint.quantize(model, family, assignment, "cpu", calibration)
    manifest = checkpoint.save(folder, snapshot, model, tensors, layers)
    told = {"calibration_hash": files.hash_of("x"), "n": len(pictures), "images": len(pictures)} | calibration.report
    files.write_json(folder / checkpoint.MANIFEST, {"dtype": dtype, "device": "cpu", "calibration": told, **manifest})
    return told


def audited(snapshot, family, folder, pictures, dtype="bfloat16", **asked):
    model, original = checkpoint.load(folder, family, "cpu"), checkpoint.load_original(snapshot, family, dtype)
    told = checkpoint.manifest(folder)["calibration"]["layers"]
    decided = {path: facts["decided"] for path, facts in told.items()}
    inputs = functools.partial(inputs_of, model, list(decided), given(snapshot, family, pictures), "cpu")
    states = functools.partial(checkpoint.stored_state, folder)
    assigned = tiny.assignment(family, dtype, **asked)
    layers = checkpoint_audit.audit_layers(model, original, family, assigned, "cpu", states, decided, inputs)
    return layers, checkpoint_audit.other_parameters(model, original, family, layers)


ASKED = {
    "4": {"language": gptq_spec(4)},
    "awq": {"language": gptq_spec(4) | {"format": "awq-4"}},
    "2-vision": {"language_mlp": gptq_spec(2), "vision": gptq_spec(3)},
}


@needs_gptqmodel
@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("name", tiny.MAKERS)
def test_a_decoder_is_quantized_audited_and_answers(name, asked, snapshots, pictures, tmp_path):
    family, snapshot, asked = tiny.MAKERS[name][1], snapshots[name], ASKED[asked]
    told = made(snapshot, family, tmp_path, pictures, **asked)
    layers, others = audited(snapshot, family, tmp_path, pictures, **asked)
    assert checkpoint_audit.faults_in_one_sentence("x", layers, others) == ""
    quantized = {layer.path for layer in layers if format_of(layer.asked).calibrated}
    assert quantized == set(told["layers"])
    assert {layer.path for layer in layers if format_of(layer.found).calibrated} == quantized
    model, processor = checkpoint.load(tmp_path, family, "cpu"), generation.load_processor(tmp_path)
    prompts = generation.prepare_items(processor, family, pictures[:3], PROMPT, "cpu", torch.bfloat16)
    how = generation.decoding(model, processor, 3, 3)
    assert [answer.new_tokens for answer in generation.answer(model, processor, prompts, how)] == [3, 3, 3]


@needs_gptqmodel
@pytest.mark.parametrize("name", tiny.MAKERS)
def test_the_error_of_outputs_is_less_than_with_rounding_on_the_same_grid(name, snapshots, pictures, tmp_path):
    """On the inputs of the first layers, which no other layer has changed."""
    family, snapshot = tiny.MAKERS[name][1], snapshots[name]
    made(snapshot, family, tmp_path, pictures, language=gptq_spec(3))
    original = checkpoint.load_original(snapshot, family, "float32")
    names = [name for name, _ in original.named_modules()]
    first = ("layers.0.self_attn.q_proj", "layers.0.self_attn.qkv_proj")
    path = next(name for name in names if name.endswith(first) and "vision" not in name)
    layers, inputs = {path: original.get_submodule(path)}, given(snapshot, family, pictures)
    ((_, seen),) = walk(original, layers, inputs, "cpu", torch.float32)
    x = torch.cat([tensor.reshape(-1, tensor.shape[-1]) for tensor in seen])
    exact = original.get_submodule(path).weight
    found = packed.dequantize(checkpoint.stored_state(tmp_path, path), 3)
    nearest = gptq(exact, 3, 32, False).nearest(exact)
    solved, rounded = ((x @ (weight - exact).T).norm() for weight in (found, nearest))
    assert solved < 0.85 * rounded


# --- as the rules run it ---


def run(name, fails=False, **paths):
    command = [warm.python(), SCRIPTS / f"{name}.py"]
    for key, value in paths.items():
        command += [f"--{key.replace('_', '-')}", asked(name, value) if isinstance(value, dict) else str(value)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr


@needs_gptqmodel
def test_the_scripts_quantize_and_audit_on_the_studys_images_and_prompt(snapshots, pictures, tmp_path):
    snapshot = snapshots["idefics3"]
    prepared = {row["id"]: {"file": row["images"][0], "size": list(tiny.SIZES[0])} for row in pictures[:5]}
    files.write_json(tmp_path / "images.json", {"images": prepared, "skipped": [{"id": "5"}]})
    rows = [row | {"images": [{"id": row["id"], "source": "x"}]} for row in pictures]
    files.write_jsonl(tmp_path / "items.jsonl", rows)
    spec = {
        "study": "test", "model": "tiny", "precision": "gptq-2", "family": "idefics3", "dtype": "bfloat16",
        "device": "cpu", "simulated": [], "least_coverage": 0.5,
        "calibration": {"asked": {"prompt": PROMPT, "max_side": 64, "enlarge": False}},
        "assignment": tiny.assignment(tiny.IDEFICS, "bfloat16", language=gptq_spec(2)),
    }  # fmt: skip
    seen = {"calibration": tmp_path / "items.jsonl", "calibration_images": tmp_path / "images.json"}
    run("quantize_model", model_dir=snapshot, spec=spec, out=tmp_path / "made", **seen)
    record = files.read_json(tmp_path / "made" / checkpoint.MANIFEST)
    _validator("checkpoint").validate(record)
    assert {key: record["calibration"][key] for key in ("n", "images")} == {"n": 6, "images": 5}
    inputs = given(snapshot, tiny.IDEFICS, pictures[:5])
    assert record["calibration"]["tokens"] == sum(one["input_ids"].numel() for one in inputs)
    audit = {"checkpoint": tmp_path / "made", "model_dir": snapshot, "out": tmp_path / "audit.json"}
    run("audit_checkpoint", spec=spec, **audit, **seen)
    layers = files.read_json(tmp_path / "audit.json")["layers"]
    assert {layer["found"] for layer in layers if layer["group"].startswith("language.")} == {"gptq-2"}
