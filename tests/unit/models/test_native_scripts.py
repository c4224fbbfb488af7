"""Published models of ours through the scripts: fetched, quantized, audited, asked, counted, measured, without code."""

import sys

import pytest
import tiny_bunny
import tiny_models as tiny
import tiny_phi3_v
from asked import asked
from PIL import Image

import audit_checkpoint
import count_flops
import measure_efficiency
import predict
import quantize_model
from bitbudget import files, registry
from bitbudget.errors import UserError
from bitbudget.models import hub, snapshots
from bitbudget.records import _validator

PUBLISHED = {"bunny": (tiny_bunny.bunny, "bunny-phi"), "phi3-v": (tiny_phi3_v.write, "phi3_v")}
FORMATS = {"language": "bnb-nf4", "vision": "bnb-int8", "projector": "bnb-int8", "head": "bnb-int8"}
SPEC = {
    "study": "test", "track": "vqa", "model": "tiny", "precision": "mixed", "seed": 53, "condition": "zero-shot",
    "prompt": "{question}\nAnswer the question using a single word or phrase.", "shots": 0, "device": "cpu",
    "dtype": "float32", "simulated": [], "least_coverage": 0.5, "batch_size": 4, "shard_size": 4, "repeat": 1,
    "generation": {"max_new_tokens": 6, "num_beams": 1}, "max_side": 1024,
    "images": {"max_tokens": None, "enlarge": False},
    "measure": {
        "items": 2, "warmup": 1, "min_iterations": 2, "min_seconds": 0.1, "batch_sizes": [1, 2], "new_tokens": 4,
        "rounds": 1, "busy_gpu": "refuse", "context": [9],
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=PUBLISHED)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def spec(name):
    family = registry.module_of("family", name)
    return SPEC | {"family": name, "assignment": tiny.assignment(family, "float32", **FORMATS)}


@pytest.fixture(scope="module")
def study(name, tmp_path_factory):
    """A fetched snapshot, four questions on pictures, and two examples."""
    folder, family = tmp_path_factory.mktemp("study"), registry.module_of("family", name)
    make, model_type = PUBLISHED[name]
    entry = {"local": str(make(folder / "published")), "family": name, "licence": "Apache-2.0"}
    record = hub.fetch(name, entry, folder / "model", folder / "partial", lambda one: snapshots.check(one, family))
    assert record["model_type"] == model_type
    assert not [file for file in record["files"] if file.endswith(".py")]
    return asked_in(folder)


def asked_in(folder):
    """The folder, with what the data rules make."""
    rows, images = [], {}
    for number in range(4):
        path = folder / f"{number}.png"
        Image.linear_gradient("L").rotate(50 * number).resize(tiny.SIZES[number % 3]).convert("RGB").save(path)
        images[str(number)] = {"file": str(path), "size": list(tiny.SIZES[number % 3])}
        rows.append({
            "id": str(number), "images": [{"id": str(number), "source": "x"}], "question": "What" + "?" * number,
            "references": ["a dog"], "extra": {},
        })  # fmt: skip
    files.write_jsonl(folder / "items.jsonl", rows)
    files.write_json(folder / "images.json", {"images": images, "skipped": []})
    files.write_json(folder / "subset.json", {"subset_hash": "5" * 64})
    files.write_jsonl(folder / "shots.jsonl", rows[:2])
    return folder


def run(script, **given):
    """A script's `main`, as from the command line."""
    words = [script.__name__]
    for key, value in given.items():
        text = asked(script.__name__, value) if isinstance(value, dict) else str(value)
        words += [f"--{key.replace('_', '-')}", text]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words)
        script.main()


def record_of(path, kind):
    record = files.read_json(path)
    _validator(kind).validate(record)
    return record


def data_of(study):
    return {"subset": study / "subset.json", "items": study / "items.jsonl", "images": study / "images.json"}


@pytest.fixture(scope="module")
def audited(study, spec):
    run(quantize_model, model_dir=study / "model", spec=spec, out=study / "checkpoint")
    out = study / "audit.json"
    run(audit_checkpoint, checkpoint=study / "checkpoint", model_dir=study / "model", spec=spec, out=out)
    return record_of(out, "audit")


def test_every_part_is_held_in_its_format(audited):
    held = {name: (group["format"], group["coverage"]) for name, group in audited["groups"].items()}
    assert held["head"] == ("bnb-int8", 1)
    assert held["projector"][0] == "bnb-int8" and held["projector"][1] > 0.9  # Phi-3-vision's separators are none
    assert held["language.mlp"] == held["language.attention"] == ("bnb-nf4", 1)
    assert held["vision"][0] == "bnb-int8" and held["vision"][1] > 0.5  # patches and positions are no linear layers
    assert held["embeddings"][0] == "float32"


def test_answers_come_with_and_without_examples(study, spec, audited):
    shots = {"shots": study / "shots.jsonl", "shot_images": study / "images.json"}
    counts = []
    for number, more in ((0, {}), (2, shots)):
        given = spec | {"shots": number, "condition": f"{number}-shot" if number else "zero-shot"}
        out = study / f"{number}.jsonl"
        paths = {"checkpoint": study / "checkpoint", "out": out, "record": study / f"{number}.json"} | data_of(study)
        run(predict, spec=given, shards=study / "shards", **paths, **more)
        counts.append([row["prompt_tokens"] for row in files.read_jsonl(out)])
        assert record_of(study / f"{number}.json", "predictions")["n"] == 4
    assert all(few > 1.5 * none for few, none in zip(counts[1], counts[0], strict=True))


def test_examples_beyond_what_bunny_was_trained_with_are_one_sentence(tmp_path):
    """The decoder may know more positions (Llama 3), but prompts were cut at `tokenizer_model_max_length`."""
    model = tiny_bunny.bunny(tmp_path / "model", max_position_embeddings=4096, tokenizer_model_max_length=256)
    made, study = tiny.make_checkpoint(model, tmp_path / "checkpoint", tiny_bunny.FAMILY), asked_in(tmp_path)
    given = {"shots": study / "shots.jsonl", "shot_images": study / "images.json"} | data_of(study)
    given |= {"checkpoint": made, "shards": tmp_path, "out": tmp_path / "out.jsonl", "record": tmp_path / "out.json"}
    with pytest.raises(UserError, match="are more than the 256 positions that the model knows"):
        run(predict, spec=SPEC | {"family": "bunny", "shots": 2, "condition": "2-shot"}, **given)


def test_operations_and_phases_are_told_apart(study, spec, audited):
    given = {"checkpoint": study / "checkpoint", "audit": study / "audit.json"} | data_of(study)
    run(count_flops, spec=spec, out=study / "flops.json", **given)
    counted = record_of(study / "flops.json", "flops")["metrics"]
    run(measure_efficiency, spec=spec, out=study / "measured.json", **given)
    measured = record_of(study / "measured.json", "measurement_repeat")["metrics"]
    for phase in ("vision", "prefill", "decode"):
        assert counted[f"flops_{phase}"]["value"] > 0
        assert measured[f"latency_{phase}"]["value"] > 0
    assert measured["decode_rate_at_9"]["value"] > 0 and measured["cache_memory"]["value"] > 0
