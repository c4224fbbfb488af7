"""The audit: what is not what its name says is found and named, and what is right passes."""

import math

import pytest
import tiny_models as tiny
import torch
from torch import nn

from bitbudget import files, records
from bitbudget.errors import UserError
from bitbudget.models import checkpoint
from bitbudget.models.audit import at_once, checkpoint_audit
from bitbudget.registry import format_of

MLP = "model.language_model.layers.1.mlp.down_proj"


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    return tiny.llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def original(snapshot):
    return checkpoint.load_original(snapshot, tiny.LLAVA, "bfloat16")


@pytest.fixture(scope="module")
def int8_checkpoint(snapshot, tmp_path_factory):
    return tiny.make_checkpoint(snapshot, tmp_path_factory.mktemp("int8"), tiny.LLAVA, "bfloat16", language="bnb-int8")


@pytest.fixture
def int8(int8_checkpoint):
    """A loaded model whose language part is int8, to be spoilt."""
    return checkpoint.load(int8_checkpoint, tiny.LLAVA, "cpu")


def audited(model, original, dtype="bfloat16", family=tiny.LLAVA, **asked):
    """All layers and other parameters."""
    layers = checkpoint_audit.audit_layers(model, original, family, tiny.assignment(family, dtype, **asked), "cpu")
    return layers, checkpoint_audit.other_parameters(model, original, family, layers)


def sentence_of(model, original, dtype="bfloat16", **asked):
    with pytest.raises(UserError) as caught:
        checkpoint_audit.refuse_faults("the-precision", *audited(model, original, dtype, **asked))
    return str(caught.value)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"language": "bnb-int8"},
        {"vision": "bnb-int8", "language": "bnb-nf4", "head": "torchao-int8"},
        {"language": "torchao-int4", "vision": "rtn-2"},
        {"language": "torchao-int8-dynamic", "vision": "torchao-int8-dynamic", "head": "torchao-int8-dynamic"},
        {"vision": "rtn-8", "projector": "rtn-8", "language": "rtn-8", "head": "rtn-8"},
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_right_checkpoint_passes(snapshot, tmp_path, dtype, asked):
    folder = tiny.make_checkpoint(snapshot, tmp_path, tiny.LLAVA, dtype, **asked)
    model = checkpoint.load(folder, tiny.LLAVA, "cpu")
    layers, others = audited(model, checkpoint.load_original(snapshot, tiny.LLAVA, dtype), dtype, **asked)
    assert checkpoint_audit.faults_in_one_sentence("x", layers, others) == ""
    linear = {path for path, module in model.named_modules() if path in {layer.path for layer in layers}}
    assert len(linear) == len(layers) == 2 * 6 + 2 + 2 * 7 + 1
    for layer in layers:
        assert layer.found == layer.asked
        assert (layer.relative_error is None) == format_of(layer.asked).is_float
    assert {other["storage"] for other in others} == {dtype}


@pytest.mark.parametrize(
    ("name", "format_name"),
    [
        ("qwen2-vl", "bnb-int8"),
        ("idefics3", "bnb-int8"),
        *[(name, format_name) for name in tiny.TEXT_MAKERS for format_name in ("bnb-int8", "bnb-nf4", "torchao-int8")],
    ],
)
def test_other_families_pass(name, format_name, tmp_path):
    maker, family = (tiny.MAKERS | tiny.TEXT_MAKERS)[name]
    source = maker(tmp_path / "source")
    folder = tiny.make_checkpoint(source, tmp_path / "checkpoint", family, "bfloat16", language=format_name)
    model, original = checkpoint.load(folder, family, "cpu"), checkpoint.load_original(source, family, "bfloat16")
    layers, others = audited(model, original, family=family, language=format_name)
    checkpoint_audit.refuse_faults("x", layers, others)
    assert {layer.found for layer in layers} == {format_name, "bfloat16"}


def test_every_parameter_stands_once(int8, original):
    layers, others = audited(int8, original, language="bnb-int8")
    counted = sum(la.parameters for la in layers) + sum(o["parameters"] for o in others)
    biases = sum(
        module.bias.numel()
        for module in original.modules()
        if isinstance(module, nn.Linear) and module.bias is not None
    )
    assert counted + biases == sum(p.numel() for p in original.parameters())
    float_bytes = sum(p.nbytes for p in original.parameters())
    assert 0.3 * float_bytes < sum(la.bytes for la in layers) + sum(o["bytes"] for o in others) < 0.85 * float_bytes


# --- the traps ---


def loaded_by_transformers(snapshot, skipped):
    """The snapshot as transformers quantizes it, sparing the modules of this list."""
    from transformers import BitsAndBytesConfig

    model = tiny.LLAVA.model_class().from_pretrained(
        snapshot,
        dtype=torch.bfloat16,
        device_map="cpu",
        quantization_config=BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skipped),
    )
    return model.eval().requires_grad_(False)


