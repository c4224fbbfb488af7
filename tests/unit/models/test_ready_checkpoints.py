"""Ready checkpoints, made by the libraries themselves, are adopted, audited and asked beside their original."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ready_checkpoints as made_by
import tiny_models as tiny
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from bitbudget import files, records
from bitbudget.errors import UserError
from bitbudget.models import checkpoint, hub, readers
from bitbudget.models.formats import grid
from bitbudget.models.ready import adopting, auditing, comparing, methods
from bitbudget.runtimes.transformers import generation

# By name: what makes it, the packages beside the lock's own, the format that the audit finds, a layer's least and
# largest relative error (RTN of these bits on Gaussian weights, and twice that), and in what it is told.
NEEDS = {"ct": ("compressed_tensors",), "gptq": ("gptqmodel", "optimum"), "awq": ("gptqmodel",)}
MADE: dict[str, tuple[Callable[[Path, Path], None], str, tuple[float, float], list[str]]] = {
    "bnb-int8": (made_by.bnb_int8, "bnb-int8", (0.004, 0.01), []),
    "bnb-nf4": (made_by.bnb_nf4, "bnb-nf4", (0.08, 0.10), []),
    "torchao": (made_by.torchao_int8, "torchao-int8", (0.004, 0.01), []),
    "ct-int4": (made_by.int4, "compressed-tensors int4", (0.08, 0.15), []),
    "ct-w8a8": (made_by.int8_activations, "compressed-tensors int8", (0.004, 0.01), ["is rounded to int8 as well"]),
    "ct-fp8": (made_by.float8, "compressed-tensors float8", (0.02, 0.03), ["is rounded to float8 as well"]),
    "gptq": (made_by.gptq, "gptq-4", (0.08, 0.2), []),
    "awq": (made_by.awq, "awq-4", (0.08, 0.2), ["scaled along rows and columns", "4 other parameters"]),
}
LAYERS = 14  # of a tiny Llama, beside the head


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny.llama(tmp_path_factory.mktemp("original"), hidden_size=128, intermediate_size=256)
    return recorded(folder, folder)


def recorded(folder: Path, source: Path) -> Path:
    """A folder with the record of one that was fetched."""
    names = hub.wanted(path.name for path in folder.iterdir())
    facts = {n: {"bytes": (folder / n).stat().st_size, "sha256": files.sha256_of(folder / n)} for n in names}
    told = {"model": source.name, "source": str(source), "revision": "0" * 40, "licence": "MIT", "files": facts}
    files.write_json(folder / hub.RECORD, told)
    return folder


@pytest.fixture(scope="module", params=list(MADE))
def theirs(
    request: pytest.FixtureRequest, original: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    name = request.param
    for package in NEEDS.get(name.partition("-")[0], ()):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}")
    folder = tmp_path_factory.mktemp("made") / name
    MADE[name][0](original, folder)
    return name, folder


def adopt(source: Path, original: Path, tmp_path: Path, dtype: str = "float32", family: str = "llama") -> Path:
    """The checkpoint of a study, made of a folder of somebody's."""
    spec = {"local": str(source), "family": family, "licence": "MIT"}
    hub.fetch(source.name, spec, tmp_path / "fetched", tmp_path / "partial", look=methods.check)
    out = tmp_path / "checkpoint"
    made = adopting.adopt(tmp_path / "fetched", original, out, dtype, "cpu")
    identity = {"study": "s", "model": "m", "precision": "theirs"}
    body = {"family": family, "assignment": {"language": {"format": "as-is"}}}
    records.write(out / checkpoint.MANIFEST, "checkpoint", identity, body | made)
    return out


def audit(folder: Path, original: Path) -> dict[str, Any]:
    model = checkpoint.load(folder, tiny.LLAMA, "cpu")
    return auditing.audit(folder, model, original, tiny.LLAMA, checkpoint.manifest(folder), "cpu")


