"""Models that come as GGUF files: converted once, to the very weights that the file stands for."""

import json
import shutil
from pathlib import Path

import pytest
import tiny_gguf
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from bitbudget import files, registry
from bitbudget.errors import UserError
from bitbudget.fetching import pins
from bitbudget.models import gguf_file, gguf_models, hub, readers, snapshots

gguf = pytest.importorskip("gguf", reason="the package gguf is not installed")
LLAMA = registry.module_of("family", "llama")
ENTRY = {"family": "llama", "licence": "MIT"}
TEXT = "the cat, in 1987:\n\n  Zoë said <|im_end|>"


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def fetch(entry, name="tiny"):
    check = lambda made: snapshots.check(made, LLAMA)  # noqa: E731
    return gguf_models.fetch(name, ENTRY | entry, Path("models") / name, Path("partial") / name, check)


@pytest.fixture(scope="module")
def q4(tmp_path_factory):
    return tiny_gguf.write(tmp_path_factory.mktemp("gguf") / "tiny.Q4_1.gguf")


def test_the_snapshot_answers_as_transformers_answers_of_the_file(q4):
    record = fetch({"local": str(q4)})
    made = Path("models/tiny")
    ours = AutoModelForCausalLM.from_pretrained(made, local_files_only=True)
    direct = AutoModelForCausalLM.from_pretrained(q4.parent, gguf_file=q4.name, dtype=torch.float32)
    tokens = readers.load_tokenizer(made)(TEXT)["input_ids"]
    assert tokens == AutoTokenizer.from_pretrained(q4.parent, gguf_file=q4.name)(TEXT)["input_ids"]
    with torch.inference_mode():
        assert torch.equal(ours(torch.tensor([tokens])).logits, direct(torch.tensor([tokens])).logits)
    assert record["made_from"] == {
        "file": q4.name, "bytes": q4.stat().st_size, "types": {"Q4_1": 14, "F32": 5, "Q8_0": 1}, "dtype": "float32",
        "bits": record["made_from"]["bits"],
    }  # fmt: skip
    assert 5 < record["made_from"]["bits"] < 8.5  # Q4_1: 5 with scale and offset of 32 weights; Q8_0: 8.5
    assert (record["source"], record["revision"]) == (str(q4), files.sha256_of(q4))
    assert not Path("partial/tiny").exists()


def test_every_weight_is_what_the_files_block_stands_for(q4):
    fetch({"local": str(q4)})
    stored = load_file(Path("models/tiny/model.safetensors"))
    blocks = {one.name: gguf.dequantize(one.data, one.tensor_type) for one in gguf.GGUFReader(q4).tensors}
    for ours, theirs in {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.layers.1.mlp.down_proj.weight": "blk.1.ffn_down.weight",
        "model.layers.0.self_attn.v_proj.weight": "blk.0.attn_v.weight",
        "model.norm.weight": "output_norm.weight",
    }.items():
        assert torch.equal(stored[ours], torch.tensor(blocks[theirs])), ours


def test_the_configuration_has_nothing_left_of_the_file(q4):
    fetch({"local": str(q4)})
    said = {path.name: json.loads(path.read_text()) for path in Path("models/tiny").glob("*config.json")}
    assert not {"quantization_config", "_name_or_path", "_model_name_or_path"} & set(said["config.json"])
    assert not {"is_local", "local_files_only"} & set(said["tokenizer_config.json"])
    assert said["generation_config.json"]["eos_token_id"] == 2


@pytest.mark.parametrize("kind, dtype", [("F16", "float32"), ("Q8_0", "float32")])
def test_no_smaller_format_is_taken_that_would_round(kind, dtype):
    """The norms are of float32 values that neither 16-bit format has."""
    record = fetch({"local": str(tiny_gguf.write(Path(f"tiny.{kind}.gguf"), kind))})
    assert record["made_from"]["dtype"] == dtype


def test_sixteen_bits_stay_sixteen_where_they_hold_every_weight():
    path = tiny_gguf.write(Path("tiny.F16.gguf"), "F16", even=True)
    record = fetch({"local": str(path)})
    assert record["made_from"]["dtype"] == "float16"
    assert {value.dtype for value in load_file(Path("models/tiny/model.safetensors")).values()} == {torch.float16}