def test_the_skip_list_that_skips_nothing_is_found_out(snapshot, original):
    model = loaded_by_transformers(snapshot, ["vision_tower"])
    sentence = sentence_of(model, original, language="bnb-int8", head="bnb-int8", projector="bnb-int8")
    assert sentence.startswith("precision the-precision is not what its name says: model.vision_tower.")
    assert "holds bnb-int8 where bfloat16 was asked for" in sentence
    assert "; and 7 more." in sentence, "all twelve layers of the vision tower"


def test_a_skip_list_that_fits_leaves_the_head_quantized_and_that_is_found_out(snapshot, original):
    model = loaded_by_transformers(snapshot, ["model.vision_tower", "model.multi_modal_projector"])
    sentence = sentence_of(model, original, language="bnb-int8")
    assert sentence == (
        "precision the-precision is not what its name says: lm_head holds bnb-int8 where bfloat16 was asked for."
    )


def test_a_layer_that_was_not_quantized(int8, original):
    checkpoint.replace(int8, MLP, original.get_submodule(MLP))
    assert f"{MLP} holds bfloat16 where bnb-int8 was asked for." in sentence_of(int8, original, language="bnb-int8")


def test_a_layer_that_was_quantized_unasked(int8, original):
    sentence = sentence_of(int8, original, language_attention="bnb-int8")
    assert sentence.count("mlp") == 5
    assert sentence.endswith("; and 1 more.")


@pytest.mark.parametrize("name", ["bnb-int8", "bnb-nf4", "torchao-int8", "torchao-int4", "rtn-2"])
def test_the_weights_of_another_layer(snapshot, original, tmp_path, name):
    folder = tiny.make_checkpoint(snapshot, tmp_path, tiny.LLAVA, "bfloat16", language=name)
    model = checkpoint.load(folder, tiny.LLAVA, "cpu")
    checkpoint.replace(model, MLP, model.get_submodule(MLP.replace("layers.1", "layers.0")))
    assert f"{MLP} has weights that are off by 1." in sentence_of(model, original, language=name)


def test_weights_that_are_not_numbers(int8, original):
    scales = int8.get_submodule(MLP).weight.SCB
    scales[3] = math.nan
    assert f"{MLP} has weights that are off by nan" in sentence_of(int8, original, language="bnb-int8")


def test_weights_that_were_not_rounded(int8, original):
    """A layer of the right class around weights with all their digits."""
    from bitbudget.models.formats.simulated import SimulatedLinear

    exact = original.get_submodule(MLP)
    checkpoint.replace(int8, MLP, SimulatedLinear("rtn-3", exact.weight.clone(), None))
    layers, _ = audited(int8, original, language="bnb-int8", language_mlp="rtn-3")
    fault = next(layer.fault for layer in layers if layer.path == MLP)
    assert fault.startswith("has weights that are off by 0.0000 only, so they were not rounded as rtn-3 rounds (row 0,")


def test_coarser_rounding_under_a_finer_name(int8, original):
    from bitbudget.models.formats.simulated import SimulatedLinear

    weight = original.get_submodule(MLP).weight
    grid = {"group_size": 64, "symmetric": False, "gptq_grid": False}
    rounded = format_of("rtn-3").reference(weight, grid).to(weight.dtype)
    checkpoint.replace(int8, MLP, SimulatedLinear("rtn-4", rounded, None))
    layers, _ = audited(int8, original, language="bnb-int8", language_mlp={"format": "rtn-4"} | grid)
    assert "promises 0.0" in next(layer.fault for layer in layers if layer.path == MLP)


@pytest.mark.parametrize(
    "ending", ["lm_head.weight", "encoder.layers.0.mlp.fc1.weight", "language_model.norm.weight", "embed_tokens.weight"]
)
def test_float_weights_that_differ_from_the_originals(int8, original, ending):
    name = next(name for name, _ in int8.named_parameters() if name.endswith(ending))
    int8.get_parameter(name).data.view(-1)[5] += 0.5
    sentence = sentence_of(int8, original, language="bnb-int8")
    assert name.removesuffix(".weight") in sentence
    assert "than the original." in sentence or "differs from the original." in sentence


def test_what_is_not_a_number_in_the_original_may_stay_so(int8, snapshot):
    original = checkpoint.load_original(snapshot, tiny.LLAVA, "bfloat16")
    for model in (int8, original):
        model.get_input_embeddings().weight.data[0] = math.nan
    assert checkpoint_audit.faults_in_one_sentence("x", *audited(int8, original, language="bnb-int8")) == ""


