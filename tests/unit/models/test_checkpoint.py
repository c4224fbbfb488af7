"""Checkpoints: what was saved is what is loaded, without the original, in any mixture of formats."""

import errno
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import tiny_models as tiny
import torch
from safetensors.torch import load_file, save_file
from small_disk import one_mib
from torch import nn

from bitbudget import files
from bitbudget.errors import UserError
from bitbudget.models import checkpoint
from bitbudget.models.audit.checkpoint_audit import recognise
from bitbudget.registry import format_of

MAKERS = tiny.MAKERS | tiny.TEXT_MAKERS
MIXED = {"vision": "bnb-int8", "language": "bnb-nf4", "head": "torchao-int8"}


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory):
    """A snapshot of each family by its name, and LLaVA and Qwen2-VL with tied heads."""
    folder = tmp_path_factory.mktemp("snapshots")
    found = {name: make(folder / name) for name, (make, _) in MAKERS.items()}
    return found | {"tied": tiny.llava(folder / "tied", tied=True)}


def family_of(name):
    return MAKERS["llava" if name == "tied" else name][1]


def inputs_of(name, folder, dtype):
    """What a model of this name is asked; a language model reads a row of tokens."""
    if name in tiny.TEXT_MAKERS:
        return {"input_ids": torch.arange(5, 60).reshape(1, -1)}
    return tiny.inputs_of(folder, family_of(name), dtype)


def expected_model(source, family, dtype, **chosen):
    """The quantized model made in memory, without a checkpoint."""
    model = checkpoint.load_original(source, family, dtype)
    for layer in list(checkpoint.linear_layers(model, family, tiny.assignment(family, dtype, **chosen))):
        fmt = format_of(layer.spec["format"])
        if not fmt.is_float:
            checkpoint.replace(model, layer.path, fmt.quantize(layer.module, layer.spec))
    return model.eval()


@torch.inference_mode()
def logits(model, inputs):
    return model(**inputs).logits


@pytest.mark.parametrize(
    ("name", "dtype", "chosen"),
    [
        ("llava", "float32", {}),
        ("llava", "float16", {}),
        ("llava", "bfloat16", MIXED),
        ("llava", "float32", MIXED),
        ("llava", "float16", {"language": "torchao-int4", "vision": "rtn-3"}),
        ("llava", "float32", {"language_mlp": {"format": "bnb-nf4", "double_quant": True}}),
        ("tied", "float32", {"head": "bnb-int8"}),
        ("tied", "float16", {"language": "bnb-int8"}),
        ("qwen2-vl", "float32", {"language": "bnb-int8"}),
        ("qwen2-vl", "bfloat16", MIXED),
        ("qwen2-vl", "float32", {"vision": "bnb-nf4", "projector": "bnb-nf4"}),
        ("idefics3", "float32", {"language": "bnb-int8"}),
        ("idefics3", "bfloat16", MIXED),
        *[(name, "float32", {"language": "bnb-int8"}) for name in tiny.TEXT_MAKERS],
        *[(name, "bfloat16", {"language": "bnb-nf4", "head": "torchao-int8"}) for name in tiny.TEXT_MAKERS],
        *[(name, "bfloat16", {"language": "torchao-int8"}) for name in tiny.TEXT_MAKERS],
        ("llama", "float32", {"language": "torchao-int8-dynamic"}),
        ("llama", "bfloat16", {"language": {"format": "rtn-2", "group_size": 32, "gptq_grid": True}}),
    ],
)
def test_a_loaded_model_computes_exactly_what_the_saved_one_did(snapshots, tmp_path, name, dtype, chosen):
    family = family_of(name)
    source = snapshots[name]
    inputs = inputs_of(name, source, getattr(torch, dtype))
    expected = expected_model(source, family, dtype, **chosen)
    folder = tiny.make_checkpoint(source, tmp_path / "checkpoint", family, dtype, **chosen)
    model = checkpoint.load(folder, family, "cpu")
    assert not model.training
    assert not any(p.requires_grad or p.is_meta for p in model.parameters())
    held = dict(expected.named_buffers())
    assert held.keys() == dict(model.named_buffers()).keys()
    assert all(torch.equal(held[buffer], value) for buffer, value in model.named_buffers())
    assert torch.equal(logits(model, inputs), logits(expected, inputs))


