"""GGUF files that somebody else made, as precisions: fetched, adopted, audited and asked by the scripts."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import tiny_gguf
import tiny_models as tiny
import torch

from bitbudget import files, records
from bitbudget.config import dependencies, plan
from bitbudget.errors import UserError
from bitbudget.models import checkpoint, gguf_models, group_files, hub
from bitbudget.models.audit import stored
from bitbudget.models.groups import READING
from bitbudget.runtimes.llama_cpp import ready
from bitbudget.runtimes.llama_cpp.model import LlamaCpp
from bitbudget.runtimes.transformers import generation, last_word

SCRIPTS = Path(__file__).parents[3] / "workflow/scripts"
ASSIGNMENT = {group: {"format": "gguf-as-is", "checkpoint": "their.gguf"} for group in READING}
SPEC = {
    "study": "s", "model": "m", "precision": "theirs", "family": "llama", "assignment": ASSIGNMENT, "dtype": "float32",
    "device": "cpu",
}  # fmt: skip

PASSAGES = [
    {"id": "a", "question": "Tom had a red ball. He gave the ball to Ann. Now Ann has the", "references": ["ball"]},
    {"id": "b", "question": "The cat sat on", "references": ["mat"]},
]


def converted(source: Path, folder: Path, name: str = "gguf-q8_0", family: Any = tiny.LLAMA) -> Path:
    """A file of the model in the folder `source`, by the project's own converter."""
    model = checkpoint.original(source, family, "float32")
    assignment = {group: {"format": name} for group in READING}
    [one] = group_files.make(model, family, assignment, source, folder, "cpu", None)
    return (folder / one.files[0]).rename(folder / "their.gguf")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama(tmp_path_factory.mktemp("tiny") / "llama", hidden_size=256, intermediate_size=256)