@pytest.mark.parametrize("ending", ["encoder.layers.0.mlp.fc1", "projector.linear_1"])
def test_a_bias_that_differs_from_the_originals(snapshot, original, tmp_path, ending):
    """Of a quantized layer, and of one in a float format."""
    folder = tiny.make_checkpoint(snapshot, tmp_path, tiny.LLAVA, "bfloat16", vision="bnb-int8")
    model = checkpoint.load(folder, tiny.LLAVA, "cpu")
    layer = next(module for name, module in model.named_modules() if name.endswith(ending))
    layer.bias.data[3] += 0.5
    sentence = sentence_of(model, original, vision="bnb-int8")
    assert ending in sentence
    assert "another bias than the original." in sentence


def test_a_norm_in_another_float_format(int8, original):
    norm = int8.get_submodule("model.language_model.norm")
    norm.weight = nn.Parameter(norm.weight.float(), requires_grad=False)
    assert sentence_of(int8, original, language="bnb-int8").endswith(
        "model.language_model.norm.weight holds float32 where bfloat16 was asked for."
    )


def test_a_matrix_of_zeros_must_stay_one(original):
    def of(weight):
        layer = nn.Linear(64, 64, bias=False).requires_grad_(False)
        layer.weight.copy_(weight)
        made = format_of("bnb-int8").quantize(layer, {"threshold": 6.0})
        asked = checkpoint.Layer("a.layer", made, "language", {"format": "bnb-int8", "threshold": 6.0})
        original = nn.Linear(64, 64, bias=False).requires_grad_(False)
        original.weight.zero_()
        return checkpoint_audit.audit_layer(asked, original, "cpu")

    assert of(torch.zeros(64, 64)).fault is None
    assert "has weights that are off by" in of(torch.ones(64, 64)).fault


def test_a_tied_head_counts_once(tmp_path):
    source = tiny.llava(tmp_path / "source", tied=True)
    original = checkpoint.load_original(source, tiny.LLAVA, "bfloat16")
    folder = tiny.make_checkpoint(source, tmp_path / "checkpoint", tiny.LLAVA, "bfloat16")
    layers, others = audited(checkpoint.load(folder, tiny.LLAVA, "cpu"), original)
    checkpoint_audit.refuse_faults("x", layers, others)
    found = checkpoint_audit.by_group(layers, others)
    assert (found["head"]["bytes"], found["head"]["parameters"]) == (0, 0)
    assert sum(group["bytes"] for group in found.values()) == sum(p.nbytes for p in original.parameters())
    folder = tiny.make_checkpoint(source, tmp_path / "untied", tiny.LLAVA, "bfloat16", head="bnb-int8")
    layers, others = audited(checkpoint.load(folder, tiny.LLAVA, "cpu"), original, head="bnb-int8")
    checkpoint_audit.refuse_faults("x", layers, others)
    vocabulary = original.lm_head.out_features
    assert checkpoint_audit.by_group(layers, others)["head"]["bytes"] == vocabulary * 64 + vocabulary * 4


def test_groups_sum_up_their_layers(int8, original):
    layers, others = audited(int8, original, language="bnb-int8")
    found = checkpoint_audit.by_group(layers, others)
    mlp = [layer for layer in layers if layer.group == "language.mlp"]
    assert found["language.mlp"]["format"] == "bnb-int8"
    assert found["language.mlp"]["parameters"] == 2 * 3 * 64 * 128
    assert found["language.mlp"]["bytes"] == 2 * (3 * 64 * 128 + 4 * (128 + 128 + 64))
    assert found["language.mlp"]["relative_error"] == pytest.approx(
        math.sqrt(sum(layer.relative_error**2 for layer in mlp) / 6)
    )
    assert found["language.mlp"]["relative_error"] < 0.011
    assert found["embeddings"]["format"] == "bfloat16"
    assert found["head"]["relative_error"] is None


def test_coverage_is_the_share_of_a_groups_weights_that_the_format_reaches(int8, original):
    layers, others = audited(int8, original, language="bnb-int8")
    asked = {"language.mlp": "bnb-int8", "vision": "bfloat16", "embeddings": "bnb-int8"}
    found = checkpoint_audit.by_group(layers, others, asked)
    assert found["language.mlp"]["coverage"] == found["vision"]["coverage"] == 1
    assert found["embeddings"]["coverage"] == 0
    assert found["language"]["coverage"] is None, "it has norms of its own, and no weights"
    experts = {"path": "x", "group": "language.mlp", "storage": "bfloat16", "kernel": "Experts", "dimensions": 3}
    experts |= {"parameters": 3 * found["language.mlp"]["parameters"], "bytes": 0, "fault": None}
    found = checkpoint_audit.by_group(layers, [*others, experts], asked)
    assert found["language.mlp"]["coverage"] == 0.25


def test_an_audit_leaves_the_layers_as_they_were(int8, original):
    before = tiny_logits(int8)
    audited(int8, original, language="bnb-int8")
    assert torch.equal(tiny_logits(int8), before)