def test_a_mixture_is_what_it_says_layer_by_layer(snapshots, tmp_path):
    folder = tiny.make_checkpoint(snapshots["llava"], tmp_path, tiny.LLAVA, "bfloat16", **MIXED)
    model = checkpoint.load(folder, tiny.LLAVA, "cpu")
    found = {}
    original = checkpoint.load_original(snapshots["llava"], tiny.LLAVA, "bfloat16")
    for layer in checkpoint.linear_layers(original, tiny.LLAVA, tiny.assignment(tiny.LLAVA, "bfloat16", **MIXED)):
        found.setdefault(layer.group, set()).add(recognise(model.get_submodule(layer.path)))
    assert found == {
        "vision": {"bnb-int8"},
        "projector": {"bfloat16"},
        "language.attention": {"bnb-nf4"},
        "language.mlp": {"bnb-nf4"},
        "head": {"torchao-int8"},
    }
    layers = checkpoint.manifest(folder)["layers"]
    assert layers["lm_head"] == {"format": "torchao-int8"}
    assert {path.split(".")[1] for path in layers if path != "lm_head"} == {"vision_tower", "language_model"}


@pytest.mark.parametrize("name", ["tied", "qwen2-vl"])
def test_a_quantized_head_is_untied_and_the_embeddings_stay(snapshots, tmp_path, name):
    family = family_of(name)
    original = checkpoint.load_original(snapshots[name], family, "float32")
    assert original.get_output_embeddings().weight is original.get_input_embeddings().weight
    folder = tiny.make_checkpoint(snapshots[name], tmp_path, family, head="bnb-int8")
    model = checkpoint.load(folder, family, "cpu")
    assert recognise(model.get_output_embeddings()) == "bnb-int8"
    assert torch.equal(model.get_input_embeddings().weight, original.get_input_embeddings().weight)


@pytest.mark.parametrize("name", ["tied", "qwen2-vl"])
def test_a_head_that_is_not_quantized_stays_tied_and_counts_once(snapshots, tmp_path, name):
    family = family_of(name)
    folder = tiny.make_checkpoint(snapshots[name], tmp_path, family, language="bnb-int8")
    model = checkpoint.load(folder, family, "cpu")
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    whole = checkpoint.manifest(tiny.make_checkpoint(snapshots[name], tmp_path / "whole", family))
    each = [p for _, p in checkpoint.load_original(snapshots[name], family, "float32").named_parameters()]
    assert sum(p.nbytes for p in each) < whole["size_on_disk_bytes"] < sum(p.nbytes for p in each) + 20_000