@pytest.fixture(scope="module")
def theirs(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return converted(original, tmp_path_factory.mktemp("theirs"))


def fetched(path: Path, tmp_path: Path) -> Path:
    source = {"local": str(path), "gguf": path.name, "file": path.name, "licence": "MIT", "family": "llama"}
    gguf_models.fetch_as_it_is("their.gguf", source, tmp_path / "fetched", tmp_path / "partial")
    return tmp_path / "fetched"


def adopt(path: Path, original: Path, tmp_path: Path) -> dict[str, Any]:
    out = tmp_path / "checkpoint"
    return ready.adopt(fetched(path, tmp_path), original, out, "float32", "cpu", tiny.LLAMA, ASSIGNMENT)


def run(script: str, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch, *options: Any) -> None:
    """Run a script in this process."""
    monkeypatch.setattr(sys, "argv", [script, "--spec", json.dumps(spec), *map(str, options)])
    runpy.run_path(str(SCRIPTS / f"{script}.py"))["main"]()


def by_scripts(path: Path, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict]:
    """The adopted checkpoint of a local file, and its audit's record."""
    source = {"local": str(path), "gguf": path.name, "file": False, "licence": "MIT", "family": "llama"}
    source["checkpoint"] = "their.gguf"
    places = "--out", tmp_path / "fetched", "--partial", tmp_path / "partial"
    run("fetch_checkpoint", {"source": source}, monkeypatch, *places)
    out, both = tmp_path / "checkpoint", ("--model-dir", original)
    run("adopt_checkpoint", SPEC, monkeypatch, "--fetched", tmp_path / "fetched", *both, "--out", out)
    own = {key: SPEC[key] for key in ("study", "model", "precision", "family", "device")}
    run("audit_ready", own, monkeypatch, "--checkpoint", out, *both, "--out", tmp_path / "audit.json")
    return out, files.read_json(tmp_path / "audit.json")


def test_a_file_is_fetched_adopted_audited_and_answers(
    original: Path, theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, audit = by_scripts(theirs, original, tmp_path, monkeypatch)
    made = checkpoint.manifest(folder)
    assert (folder / "language.gguf").resolve() == theirs.resolve()
    assert made["files"] == {"language.gguf": {"bytes": theirs.stat().st_size, "sha256": files.sha256_of(theirs)}}
    assert made["size_on_disk_bytes"] == theirs.stat().st_size  # nothing is kept beside it
    about = audit["ready"]
    assert about["licence"] == "MIT" and about["revision"] == files.sha256_of(theirs)
    assert about["quantization_config"]["types"].keys() == {"Q8_0", "F32"}
    assert about["quantization_config"]["bits"] == 8.5
    assert about["remarks"][0] == "ready checkpoint their.gguf, quantized by llama.cpp"
    assert {layer["found"] for layer in audit["layers"]} == {"gguf-as-is"}
    for layer in audit["layers"]:
        assert 0.5 < layer["relative_error"] / layer["promised_error"] < 1.1  # round to nearest
    assert 0.002 < audit["groups"]["language.mlp"]["relative_error"] < 0.01
    exact = checkpoint.load_original(original, tiny.LLAMA, "float32")
    model = checkpoint.load(folder, tiny.LLAMA, "cpu")
    assert isinstance(model, LlamaCpp)
    tokenizer = generation.load_tokenizer(folder)
    begin = last_word.beginning(tokenizer, "auto")
    passages = [last_word.encode(tokenizer, begin, item, 200) for item in PASSAGES]
    found = last_word.score(model, tokenizer, passages, "cpu", "theirs")
    wanted = last_word.score(exact, tokenizer, passages, "cpu", "float32")
    for (mine, _), (other, _) in zip(found, wanted, strict=True):
        assert mine.logprob == pytest.approx(other.logprob, rel=0.02)  # weights and inputs have 8 bits


def test_a_model_that_sees_keeps_its_tower_and_projector(tmp_path: Path) -> None:
    make, family = tiny.MAKERS["llava"]
    source = make(tmp_path / "llava")
    path = converted(source, tmp_path / "made", family=family)
    assignment = {group: ASSIGNMENT.get(group, {"format": "bfloat16"}) for group in family.GROUPS}
    out = tmp_path / "checkpoint"
    made = ready.adopt(fetched(path, tmp_path), source, out, "bfloat16", "cpu", family, assignment)
    identity = {"study": "s", "model": "m", "precision": "theirs"}
    records.write(
        out / checkpoint.MANIFEST, "checkpoint", identity, {"family": "llava", "assignment": assignment} | made
    )
    beside = checkpoint.original(source, family, "bfloat16")
    kept = set(dict(beside.model.named_parameters())) - group_files.parameters(
        group_files.read(made), beside.model, family
    )
    assert (
        0
        < made["size_on_disk_bytes"]
        - path.stat().st_size
        - 2 * sum(beside.model.get_parameter(name).numel() for name in kept)
        < 10_000
    )  # the header of what is kept
    audit = stored.audit(
        out, source, family, {"precision": "theirs", "assignment": assignment, "dtype": "bfloat16", "simulated": []},
        "cpu",
    )  # fmt: skip
    assert audit["groups"]["vision"]["format"] == "bfloat16"
    assert audit["groups"]["language.mlp"]["format"] == "gguf-as-is"
    assert "quantized" in ready.remarks(made, audit)[0]
    model = checkpoint.load(out, family, "cpu")
    processor = generation.load_processor(out)
    how = generation.decoding(model, processor, 4)
    assert len(generation.answer(model, processor, tiny.inputs_of(out, family), how)) == len(tiny.SIZES)


def test_weights_of_another_model_are_told(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tiny.llama(tmp_path / "other", seed=7, hidden_size=256, intermediate_size=256)
    path = converted(other, tmp_path / "made", "gguf-f16")
    _, audit = by_scripts(path, original, tmp_path, monkeypatch)
    said = " | ".join(audit["ready"]["remarks"])
    assert "have nothing in common with the original's" in said
    assert "ready checkpoint their.gguf, not quantized" in said


def test_weights_that_are_farther_than_their_type_explains_are_told(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of a fine-tune, or of a file that data decided on (imatrix)."""
    tuned = shutil.copytree(original, tmp_path / "tuned")
    model = checkpoint.load_original(tuned, tiny.LLAMA, "float32")
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.mul_(1.2)
    model.save_pretrained(tuned)
    _, audit = by_scripts(converted(tuned, tmp_path / "made"), original, tmp_path, monkeypatch)
    [far] = [one for one in audit["ready"]["remarks"] if "times as far" in one]
    assert "1 linear layer (model.layers.0.mlp.up_proj)" in far
    moved = {one["path"]: one["relative_error"] for one in audit["layers"]}
    assert moved["model.layers.0.mlp.up_proj"] == pytest.approx(0.2, rel=0.01)


def test_files_of_another_shape_or_architecture_are_refused(original: Path, tmp_path: Path) -> None:
    cases = {
        "has 1 layers, and the original has 2": tiny.llama(
            tmp_path / "short", hidden_size=256, intermediate_size=256, num_hidden_layers=1
        ),
        "has 64 numbers per token, and the original has 256": tiny.llama(tmp_path / "narrow"),
        "knows 1024 tokens, and the original ": tiny.llama(
            tmp_path / "many", hidden_size=256, intermediate_size=256, vocab_size=1024
        ),
    }
    for number, (sentence, source) in enumerate(cases.items()):
        path = converted(source, tmp_path / f"made{number}", "gguf-f16")
        with pytest.raises(UserError, match=f"^their.gguf {sentence}.*: name a file of this model"):
            adopt(path, original, tmp_path / f"adopted{number}")
    path = tiny_gguf.write(tmp_path / "x.gguf", kind="F16", leave_out="blk.1.attn_k")
    small = tiny.llama(tmp_path / "small", vocab_size=320)
    with pytest.raises(UserError, match=r"architecture 'llama' and has no model.layers.1.self_attn.k_proj.weight, as"):
        adopt(path, small, tmp_path / "lacks")
    writer = gguf.GGUFWriter(tmp_path / "clip.gguf", "clip")
    writer.add_tensor("v.weight", np.ones((4, 32), np.float32))
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    with pytest.raises(UserError, match=r"their.gguf is no language model, but some other GGUF file"):
        adopt(tmp_path / "clip.gguf", original, tmp_path / "clip")


def rewritten(path: Path, out: Path, tensors: dict[str, np.ndarray], kind: str, **settings: str) -> Path:
    """The file at `path` with these settings more, and with these tensors, in a type of this kind."""
    reader, writer = gguf.GGUFReader(path), gguf.GGUFWriter(out, "llama")
    for field in reader.fields.values():
        if not field.name.startswith(("GGUF.", "general.architecture")):
            inner = field.types[1] if len(field.types) > 1 else None
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=inner)
    for name, value in settings.items():
        writer.add_string(name.replace("__", "."), value)
    for one in reader.tensors:
        if one.name not in tensors:
            writer.add_tensor(one.name, one.data, raw_dtype=one.tensor_type)
    held = gguf.GGMLQuantizationType[kind]
    for name, values in tensors.items():
        writer.add_tensor(name, gguf.quantize(values, held), raw_dtype=held)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    return out


def test_a_file_with_more_than_the_original_is_refused(
    tmp_path: Path, original: Path, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rewritten(theirs, tmp_path / "biased.gguf", {"blk.0.attn_q.bias": np.ones(256, np.float32)}, "F32")
    with pytest.raises(UserError, match=r"blk.0.attn_q.bias is a tensor that the original does not have"):
        by_scripts(path, original, tmp_path, monkeypatch)


def test_a_type_of_which_nothing_is_promised_is_compared_without_a_yardstick(
    tmp_path: Path, original: Path, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "model.layers.0.mlp.up_proj"
    model = checkpoint.load_original(original, tiny.LLAMA, "float32")
    tensors = {"blk.0.ffn_up.weight": model.get_submodule(name).weight.numpy()}
    more = {"quantize__imatrix__file": "x.dat", "quantize__imatrix__dataset": "texts.txt"}
    path = rewritten(theirs, tmp_path / "ternary.gguf", tensors, "TQ2_0", **more)
    _, audit = by_scripts(path, original, tmp_path, monkeypatch)
    [layer] = [one for one in audit["layers"] if one["path"] == name]
    values = gguf.quants.dequantize(gguf.GGUFReader(path).tensors[-1].data, gguf.GGMLQuantizationType.TQ2_0)
    exact = tensors["blk.0.ffn_up.weight"]
    assert layer["relative_error"] == pytest.approx(np.linalg.norm(values - exact) / np.linalg.norm(exact), rel=1e-4)
    assert layer["promised_error"] is None and layer["storage"] == "TQ2_0"
    assert "its weights were rounded by how much inputs weigh them (imatrix of texts.txt)" in audit["ready"]["remarks"]


def test_a_tokenizer_of_its_own_is_told(original: Path, theirs: Path, tmp_path: Path) -> None:
    told = adopt(theirs, original, tmp_path / "same")["ready"]["remarks"]
    other = shutil.copytree(original, tmp_path / "other")
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    (first, one), (second, two) = [row for row in vocabulary.items() if row[0] in ("o", "e")]
    vocabulary |= {first: two, second: one}
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert [words for words in adopt(theirs, other, tmp_path / "own")["ready"]["remarks"] if words not in told] == [
        "its own tokenizer gives other tokens than the original's, by which it is asked"
    ]


def test_a_file_of_a_repository_is_fetched_as_it_is(
    theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = hub.Remote("a" * 40, {"sub/q8.gguf": theirs.stat().st_size}, {"sub/q8.gguf": files.sha256_of(theirs)})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "describe_repository", lambda name, revision: remote)

    def download(name: str, commit: str, names: list[str], to: Path) -> None:
        (to / names[0]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(theirs, to / names[0])

    monkeypatch.setattr(hub, "download", download)
    source = {"hub": "lab/x-GGUF", "revision": "", "file": "sub/q8.gguf", "licence": "MIT", "family": "llama"}
    source["checkpoint"] = name = "lab/x-GGUF:sub/q8.gguf"
    record = gguf_models.fetch_as_it_is(name, source, tmp_path / "fetched", tmp_path / "partial")
    assert record["source"] == f"https://huggingface.co/lab/x-GGUF/blob/{'a' * 40}/sub/q8.gguf"
    assert record["files"] == {"q8.gguf": {"bytes": theirs.stat().st_size, "sha256": files.sha256_of(theirs)}}
    assert files.sha256_of(tmp_path / "fetched/q8.gguf") == record["revision"]
    with pytest.raises(UserError, match=r"has no file q4.gguf: name one of sub/q8.gguf as the study's `checkpoint`"):
        gguf_models.fetch_as_it_is(name, source | {"file": "q4.gguf"}, tmp_path / "fetched", tmp_path / "partial")


def test_its_jobs_depend_on_what_runs_it_and_those_of_other_checkpoints_do_not() -> None:
    study = {"models": {"m": {"family": "llama"}}, "assignments": {"m": {"theirs": ASSIGNMENT}}}
    for script in ("adopt_checkpoint", "audit_ready", "predict_last_words"):
        used = dependencies.files_of(script, plan.modules(study, "m", "theirs"))
        others = dependencies.files_of(script, ["bitbudget.models.formats.ready"])
        for name in ("ready", "audit", "decoder"):
            path = SCRIPTS / f"bitbudget/runtimes/llama_cpp/{name}.py"
            assert path in used and path not in others