def test_a_package_is_a_source_and_is_locked(monkeypatch, q4, tmp_path):
    tiny_gguf.wheel(tmp_path / "wheels", "some_model", "1.0", {"some_model/tiny.gguf": q4.read_bytes()})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    entry = {"package": "some-model==1.0", "file": "tiny.gguf"}
    record = fetch(entry)
    assert record["source"] == "Python package some-model==1.0, file tiny.gguf"
    assert pins.locked("models", "tiny") == {"source": record["source"], "sha256": files.sha256_of(q4)}
    assert "LICENSE" in record["files"] and record["files"].keys() == {
        path.name for path in Path("models/tiny").iterdir()
    } - {"model.json"}
    with pytest.raises(UserError, match=f"has the checksum {record['revision']}, and not {'0' * 64}"):
        fetch(entry | {"sha256": "0" * 64})


@pytest.fixture
def repository(monkeypatch, q4):
    """A repository of the Hub with one GGUF file, and the SHA-256 that the Hub says it has."""
    remote = hub.Remote("a" * 40, {"tiny.gguf": q4.stat().st_size, "README.md": 3}, {"tiny.gguf": files.sha256_of(q4)})
    monkeypatch.setattr(hub, "describe_repository", lambda name, revision: remote)
    monkeypatch.setattr(hub, "download", lambda name, commit, names, to: shutil.copy(q4, to / names[0]))
    return remote


def test_a_file_of_a_repository_is_a_source_and_is_locked_to_its_commit(repository):
    record = fetch({"hub": "some-lab/tiny-GGUF", "file": "tiny.gguf"})
    assert record["source"] == f"https://huggingface.co/some-lab/tiny-GGUF/blob/{'a' * 40}/tiny.gguf"
    locked = pins.locked("models", "tiny")
    assert (locked["revision"], locked["sha256"]) == (repository.commit, record["revision"])


def test_a_file_that_is_not_what_the_hub_says_is_told(repository):
    repository.sha256["tiny.gguf"] = "0" * 64
    with pytest.raises(UserError, match=f"and not {'0' * 64}: correct `sha256`"):
        fetch({"hub": "some-lab/tiny-GGUF", "file": "tiny.gguf"})
    assert not Path("partial/tiny/tiny.gguf").exists()


def test_a_file_that_a_repository_lacks_is_told(repository):
    with pytest.raises(UserError, match=r"^some-lab/tiny-GGUF has no file q8.gguf: name one of tiny.gguf in config/"):
        fetch({"hub": "some-lab/tiny-GGUF", "file": "q8.gguf"})


def test_no_gguf_file_is_told(tmp_path):
    Path("x.gguf").write_bytes(b"PK\3\4 and so on")
    with pytest.raises(UserError, match=r"^x\.gguf is no GGUF file"):
        fetch({"local": "x.gguf"})


def test_a_file_that_was_cut_off_is_told(q4):
    Path("x.gguf").write_bytes(q4.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"^x\.gguf cannot be read as GGUF"):
        fetch({"local": "x.gguf"})


def test_one_part_of_several_is_told(q4):
    Path("x-00001-of-00002.gguf").write_bytes(q4.read_bytes())
    with pytest.raises(UserError, match="is one part of several: join them"):
        fetch({"local": "x-00001-of-00002.gguf"})


def test_an_architecture_that_transformers_does_not_read_is_told():
    with pytest.raises(UserError, match=r"^transformers cannot read x\.gguf .*rwkv6"):
        fetch({"local": str(tiny_gguf.write(Path("x.gguf"), architecture="rwkv6"))})


def test_another_familys_file_is_told():
    with pytest.raises(UserError, match="says model_type 'llama', but the family opt takes opt"):
        fetch({"local": str(tiny_gguf.write(Path("x.gguf"))), "family": "opt"})


def test_a_file_that_lacks_a_layers_weights_is_told():
    with pytest.raises(UserError, match=r"lacks weights of its model \(model.layers.1.mlp.up_proj.weight"):
        fetch({"local": str(tiny_gguf.write(Path("x.gguf"), leave_out="blk.1.ffn_up"))})


def test_without_the_package_gguf_the_command_is_told(monkeypatch, q4):
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(UserError, match="package gguf: run `pip install gguf`"):
        gguf_file.held(q4)