def test_sizes_on_disk_fall_with_the_bits(snapshots, tmp_path):
    sizes = [
        files.read_json(
            tiny.make_checkpoint(snapshots["llava"], tmp_path / str(k), tiny.LLAVA, "bfloat16", **chosen)
            / checkpoint.MANIFEST
        )["size_on_disk_bytes"]
        for k, chosen in enumerate([{}, {"language": "bnb-int8"}, {"language": "torchao-int4"}])
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3
    assert [path.name for path in (tmp_path / "0").glob("*.safetensors")] == [], "the snapshot has it"


@pytest.mark.parametrize(("dtype", "chosen"), [("float32", {}), ("bfloat16", MIXED), ("float16", {"vision": "rtn-3"})])
def test_the_size_on_disk_is_that_of_a_file_of_all_weights(snapshots, tmp_path, dtype, chosen):
    folder = tiny.make_checkpoint(snapshots["llava"], tmp_path, tiny.LLAVA, dtype, **chosen)
    made = checkpoint.manifest(folder)
    tensors = {}
    for path in folder.glob("*.safetensors"):
        tensors |= load_file(path)
    below = tuple(f"{path}." for path in made["layers"])
    plain = checkpoint.load_original(snapshots["llava"], tiny.LLAVA, dtype).named_parameters()
    tensors |= {name: value.detach().contiguous() for name, value in plain if not (below and name.startswith(below))}
    save_file(tensors, tmp_path / "all")
    assert made["size_on_disk_bytes"] == (tmp_path / "all").stat().st_size


def test_weights_are_split_into_files_and_come_together_again(snapshots, tmp_path, monkeypatch):
    whole = tiny.make_checkpoint(snapshots["llava"], tmp_path / "whole", tiny.LLAVA, **MIXED)
    monkeypatch.setattr(checkpoint, "SHARD_BYTES", 30_000)
    split = tiny.make_checkpoint(snapshots["llava"], tmp_path / "split", tiny.LLAVA, **MIXED)
    names = sorted(path.name for path in split.glob("*.safetensors"))
    assert len(names) > 3
    assert names == sorted(checkpoint.manifest(split)["files"])
    held = [[t.nbytes for t in load_file(split / name).values()] for name in names]
    assert all(sum(sizes) <= 30_000 or len(sizes) == 1 for sizes in held), "one tensor may be larger than a file"
    inputs = tiny.inputs_of(snapshots["llava"], tiny.LLAVA)
    first, second = (logits(checkpoint.load(folder, tiny.LLAVA, "cpu"), inputs) for folder in (whole, split))
    assert torch.equal(first, second)


@pytest.fixture
def whole(snapshots, tmp_path):
    return tiny.make_checkpoint(snapshots["llava"], tmp_path / "checkpoint", tiny.LLAVA, language="bnb-int8")


def one_sentence(folder):
    with pytest.raises(UserError) as caught:
        checkpoint.load(folder, tiny.LLAVA, "cpu")
    sentence = str(caught.value)
    assert str(folder) in sentence
    assert sentence.endswith(".")
    assert not re.search(r"\.\s", sentence)
    return sentence


def test_no_manifest(whole):
    (whole / checkpoint.MANIFEST).unlink()
    assert "not a whole checkpoint" in one_sentence(whole)


def test_a_weight_file_is_missing(whole):
    (whole / "weights-00001.safetensors").unlink()
    assert "weights-00001.safetensors is missing or cut off" in one_sentence(whole)


def test_a_weight_file_is_cut_off(whole):
    path = whole / "weights-00001.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "missing or cut off" in one_sentence(whole)


def flip_a_bit(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 0b100
    path.write_bytes(content)


@pytest.mark.parametrize("place", [0.02, 0.5, 0.999])
def test_one_flipped_bit_of_the_weights_is_found(whole, place):
    path = whole / "weights-00001.safetensors"
    flip_a_bit(path, int(place * path.stat().st_size))
    assert f"{path} has changed since it was made (its SHA-256 is " in one_sentence(whole)


@pytest.mark.parametrize("name", ["tokenizer.json", "processor_config.json", "chat_template.jinja"])
def test_a_changed_file_of_the_processor_is_found(whole, name):
    flip_a_bit(whole / name, (whole / name).stat().st_size // 2)
    sentence = one_sentence(whole)
    assert f"{whole / name} has changed since it was made" in sentence
    assert f"delete {whole} and run the same command again" in sentence


def edit_json(path, change):
    content = files.read_json(path)
    change(content)
    files.write_json(path, content)


CHANGES = {
    "config.json": lambda content: content["text_config"].update(rms_norm_eps=0.1),
    checkpoint.MANIFEST: lambda content: next(iter(content["layers"].values())).update(threshold=0.5),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_configuration_or_manifest_is_found(whole, name):
    edit_json(whole / name, CHANGES[name])
    assert "has changed since it was made (checkpoint.json, config.json, or a file that was added)" in one_sentence(
        whole
    )


DAMAGED = {
    "null": "null",
    "a list": "[]",
    "nothing in it": "{}",
    "files that are none": lambda content: content.update(files=[1]),
    "a file without facts": lambda content: content["files"].update({"weights-00001.safetensors": {}}),
    "a key that is misspelt": lambda content: content.update(gtype=content.pop("dtype")),
    "no such number format": lambda content: content.update(dtype="gloat32"),
    "no layers": lambda content: content.pop("layers"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_manifest_is_one_sentence(whole, damage):
    path, change = whole / checkpoint.MANIFEST, DAMAGED[damage]
    path.write_text(change) if isinstance(change, str) else edit_json(path, change)
    sentence = one_sentence(whole)
    assert f"{path} is damaged (at $" in sentence and f"delete {whole} and run the same command again" in sentence


@pytest.mark.parametrize("content", ["null", "[]", "7"])
def test_a_configuration_that_is_no_object_is_one_sentence(whole, content):
    (whole / "config.json").write_text(content)
    assert "has changed since it was made" in one_sentence(whole)


def test_the_manifest_of_an_earlier_version_which_lists_no_copies_does(whole):
    edit_json(whole / checkpoint.MANIFEST, lambda content: content.pop("copied"))
    checkpoint.load(whole, tiny.LLAVA, "cpu")
    (whole / "tokenizer.json").write_text((whole / "tokenizer.json").read_text() + " ")
    assert "has changed since it was made" in one_sentence(whole)


def test_a_snapshot_that_is_not_what_was_fetched_is_refused(snapshots, tmp_path):
    source = shutil.copytree(snapshots["llava"], tmp_path / "source")
    path = source / "model.safetensors"
    facts = {"bytes": path.stat().st_size, "sha256": files.sha256_of(path)}
    files.write_json(source / "model.json", {"files": {path.name: facts}})
    checkpoint.load_original(source, tiny.LLAVA, "float32")
    flip_a_bit(path, path.stat().st_size - 10)
    with pytest.raises(UserError, match=r"source/model\.safetensors has changed .*: delete .*source and run the same"):
        checkpoint.load_original(source, tiny.LLAVA, "float32")


def test_a_snapshot_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"nowhere holds no config.json: name the folder of a model"):
        checkpoint.original(tmp_path / "nowhere", tiny.LLAVA, "float32")


def test_weights_that_joined_a_snapshot_are_not_quantized(snapshots, tmp_path):
    """transformers reads a model.safetensors in the place of the pickled weights that were fetched."""
    source = shutil.copytree(snapshots["llava"], tmp_path / "source")
    weights = source / "model.safetensors"
    pickled = source / "pytorch_model.bin"
    torch.save(load_file(weights), pickled)
    facts = {"bytes": pickled.stat().st_size, "sha256": files.sha256_of(pickled)}
    files.write_json(source / "model.json", {"files": {pickled.name: facts}})
    with pytest.raises(UserError, match=r"model.safetensors was not there when .*source was fetched: move it"):
        checkpoint.original(source, tiny.LLAVA, "float32")
    weights.unlink()
    checkpoint.original(source, tiny.LLAVA, "float32")


def edit_weights(folder, change):
    path = folder / "weights-00001.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    tiny.seal(folder)


def test_a_quantized_layer_is_missing(whole):
    path = "model.language_model.layers.0.mlp.up_proj"
    edit_weights(whole, lambda tensors: [tensors.pop(key) for key in list(tensors) if key.startswith(f"{path}.")])
    assert f"lacks the weights of {path}" in one_sentence(whole)


@pytest.mark.parametrize("name", ["model.nowhere.weight", "lm_head.scale"])
def test_a_weight_is_too_many(whole, name):
    edit_weights(whole, lambda tensors: tensors.update({name: torch.zeros(1)}))
    assert name in one_sentence(whole)


@pytest.fixture
def own(snapshots, tmp_path):
    """A checkpoint, and the snapshot that it refers to."""
    source = shutil.copytree(snapshots["llava"], tmp_path / "resources" / "source")
    return tiny.make_checkpoint(source, tmp_path / "results" / "checkpoint", tiny.LLAVA, language="bnb-int8"), source


def test_a_snapshot_that_is_gone_is_one_sentence(own):
    folder, source = own
    shutil.rmtree(source)
    assert f"{folder} needs the model's snapshot {source}, which is not there any more" in one_sentence(folder)


def test_a_snapshot_that_changed_afterwards_is_found(own):
    folder, source = own
    flip_a_bit(source / "model.safetensors", (source / "model.safetensors").stat().st_size - 10)
    assert f"{source / 'model.safetensors'} has changed since it was made" in one_sentence(folder)


def test_the_remedy_is_to_fetch_anew_what_was_damaged_and_to_quantize_anew_what_was_fetched_anew(own):
    folder, source = own
    files.write_json(source / "model.json", {"files": checkpoint.manifest(folder)["snapshot"]["files"]})
    weights = source / "model.safetensors"
    flip_a_bit(weights, weights.stat().st_size - 10)
    with pytest.raises(UserError, match=rf"model.safetensors has changed .*: delete {source} and run the same command"):
        checkpoint.load(folder, tiny.LLAVA, "cpu")
    facts = {"bytes": weights.stat().st_size, "sha256": files.sha256_of(weights)}
    files.write_json(source / "model.json", {"files": {weights.name: facts}})
    assert f": delete {folder} and run the same command again" in one_sentence(folder)


def test_weights_that_joined_the_snapshot_afterwards_are_not_read(own):
    folder, source = own
    names = list(load_file(source / "model.safetensors"))
    save_file({name: torch.zeros(1) for name in names}, source / "other.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "other.safetensors")}
    files.write_json(source / "model.safetensors.index.json", index)
    checkpoint.load(folder, tiny.LLAVA, "cpu")
    (source / "model.safetensors").rename(source / "elsewhere")
    assert "model.safetensors is missing or cut off" in one_sentence(folder)


def test_snapshot_and_checkpoint_may_move_together(own, tmp_path):
    folder, _ = own
    inside = folder.relative_to(tmp_path)
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    checkpoint.load(moved / inside, tiny.LLAVA, "cpu")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("bnb-int8", "SCB"),
        ("bnb-nf4", "weight.absmax"),
        ("bnb-nf4", "weight.quant_state.bitsandbytes__nf4"),
        ("torchao-int8", "weight.scale"),
        ("torchao-int4", "weight.qdata"),
        ("rtn-4", "weight"),
    ],
)
def test_a_part_of_a_quantized_layer_is_missing(name, part, snapshots, tmp_path):
    tiny.make_checkpoint(snapshots["llava"], tmp_path, tiny.LLAVA, "bfloat16", language=name)
    path = "model.language_model.layers.0.mlp.up_proj"
    tensors = load_file(tmp_path / "weights-00001.safetensors")
    del tensors[f"{path}.{part}"]
    save_file(tensors, tmp_path / "weights-00001.safetensors")
    tiny.seal(tmp_path)
    with pytest.raises(UserError, match=rf"does not hold {path} as {name} stores it|lacks the weights of {path}"):
        checkpoint.load(tmp_path, tiny.LLAVA, "cpu")


def test_a_weight_file_that_is_none_of_safetensors(whole):
    path = next(whole.glob("weights-*"))
    path.write_bytes(path.read_bytes()[:-10])
    tiny.seal(whole)
    with pytest.raises(UserError, match=r"weights-00001.safetensors is damaged \("):
        checkpoint.load(whole, tiny.LLAVA, "cpu")


def test_no_manifest_is_left_from_before_while_a_checkpoint_is_made_again(snapshots, whole, monkeypatch):
    monkeypatch.setattr(checkpoint, "save_file", lambda *_: pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception):
        tiny.make_checkpoint(snapshots["llava"], whole, tiny.LLAVA, language="bnb-int8")
    assert not (whole / checkpoint.MANIFEST).exists()


def test_a_full_disk_names_the_weights_and_leaves_no_checkpoint(snapshots, tmp_path):
    with one_mib(tmp_path) as small:
        (small / "other").write_bytes(bytes(500_000))
        folder = small / "checkpoint"
        with pytest.raises(OSError) as caught:
            tiny.make_checkpoint(snapshots["llava"], folder, tiny.LLAVA, language="rtn-4", vision="rtn-4", head="rtn-4")
        assert caught.value.errno == errno.ENOSPC
        assert re.fullmatch(re.escape(str(folder)) + r"/weights-\d{5}\.safetensors", caught.value.filename)
        assert not list(folder.glob("*weights*")) and not (folder / checkpoint.MANIFEST).exists()


# For each line of standard input another process that makes the checkpoint until it is killed; it says its number.
SAVED = """
import os
import sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
import tiny_models as tiny
from bitbudget import files
from bitbudget.models import checkpoint
checkpoint.SHARD_BYTES = 30_000
source, folder = map(Path, sys.argv[1:3])
asked = tiny.assignment(tiny.LLAVA, "float32", language="torchao-int8", vision="rtn-4")
model = checkpoint.original(source, tiny.LLAVA, "float32")
maker = os.getpid()
for _ in sys.stdin:
    if process := os.fork():
        os.waitpid(process, 0)
        print("ended", flush=True)
        continue
    print(os.getpid(), flush=True)
    while os.getppid() == maker:
        layers, tensors = checkpoint.quantize(model, tiny.LLAVA, asked, "cpu")
        made = checkpoint.save(folder, source, model, tensors, layers)
        files.write_json(folder / checkpoint.MANIFEST, {"dtype": "float32", "device": "cpu", **made})
"""


def test_a_checkpoint_whose_making_was_killed_loads_whole_or_says_what_to_do(snapshots, tmp_path):
    """Killed at any moment, while it is made over and over again."""
    dice = random.Random(3)
    folder = tmp_path / "checkpoint"
    command = [sys.executable, "-c", SAVED, snapshots["llava"], folder, *sys.path]
    maker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        for _ in range(6):
            maker.stdin.write(b"\n")
            maker.stdin.flush()
            process = int(maker.stdout.readline())
            time.sleep(dice.uniform(0, 0.5))
            os.kill(process, signal.SIGKILL)
            assert maker.stdout.readline() == b"ended\n"
            if not folder.exists():
                continue
            try:
                checkpoint.load(folder, tiny.LLAVA, "cpu")
            except UserError as fault:
                assert f"{folder} is not a whole checkpoint" in str(fault)
    finally:
        maker.kill()
        maker.communicate()
    tiny.make_checkpoint(snapshots["llava"], folder, tiny.LLAVA)
    checkpoint.load(folder, tiny.LLAVA, "cpu")


def hash_of(source, folder, dtype="float32", **chosen):
    return checkpoint.manifest(tiny.make_checkpoint(source, folder, tiny.LLAVA, dtype, **chosen))["checkpoint_hash"]


def test_the_hash_is_that_of_the_contents(snapshots, tmp_path):
    source = snapshots["llava"]
    first = hash_of(source, tmp_path / "a", language={"format": "bnb-int8", "threshold": 6.0})
    again = hash_of(source, tmp_path / "b", language={"format": "bnb-int8", "threshold": 6.0})
    assert first == again
    others = [
        hash_of(source, tmp_path / "c", language={"format": "bnb-int8", "threshold": 0.0}),
        hash_of(source, tmp_path / "d", vision={"format": "bnb-int8", "threshold": 6.0}),
        hash_of(source, tmp_path / "e", "float16", language={"format": "bnb-int8", "threshold": 6.0}),
    ]
    changed = shutil.copytree(source, tmp_path / "changed")
    (changed / "chat_template.jinja").write_text("another template")
    others.append(hash_of(changed, tmp_path / "f", language={"format": "bnb-int8", "threshold": 6.0}))
    assert len({first, *others}) == 5


def test_what_a_checkpoint_needs_is_copied_and_nothing_else(snapshots, tmp_path):
    source = shutil.copytree(snapshots["qwen2-vl"], tmp_path / "source")
    for name in ("model.json", "model.safetensors.index.json", "picture.png"):
        (source / name).write_text("{}")
    there = {path: path.stat().st_size for path in (source / "picture.png", source / "model.safetensors")}
    facts = {path.name: {"bytes": size, "sha256": files.sha256_of(path)} for path, size in there.items()}
    files.write_json(source / "model.json", {"files": facts})
    folder = tiny.make_checkpoint(source, tmp_path / "checkpoint", tiny.QWEN)
    expected = {p.name for p in snapshots["qwen2-vl"].iterdir()} - {"model.safetensors"}
    assert {p.name for p in folder.iterdir()} == expected | {checkpoint.MANIFEST}


@pytest.mark.parametrize(("name", "bits"), [("torchao-int4", {"group_size": 128}), ("rtn-2", {"group_size": 100})])
def test_a_layer_that_a_format_cannot_take_is_named_before_any_work(snapshots, tmp_path, name, bits):
    model = checkpoint.original(snapshots["llava"], tiny.LLAVA, "float32")
    wanted = tiny.assignment(tiny.LLAVA, "float32", language={"format": name, **bits})
    where = r"model\.language_model\.layers\.0\.self_attn\.q_proj \(group language\.attention\)"
    reason = f"its 64 input features are no multiple of the group size {bits['group_size']}"
    with pytest.raises(UserError, match=f"^{name} cannot take {where}: {reason}; choose another group size"):
        checkpoint.quantize(model, tiny.LLAVA, wanted, "cpu")


def test_a_snapshot_that_lacks_weights_is_refused_and_not_filled_up_at_random(snapshots, tmp_path):
    source = shutil.copytree(snapshots["llava"], tmp_path / "source")
    tensors = load_file(source / "model.safetensors")
    gone = [key for key in tensors if "layers.1.mlp.up_proj" in key]
    save_file({k: v for k, v in tensors.items() if k not in gone}, source / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"source lacks 1 weight \(model\.language_model\.layers\.1\.mlp\.up_proj\."):
        checkpoint.load_original(source, tiny.LLAVA, "float32")
    with pytest.raises(UserError, match=r"source lacks 1 weight \(model\.language_model\.layers\.1\.mlp\.up_proj\."):
        checkpoint.original(source, tiny.LLAVA, "float32")


def test_layers_whose_matrix_is_read_by_their_owner_are_left_alone():
    """nn.MultiheadAttention (SigLIP's pooling head) does not call its output projection."""
    model = nn.Module()
    model.model = nn.Module()
    model.model.vision_tower = nn.MultiheadAttention(64, 2)
    model.lm_head = nn.Linear(64, 8)
    family = SimpleNamespace(GROUPS={"vision": ("model.vision_tower",), "head": ("lm_head",)})
    found = checkpoint.linear_layers(model, family, tiny.assignment(tiny.LLAVA, "float32"))
    assert [layer.path for layer in found] == ["lm_head"]