def logits(model: torch.nn.Module) -> torch.Tensor:
    tokens = torch.randint(5, 300, (2, 16), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model(tokens).logits.float()


def test_each_is_told_for_what_it_holds_and_answers_as_its_weights_do(
    theirs: tuple[str, Path], original: Path, tmp_path: Path
) -> None:
    name, source = theirs
    _, held, (least, most), told = MADE[name]
    folder = adopt(source, original, tmp_path)
    found = audit(folder, original)
    quantized = [layer for layer in found["layers"] if layer.path != "lm_head"]
    assert len(quantized) == LAYERS and {layer.found for layer in quantized} == {held}
    for layer in quantized:
        assert least < layer.relative_error < most, layer
        assert 0.4 < layer.relative_error / layer.promised_error < 2, layer
    head = next(layer for layer in found["layers"] if layer.path == "lm_head")
    assert head.found in ("float32", "bfloat16") and head.relative_error is None
    groups = found["groups"]
    assert groups["language.mlp"]["coverage"] == 1 and groups["head"]["coverage"] is None
    said = " | ".join(found["remarks"])
    for words in (f"ready checkpoint {name}, quantized by ", "1 linear layer (lm_head) is not quantized", *told):
        assert words in said, said
    assert "nothing in common" not in said
    made = checkpoint.manifest(folder)
    assert made["size_on_disk_bytes"] == (source / "model.safetensors").stat().st_size
    # what it answers is what a float model of the weights that were told answers
    exact = logits(checkpoint.load_original(original, tiny.LLAMA, "float32"))
    off = comparing.relative_distance(logits(checkpoint.load(folder, tiny.LLAMA, "cpu"))[0], exact[0])
    assert off < 5 * LAYERS**0.5 * most


@pytest.mark.parametrize("kind", ["llava", "qwen2-vl"])
def test_a_model_that_sees_is_told_part_by_part_and_answers(kind: str, tmp_path: Path) -> None:
    """Files name the modules of these otherwise than the model does; Qwen2-VL's head is tied to its embeddings."""
    make, family = tiny.MAKERS[kind]
    source = recorded(make(tmp_path / "source"), tmp_path / "source")
    made_by.bnb_nf4(source, tmp_path / "made", AutoModelForImageTextToText)
    folder = adopt(tmp_path / "made", source, tmp_path, family=kind)
    model, made = checkpoint.load(folder, family, "cpu"), checkpoint.manifest(folder)
    found = auditing.audit(folder, model, source, family, made, "cpu")
    told = {layer.found for layer in found["layers"] if layer.group.startswith(("vision", "language"))}
    assert told == {"bnb-nf4"}
    assert all(layer.relative_error < 0.1 for layer in found["layers"] if layer.found == "bnb-nf4")
    assert found["groups"]["language.mlp"]["coverage"] == 1 and found["groups"]["vision"]["coverage"] > 0.5
    assert not [remark for remark in found["remarks"] if "not the original's" in remark]
    prompts = tiny.inputs_of(folder, family)
    how = generation.decoding(model, generation.load_processor(folder), 4, 0, 1)
    assert len(generation.answer(model, generation.load_processor(folder), prompts, how)) == len(tiny.SIZES)


def test_a_checkpoint_that_is_not_quantized_is_compared_weight_by_weight(original: Path, tmp_path: Path) -> None:
    tuned = shutil.copytree(original, tmp_path / "tuned")
    weights = load_file(tuned / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    weights[name] = weights[name] * 1.25
    weights["model.norm.weight"] = weights["model.norm.weight"] + 0.5
    save_file(weights, tuned / "model.safetensors", {"format": "pt"})
    found = audit(adopt(tuned, original, tmp_path), original)
    moved = {layer.path: layer.relative_error for layer in found["layers"] if layer.relative_error is not None}
    assert moved == {"model.layers.1.mlp.up_proj": pytest.approx(0.25)}
    assert {layer.found for layer in found["layers"]} == {"float32"}
    assert {group["coverage"] for group in found["groups"].values()} == {None}
    said = " | ".join(found["remarks"])
    assert "up_proj) is other than the original's (relative distance up to 0.25)" in said
    assert "1 other parameter (model.norm.weight) is not the original's" in said


def test_an_untouched_copy_has_no_remarks(original: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(original, tmp_path / "copy")
    found = audit(adopt(copy, original, tmp_path), original)
    assert found["remarks"] == ["ready checkpoint copy, not quantized"]
    assert not any(layer.relative_error for layer in found["layers"])


def test_a_fine_tune_with_more_tokens_is_compared_in_those_that_both_have(original: Path, tmp_path: Path) -> None:
    tuned = shutil.copytree(original, tmp_path / "tuned")
    model = AutoModelForCausalLM.from_pretrained(tuned, dtype=torch.float32)
    model.resize_token_embeddings(model.config.vocab_size + 64)
    model.save_pretrained(tuned)
    found = audit(adopt(tuned, original, tmp_path), original)
    assert not any(layer.relative_error for layer in found["layers"])
    assert not any(other["relative_error"] for other in found["other_parameters"])
    assert "its configuration differs: vocab_size is " in found["remarks"][-1]


def test_strangers_are_told_and_other_shapes_refused(original: Path, tmp_path: Path) -> None:
    strange = tiny.llama(tmp_path / "strange", seed=7, hidden_size=128, intermediate_size=256)
    said = " | ".join(audit(adopt(strange, original, tmp_path), original)["remarks"])
    assert "the weights of 15 linear layers" in said and "rotated on purpose, or are of another model" in said
    (tmp_path / "other").mkdir()
    wide = tiny.llama(tmp_path / "other/wide", hidden_size=128, intermediate_size=320)
    with pytest.raises(UserError, match="is 320 x 128, and the model's is 256 x 128, so it is no checkpoint of this"):
        audit(adopt(wide, original, tmp_path / "other"), original)
    neox = tiny.gpt_neox(tmp_path / "other/neox")
    with pytest.raises(UserError, match="neox is of model_type 'gpt_neox', and the original is of 'llama'"):
        adopt(neox, original, tmp_path / "other")


def test_a_kernel_that_computes_something_else_is_refused(original: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bnb"
    made_by.bnb_int8(original, folder)
    adopted = adopt(folder, original, tmp_path)
    model = checkpoint.load(adopted, tiny.LLAMA, "cpu")
    weight = model.model.layers[0].self_attn.q_proj.weight
    weight.SCB.mul_(1.5) if weight.SCB is not None else weight.data.div_(2, rounding_mode="trunc")
    with pytest.raises(UserError, match="q_proj of bnb is multiplied here by Linear8bitLt, whose sums are off by"):
        auditing.audit(adopted, model, original, tiny.LLAMA, checkpoint.manifest(adopted), "cpu")


def test_it_is_asked_as_the_original_is_and_differences_are_told(original: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(original, tmp_path / "copy")
    config = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": "{{ messages }}"}))
    (copy / "generation_config.json").write_text('{"eos_token_id": [2, 7]}')
    folder = adopt(copy, original, tmp_path)
    told = checkpoint.manifest(folder)["ready"]["remarks"]
    assert [words for words in told if "chat template" in words]
    assert [words for words in told if "end with the tokens [2, 7]" in words]
    assert readers.load_tokenizer(folder).chat_template == readers.load_tokenizer(original).chat_template
    assert checkpoint.load(folder, tiny.LLAMA, "cpu").generation_config.eos_token_id == [2, 7]


def test_other_tokens_are_read_by_its_own_tokenizer(original: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(original, tmp_path / "copy")
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    (first, one), (second, two) = list(vocabulary.items())[-2:]
    vocabulary |= {first: two, second: one}
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    folder = adopt(copy, original, tmp_path)
    assert "gives other tokens" in checkpoint.manifest(folder)["ready"]["remarks"][0]
    assert readers.load_tokenizer(folder).get_vocab() == readers.load_tokenizer(copy).get_vocab()


def test_it_computes_in_the_studys_dtype_where_transformers_can(original: Path, tmp_path: Path) -> None:
    made_by.bnb_nf4(original, tmp_path / "bnb")
    bnb = checkpoint.manifest(adopt(tmp_path / "bnb", original, tmp_path, "bfloat16"))
    assert bnb["dtype"] == "float32"
    assert "computes in float32" in bnb["ready"]["remarks"][-1]
    logits(checkpoint.load(tmp_path / "checkpoint", tiny.LLAMA, "cpu"))
    copy = shutil.copytree(original, tmp_path / "copy")
    (tmp_path / "other").mkdir()
    assert checkpoint.manifest(adopt(copy, original, tmp_path / "other", "bfloat16"))["dtype"] == "bfloat16"


def test_a_changed_checkpoint_is_not_loaded(original: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(original, tmp_path / "copy")
    folder = adopt(copy, original, tmp_path, "auto")
    assert checkpoint.manifest(folder)["dtype"] == "float32"
    (folder / "tokenizer_config.json").write_text("{}")
    with pytest.raises(UserError, match=r"tokenizer_config.json is missing or cut off: delete"):
        checkpoint.load(folder, tiny.LLAMA, "cpu")


def test_no_weights_are_read_but_the_checkpoints_own(original: Path, tmp_path: Path) -> None:
    """transformers takes a model.safetensors in the place of the files that an index names."""
    adopt(original, original, tmp_path)
    shards = tmp_path / "shards"
    model = AutoModelForCausalLM.from_pretrained(original, dtype=torch.float32)
    torch.nn.init.normal_(model.lm_head.weight)
    model.save_pretrained(shards, max_shard_size="500KB")
    folder = adopt(shards, original, tmp_path)
    assert torch.equal(checkpoint.load(folder, tiny.LLAMA, "cpu").lm_head.weight, model.lm_head.weight)
    shutil.copyfile(original / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(UserError, match=r"checkpoint holds model.safetensors, which is no file of shards: delete"):
        checkpoint.load(folder, tiny.LLAMA, "cpu")


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"quant_method": "gptq", "bits": 4}, "which needs the package .*: install it with `pip install -r"),
        ({"quant_method": "aqlm"}, "is quantized by aqlm, which cannot be loaded here"),
        ({"quant_method": "nobodys"}, "is quantized by nobodys, which cannot be loaded here"),
    ],
)
def test_what_cannot_be_loaded_is_told_before_weights_are_downloaded(
    config: dict[str, Any], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods, "find_spec", lambda name: None)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "quantization_config": config}))
    with pytest.raises(UserError, match=sentence):
        methods.check(tmp_path / "config.json")


def test_factors_of_rows_and_columns_are_no_distance() -> None:
    generator = torch.Generator().manual_seed(0)
    exact = torch.randn(96, 160, generator=generator)
    rows, columns = (0.5 + torch.rand(*shape, generator=generator) for shape in ((96, 1), (1, 160)))
    rounded = grid.symmetric(rows * exact * columns, 4, 32)
    found = comparing.distance(rounded.nearest(rows * exact * columns), exact, 0.1)
    assert found.scaled and found.relative < 0.12
    noise = torch.randn(96, 160, generator=generator)
    assert comparing.distance(noise, exact, 0.1).strange
    assert comparing.distance(exact * 1.01, exact, 0.1) == comparing.Distance(pytest.approx(0.01))
