"""Models whose weights come one at a time are those that transformers loads, and hold only what is asked for."""

import subprocess
import sys

import pytest
import tiny_models as tiny
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

from bitbudget import files
from bitbudget.models.streaming import Streamed

MAKERS = tiny.MAKERS | tiny.TEXT_MAKERS


def mixtral(folder):
    """Its experts are stored one by one, and are one tensor in the model."""
    config = MixtralConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, num_local_experts=4,
    )  # fmt: skip
    torch.manual_seed(0)
    MixtralForCausalLM(config).save_pretrained(folder)
    return folder


def old_names(folder):
    """LLaVA's, as files on the Hub have them: without the outer `model`, the head inside the language model."""
    tiny.llava(folder)
    tensors = checkpoint_tensors(folder)
    assert any(name.startswith("language_model.model.") for name in tensors), (
        "as save_pretrained of transformers writes"
    )
    return folder


def checkpoint_tensors(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def pickled(folder, **how):
    """A tied OPT, whose pickle holds the tied matrix under both names."""
    tiny.opt(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin", **how)
    (folder / "model.safetensors").unlink()
    return folder


SNAPSHOTS = {name: (make, family.model_class) for name, (make, family) in MAKERS.items()} | {
    "tied": (lambda folder: tiny.llava(folder, tied=True), tiny.LLAVA.model_class),
    "old names": (old_names, tiny.LLAVA.model_class),
    "experts": (mixtral, lambda: AutoModelForCausalLM),
    "pickled": (pickled, lambda: AutoModelForCausalLM),
}


@pytest.mark.parametrize(("name", "dtype"), [*((name, "float32") for name in SNAPSHOTS), ("llava", "bfloat16")])
def test_every_weight_is_the_one_that_transformers_loads(tmp_path, name, dtype):
    make, model_class = SNAPSHOTS[name]
    make(tmp_path)
    whole = model_class().from_pretrained(tmp_path, dtype=getattr(torch, dtype))
    one = Streamed(tmp_path, model_class(), getattr(torch, dtype))
    wanted = dict(whole.named_parameters())
    assert dict(one.model.named_parameters()).keys() == wanted.keys()
    assert all(value.is_meta for value in one.model.parameters())
    buffers = dict(one.model.named_buffers())
    assert buffers.keys() == dict(whole.named_buffers()).keys()
    assert all(torch.equal(buffers[name], value) for name, value in whole.named_buffers())
    for name, value in wanted.items():
        with one.holding([name]):
            found = one.model.get_parameter(name)
            assert found.dtype == value.dtype and not found.requires_grad
            assert torch.equal(found, value)
        assert all(value.is_meta for value in one.model.parameters())
    one.fill(wanted)
    assert all(torch.equal(one.model.get_parameter(name), value) for name, value in wanted.items())


def test_a_tied_matrix_stays_one(tmp_path):
    one = Streamed(tiny.llava(tmp_path, tied=True), tiny.LLAVA.model_class(), torch.float32)
    with one.holding(["lm_head.weight"]):
        assert one.model.lm_head.weight is one.model.get_input_embeddings().weight
    assert one.model.lm_head.weight.is_meta and one.model.get_input_embeddings().weight.is_meta


def test_a_file_whose_tensors_cannot_be_read_one_by_one_is_loaded_whole_and_told(tmp_path, caplog):
    pickled(tmp_path, _use_new_zipfile_serialization=False)
    one = Streamed(tmp_path, AutoModelForCausalLM, torch.float32)
    assert not any(value.is_meta for value in one.model.parameters())
    assert f"the weights in {tmp_path} cannot be read one by one: they are loaded whole" in caplog.text
    with one.holding(["lm_head.weight"]):
        pass
    assert not one.model.lm_head.weight.is_meta


CHILD = """
import resource, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import tiny_models as tiny
from bitbudget import files
from bitbudget.models import checkpoint
from bitbudget.models.audit import stored
folder = Path(sys.argv[1])

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def make(source, to):
    checkpoint.SHARD_BYTES = 10**7
    tiny.make_checkpoint(folder / source, folder / to, tiny.LLAMA, "float32", language="torchao-int8")
    spec = {"dtype": "float32", "precision": "x", "simulated": []}
    spec["assignment"] = tiny.assignment(tiny.LLAMA, "float32", language="torchao-int8")
    return stored.audit(folder / to, folder / source, tiny.LLAMA, spec, "cpu")

make("small", "first")  # so that everything is imported
before = peak()
found = make("large", "second")
files.write_json(folder / "peak.json", {"before": before, "after": peak(), "bytes": found["weights_bytes_in_memory"]})
"""


def test_quantizing_and_auditing_take_no_more_memory_than_a_few_layers(tmp_path):
    """The model has 512 MB in float32, its largest layer 12 MB."""
    tiny.llama(tmp_path / "small")
    config = LlamaConfig(
        vocab_size=256, hidden_size=1024, intermediate_size=2816, num_hidden_layers=10, num_attention_heads=8
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(tmp_path / "large")
    subprocess.run([sys.executable, "-c", CHILD, tmp_path, *sys.path], check=True, timeout=600)
    told = files.read_json(tmp_path / "peak.json")
    assert told["bytes"] > 125e6, "the matrices are int8"
    assert told["after"] - told["before"] < 220