@torch.inference_mode()
def tiny_logits(model):
    return model(input_ids=torch.arange(10, 20)[None]).logits


# --- what lies beside the weights ---


def test_parameters_that_came_or_went_are_named(snapshot, original, tmp_path):
    folder = tiny.make_checkpoint(snapshot, tmp_path, tiny.LLAVA, "bfloat16")
    model = checkpoint.load(folder, tiny.LLAVA, "cpu")
    layer = model.get_submodule(MLP)
    assert original.get_submodule(MLP).bias is None
    layer.bias = nn.Parameter(torch.ones(layer.out_features, dtype=torch.bfloat16), requires_grad=False)
    norm = model.get_submodule("model.language_model.norm")
    norm.bias = nn.Parameter(torch.ones(64, dtype=torch.bfloat16), requires_grad=False)
    model.model.vision_tower.post_layernorm.bias = None
    layers, others = audited(model, original)
    faults = {
        row["path"]: row["fault"] for row in [*others, *checkpoint_audit.changed_elsewhere(model, original, layers)]
    }
    assert next(la.fault for la in layers if la.path == MLP).endswith("but another bias than the original")
    assert faults["model.language_model.norm.bias"] == "is a parameter that the original does not have"
    assert faults["model.vision_tower.post_layernorm.bias"] == "is a parameter of the original that is missing"


def other(name, change):
    """Changes a JSON file of a checkpoint."""

    def plant(folder):
        content = files.read_json(folder / name)
        change(content)
        files.write_json(folder / name, content)

    return plant


def option(path, **options):
    return other(checkpoint.MANIFEST, lambda made: made["layers"][path].update(options))


ON_DISK = {
    "a threshold for outliers": (
        option(MLP, threshold=3.0),
        f"{MLP} was made with threshold 3.0 where 6.0 was asked for.",
    ),
    "the float format": (
        other(checkpoint.MANIFEST, lambda made: made.update(dtype="float16")),
        "the model was made for float16 where bfloat16 was asked for",
    ),
    "where answers end": (
        other("generation_config.json", lambda content: content.update(eos_token_id=9)),
        "generation_config.json is not as the model's snapshot has it",
    ),
    "how pictures are prepared": (
        other("processor_config.json", lambda content: content["image_processor"].update(image_mean=[0.1] * 3)),
        "processor_config.json is not as",
    ),
    "the numbers of tokens": (
        other("tokenizer.json", lambda content: content["model"]["vocab"].update({"!": 7})),
        "tokenizer.json is not as",
    ),
    "a file that went": (lambda folder: (folder / "generation_config.json").unlink(), "generation_config.json is not"),
    "a file that came": (lambda folder: (folder / "preprocessor_config.json").write_text("{}"), "preprocessor_config"),
}


@pytest.mark.parametrize("plant", ON_DISK)
def test_what_a_checkpoints_files_say_otherwise_is_named(plant, snapshot, original, tmp_path):
    folder = tiny.make_checkpoint(snapshot, tmp_path, tiny.LLAVA, "bfloat16", language="bnb-int8")
    assigned = tiny.assignment(tiny.LLAVA, "bfloat16", language="bnb-int8")

    def changed():
        layers, _ = audited(checkpoint.load(folder, tiny.LLAVA, "cpu"), original, language="bnb-int8")
        return checkpoint_audit.changed_on_disk(folder, snapshot, "bfloat16", assigned, layers)

    assert changed() == []
    change, said = ON_DISK[plant]
    change(folder)
    tiny.seal(folder)  # otherwise the checksum would tell
    sentence = checkpoint_audit.faults_in_one_sentence("x", [], changed())
    assert sentence.startswith(f"precision x is not what its name says: {said}")
    assert sentence.count(";") == 0


def test_a_kept_audit_is_taken_for_the_same_checkpoint_code_study_and_packages(tmp_path, monkeypatch):
    spec, found = {"precision": "int8", "device": "cpu"}, {"checkpoint_hash": "a", "passed": True}
    files.write_json(tmp_path / "checkpoint.json", {"checkpoint_hash": "a"})
    assert at_once.kept(tmp_path, "code", spec) is None
    at_once.keep(tmp_path, "code", spec, found)
    assert at_once.kept(tmp_path, "code", spec) == found
    assert at_once.kept(tmp_path, "other", spec) is None
    assert at_once.kept(tmp_path, "code", spec | {"device": "cuda"}) is None
    with monkeypatch.context() as later:
        later.setattr(records, "packages", lambda: {"torch": "9"})
        assert at_once.kept(tmp_path, "code", spec) is None
    files.write_json(tmp_path / "checkpoint.json", {"checkpoint_hash": "b"})
    assert at_once.kept(tmp_path, "code", spec) is None
