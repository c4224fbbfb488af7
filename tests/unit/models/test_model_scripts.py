"""The scripts of the model side, run as the rules run them, on tiny models: one that sees, and one that reads."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_models as tiny
from asked import asked
from PIL import Image
from safetensors.torch import load_file

import warm
from bitbudget import files
from bitbudget.config.dependencies import code_of, files_of
from bitbudget.errors import UserError
from bitbudget.models import checkpoint
from bitbudget.records import _validator
from bitbudget.runtimes import shard_files
from bitbudget.runtimes.transformers import generation, last_word

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"
NAMES = ["quantize_model", "audit_checkpoint", "predict", "predict_last_words", "measure_efficiency"]
IDENTITY = {"study": "test", "model": "tiny", "precision": "int8-language", "seed": 53, "family": "llava"}
PROMPT = {"condition": "zero-shot", "track": "captioning", "prompt": "Describe the image.", "shots": 0, "device": "cpu"}
PROMPT |= {"max_side": 1024, "images": {"max_tokens": None, "enlarge": False}}
QUANTIZE = IDENTITY | {
    "assignment": tiny.assignment(tiny.LLAVA, "bfloat16", language="bnb-int8"),
    "least_coverage": 0.5,
    "dtype": "bfloat16",
    "device": "cpu",
    "simulated": [],
}
PREDICT = IDENTITY | PROMPT | {"generation": {"max_new_tokens": 6, "num_beams": 1}, "batch_size": 4, "shard_size": 3}
PLAN = {
    "items": 3, "warmup": 1, "min_iterations": 3, "min_seconds": 1.1, "batch_sizes": [1, 2], "new_tokens": 4,
    "rounds": 2, "busy_gpu": "refuse", "context": [7, 100_000],
}  # fmt: skip
MEASURE = IDENTITY | PROMPT | {"measure": PLAN, "simulated": [], "generation": {"num_beams": 1}, "repeat": 1}
CARBON = {"carbon": {"country": "AUT", "pue": 1.2, "intensity": None}}


def run(name, *arguments, fails=False, python=None, **paths):
    command = [python or warm.python(), SCRIPTS / f"{name}.py", *arguments]
    for key, value in paths.items():
        command += [f"--{key.replace('_', '-')}", asked(name, value) if isinstance(value, dict) else str(value)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert (done.returncode != 0) == fails, done.stderr
    return done


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A snapshot, and what the data rules make: five items of which one was skipped."""
    folder = tmp_path_factory.mktemp("study")
    tiny.llava(folder / "model")
    (folder / "images").mkdir()
    ids = [f"picture{number}" for number in range(5)]
    for number, name in enumerate(ids[:4]):
        size = tiny.SIZES[number % 3]
        Image.linear_gradient("L").rotate(50 * number).resize(size).convert("RGB").save(folder / f"images/{name}.png")
    items = [
        {"id": f"item{k}", "images": [{"id": name, "source": "x"}], "question": None, "references": ["a"], "extra": {}}
        for k, name in enumerate(ids)
    ]
    files.write_jsonl(folder / "items.jsonl", items)
    prepared = {
        name: {"file": f"images/{name}.png", "size": [*tiny.SIZES[number % 3]]} for number, name in enumerate(ids[:4])
    }
    files.write_json(folder / "images.json", {"images": prepared, "skipped": [{"id": ids[4]}]})
    files.write_json(folder / "subset.json", {"subset_hash": "5" * 64})
    return folder


@pytest.fixture(scope="module")
def quantized(study):
    done = run("quantize_model", model_dir=study / "model", spec=QUANTIZE, out=study / "checkpoint")
    assert "14 layers quantized" in done.stderr
    return study / "checkpoint"


@pytest.fixture(scope="module")
def audited(study, quantized):
    paths = {"checkpoint": quantized, "model_dir": study / "model"}
    return run("audit_checkpoint", **paths, spec=QUANTIZE, out=study / "audit.json"), study / "audit.json"


def data_of(study):
    return {"subset": study / "subset.json", "items": study / "items.jsonl", "images": study / "images.json"}


def record_of(path, kind):
    """The record, as its schema wants it."""
    record = files.read_json(path)
    _validator(kind).validate(record)
    assert record["provenance"]["packages"]["torch"]
    return record


def test_the_checkpoint_has_its_record(quantized):
    record = record_of(quantized / checkpoint.MANIFEST, "checkpoint")
    assert record["assignment"]["language.mlp"] == {"format": "bnb-int8", "threshold": 6.0}
    own = sum(path.stat().st_size for path in quantized.glob("*.safetensors"))
    assert 0 < own < record["size_on_disk_bytes"], "what was not quantized is read from the snapshot"


def test_the_audit_has_its_record_and_says_what_it_found(quantized, audited):
    done, path = audited
    record = record_of(path, "audit")
    assert record["checkpoint_hash"] == checkpoint.manifest(quantized)["checkpoint_hash"]
    assert record["groups"]["language.mlp"]["format"] == "bnb-int8"
    assert 0 < record["groups"]["language.mlp"]["relative_error"] < 0.011
    assert record["groups"]["language.mlp"]["coverage"] == 1
    assert (
        record["weights_bytes_in_memory"]
        < record_of(quantized / checkpoint.MANIFEST, "checkpoint")["size_on_disk_bytes"]
    )
    assert "language.mlp         bnb-int8" in done.stderr


def test_an_audit_made_beside_the_checkpoint_is_taken_while_its_code_is_the_same(study, audited):
    folder, modules = study / "at-once", ["bitbudget.models.families.llava", "bitbudget.models.formats.bnb_int8"]
    command = {"model_dir": study / "model", "spec": QUANTIZE}
    run("quantize_model", "--audit-with", *modules, **command, out=folder)
    checkpoint.load(folder, tiny.LLAVA, "cpu")
    again = functools.partial(run, "audit_checkpoint", checkpoint=folder, **command, out=study / "taken.json")
    assert "audit: " not in again(code=code_of("audit_checkpoint", modules)).stderr
    taken, alone = (record_of(path, "audit") for path in (study / "taken.json", audited[1]))
    assert {**taken, "provenance": None} == {**alone, "provenance": None}
    assert "audit: 100%" in again(code="of another day").stderr
    assert {**record_of(study / "taken.json", "audit"), "provenance": None} == {**alone, "provenance": None}


def test_editing_the_audit_makes_no_checkpoint_anew():
    names = [path.stem for path in files_of("quantize_model", ["bitbudget.models.formats.bnb_int8"])]
    assert "checkpoint" in names and not {"stored", "checkpoint_audit", "rounding", "kernel_probe"} & set(names)


def test_predictions_are_answers_to_every_usable_item_and_shards_are_kept(study, quantized):
    paths = data_of(study) | {"shards": study / "shards", "out": study / "predictions.jsonl"}
    done = run("predict", checkpoint=quantized, spec=PREDICT, record=study / "predictions.json", **paths)
    rows = files.read_jsonl(study / "predictions.jsonl")
    assert [row["id"] for row in rows] == ["item0", "item1", "item2", "item3"]
    record = record_of(study / "predictions.json", "predictions")
    assert record["n"] == 4
    assert record["form"] == {"by": "the chat template", "template": None}
    assert record["images"] == {"max_tokens": None, "enlarge": False, "tiles": None}
    assert record["image_tokens"] == 4 * 4 and record["prompt_tokens"] == sum(row["prompt_tokens"] for row in rows)
    assert record["new_tokens"] == sum(row["new_tokens"] for row in rows) <= 24
    assert record["cut_off"] == sum(row["finish"] == "length" for row in rows)
    assert record["checkpoint_hash"] == checkpoint.manifest(quantized)["checkpoint_hash"]
    assert sorted(path.name for path in (study / "shards").rglob("*.jsonl")) == ["00000000-3.jsonl", "00000003-1.jsonl"]
    assert record["shards_made_again"] == []
    assert "Warning" not in done.stderr
    assert "predict: 100%" in done.stderr


def test_examples_stand_before_every_item_and_must_be_there(study, quantized):
    """Two examples whose pictures are those of two items: only the script that chooses them forbids that."""
    items = files.read_jsonl(study / "items.jsonl")
    files.write_jsonl(study / "shots.jsonl", [item | {"references": ["b", "a", "b"]} for item in items[:2]])
    shots = {"shots": study / "shots.jsonl", "shot_images": study / "images.json"}
    spec = PREDICT | {"condition": "2-shot", "shots": 2}
    paths = data_of(study) | {"out": study / "few.jsonl", "record": study / "few.json"}
    paths |= {"checkpoint": quantized}
    run("predict", **paths, **shots, spec=spec, shards=study / "few_shards")
    record = record_of(study / "few.json", "predictions")
    assert record["shots"] == ["item0", "item1"]
    zero = study / "zero.jsonl"
    run("predict", **paths | {"out": zero}, spec=PREDICT, shards=study / "zero_shards")
    for few, none in zip(files.read_jsonl(study / "few.jsonl"), files.read_jsonl(zero), strict=True):
        assert few["prompt_tokens"] > 2 * none["prompt_tokens"]
    wrong = run("predict", **paths, **shots, spec=spec | {"shots": 3}, shards=study / "few_shards", fails=True)
    last = wrong.stderr.strip().splitlines()[-1]
    assert last.startswith("error: 3 examples are to stand before each item") and last.endswith("select_shots.")


def test_measurements_are_complete_or_say_why_not(study, quantized, audited):
    paths = data_of(study) | {"audit": audited[1], "out": study / "measurements/repeat-2.json"}
    run("measure_efficiency", checkpoint=quantized, spec=MEASURE | {"repeat": 2}, **paths)
    record = record_of(study / "measurements/repeat-2.json", "measurement_repeat")
    assert (record["repeat"], record["plan"]) == (2, PLAN)
    assert record["started"] <= record["finished"]
    found = record["metrics"]
    for name in ("latency", "latency_cold", "latency_vision", "latency_prefill", "latency_decode", "decode_per_token"):
        assert found[name]["value"] > 0
    assert len(found["latency"]["drift"]) == 2
    for name in ("throughput_1", "throughput_2"):
        assert (found[name]["unit"], found[name]["n"]) == ("items/s", 2)
    names = {"energy_per_item", "energy_per_item_2", "idle_power"}
    for name in names | {f"energy_{part}" for part in ("preprocessing", "first_token", "vision_prefill", "decode")}:
        assert found[name].get("value", 1) > 0
        assert "value" in found[name] or len(found[name]["absent"]) > 20
    assert found["energy_per_item"].get("batch_size", 1) == 1
    assert found["size_on_disk"]["bytes"] == checkpoint.manifest(quantized)["size_on_disk_bytes"]
    assert found["weights_in_memory"]["bytes"] == files.read_json(audited[1])["weights_bytes_in_memory"]
    assert found["peak_memory"]["value"] > 100
    about = record["circumstances"]
    assert about["device"] == "cpu"
    assert about["kernels"]["bnb-int8"] == ["bitsandbytes.nn.modules.Linear8bitLt"]
    assert about["load_before"] >= 0 and about["load_after"] >= 0
    assert about["warm_up"]["calls"] == len(about["warm_up"]["raw"]) >= 7
    for name in ("prefill_rate", "decode_rate", "token_rate_1", "token_rate_2"):
        assert found[name]["value"] > 0 and found[name]["unit"] == "tokens/s"
    assert found["decode_rate_at_7"]["value"] > 0 and found["decode_rate_at_7"]["n"] >= 3
    assert "a prompt of 100000 tokens" in found["decode_rate_at_100000"]["absent"]
    held = found["cache_memory"]
    config = checkpoint.load_original(study / "model", tiny.LLAVA, "bfloat16").config.text_config
    width = config.num_key_value_heads * config.hidden_size // config.num_attention_heads
    assert held["bytes"] == 2 * 2 * config.num_hidden_layers * width * held["positions"]  # keys, values; two bytes each
    out = study / "measurements.json"
    run("combine_measurements", repeats=study / "measurements/repeat-2.json", spec=CARBON, out=out)
    pooled = record_of(out, "measurements")
    for name, metric in found.items():
        assert pooled["metrics"][name].get("value") == pytest.approx(metric.get("value")), name


def test_a_simulated_precision_is_not_measured_and_says_why(study, quantized, audited):
    paths = data_of(study) | {"audit": audited[1], "out": study / "simulated.json"}
    run("measure_efficiency", checkpoint=quantized, spec=MEASURE | {"simulated": ["rtn-3"]}, **paths)
    found = record_of(study / "simulated.json", "measurement_repeat")["metrics"]
    assert {"size_on_disk", "weights_in_memory", "peak_memory", "latency", "energy_per_item"} <= found.keys()
    assert {"prefill_rate", "decode_rate", "token_rate_1", "token_rate_2", "decode_rate_at_7"} <= found.keys()
    assert all(metric["absent"].startswith("rtn-3 is simulated") for metric in found.values())


READ = {"study": "test", "model": "tiny", "precision": "int8-language", "condition": "zero-shot", "seed": 53}
READ |= {"family": "llama", "bos": "auto", "device": "cpu"}
SCORE = READ | {"batch_size": 4, "shard_size": 10}
QUICK = MEASURE | READ | {"measure": PLAN | {"min_seconds": 0.1}}


@pytest.fixture(scope="module")
def passages(tmp_path_factory):
    """A checkpoint of a small Llama, and what the data rules make of forty passages."""
    folder = tmp_path_factory.mktemp("passages")
    tiny.make_checkpoint(tiny.llama(folder / "model"), folder / "checkpoint", tiny.LLAMA, language="bnb-int8")
    words = ["mat", "redcar", "went", "12"]
    items = [
        {"id": f"p{k}", "images": [], "question": "the cat" + " and he saw" * (k % 7), "references": [words[k % 4]],
         "extra": {}}
        for k in range(40)
    ]  # fmt: skip
    files.write_jsonl(folder / "items.jsonl", items)
    files.write_json(folder / "subset.json", {"subset_hash": "5" * 64})
    made = checkpoint.manifest(folder / "checkpoint")
    files.write_json(
        folder / "audit.json",
        {"checkpoint_hash": made["checkpoint_hash"], "weights_bytes_in_memory": 12345, "layers": []},
    )
    return folder


def score_last_words(passages, name, fails=False, spec=SCORE, logits=None):
    """Run the script and return its standard error, the rows, the record and the logits."""
    paths = {key: passages / key for key in ("checkpoint", "subset.json", "items.jsonl")}
    paths = {key.split(".")[0]: path for key, path in paths.items()}
    out = passages / name
    done = run(
        "predict_last_words", **paths, spec=spec, shards=passages / "shards", out=out / "predictions.jsonl",
        record=out / "predictions.json", out_logits=logits or out / "logits.safetensors", fails=fails,
    )  # fmt: skip
    if fails:
        return done.stderr, [], {}, None
    record = record_of(out / "predictions.json", "predictions")
    return (
        done.stderr,
        files.read_jsonl(out / "predictions.jsonl"),
        record,
        load_file(out / "logits.safetensors")["logits"],
    )


@pytest.fixture(scope="module")
def scored(passages):
    return score_last_words(passages, "whole")


def test_last_words_are_scored_for_every_passage(passages, scored):
    said, rows, record, logits = scored
    items = files.read_jsonl(passages / "items.jsonl")
    model = checkpoint.load(passages / "checkpoint", tiny.LLAMA, "cpu")
    tokenizer = generation.load_tokenizer(passages / "checkpoint")
    assert [row["id"] for row in rows] == [item["id"] for item in items]
    for number, (item, row) in enumerate(zip(items, rows, strict=True)):
        passage = last_word.encode(tokenizer, [1], item, 256)
        ((expected, first),) = last_word.score(model, tokenizer, [passage], "cpu", "int8-language")
        assert row.keys() == {"id", "text", "rank", "greedy", "logprob", "target_tokens", "prompt_tokens"}
        assert row["logprob"] == pytest.approx(expected.logprob, abs=0.05), "another batch, in int8"
        assert (row["target_tokens"], row["prompt_tokens"]) == (expected.target_tokens, expected.prompt_tokens)
        if number < 32:
            assert (logits[number] - first).norm() < 0.02 * first.norm()
    assert logits.shape == (32, model.config.vocab_size)
    assert str(logits.dtype) == "torch.float32"
    how = {"bos": "auto", "bos_added": True, "bos_token": "<s>", "shortened": 0, "merged": 0}
    assert (record["last_word"], record["prompt"], record["shots"], record["n"]) == (how, None, [], 40)
    assert record["target_tokens"] == sum(row["target_tokens"] for row in rows) == 50
    assert record["prompt_tokens"] == sum(row["prompt_tokens"] for row in rows)
    assert record["shards_made_again"] == []
    assert "predict: 100%" in said and "of 40 last words begin with the likeliest token" in said


def test_scores_and_logits_of_a_run_that_was_stopped_are_the_same(passages, scored):
    """It ends before anything is written; what the finished shards hold is not scored again, but for the logits."""
    (passages / "no_folder").write_text("a file")
    score_last_words(passages, "stopped", fails=True, logits=passages / "no_folder" / "logits.safetensors")
    (shards,) = (passages / "shards").iterdir()
    assert sorted(path.name for path in shards.iterdir())[0] == "00000000-10.jsonl"
    kept = files.read_jsonl(shards / "00000000-10.jsonl")[1:]
    forged = [kept[0] | {"text": "from a shard"}, *kept[1:]]
    shard_files.write(shards / "00000000-10.jsonl", shards.name, [row["id"] for row in kept], forged)
    _, rows, _, logits = score_last_words(passages, "again")
    assert rows == [forged[0] if row["id"] == forged[0]["id"] else row for row in scored[1]]
    assert (logits == scored[3]).all()


def test_the_noise_floor_may_be_asked_with_another_number_of_threads(passages, scored):
    plain, other = scored[2], SCORE | {"again": True, "batch_size": 2, "other_threads": True}
    record = score_last_words(passages, "threads", spec=other)[2]
    assert record["threads"] == (plain["threads"] // 2 or 2) and record["again"] is True


def test_passages_longer_than_the_models_positions_are_counted(passages):
    items = files.read_jsonl(passages / "items.jsonl")
    long = items[0] | {"question": "the cat" + " and he saw" * 100}
    files.write_jsonl(passages / "long.jsonl", [long, *items[1:3]])
    paths = {
        "checkpoint": passages / "checkpoint",
        "subset": passages / "subset.json",
        "items": passages / "long.jsonl",
    }
    outs = {"out": passages / "long/p.jsonl", "record": passages / "long/p.json", "out_logits": passages / "long/l"}
    done = run("predict_last_words", **paths, **outs, spec=SCORE, shards=passages / "long_shards")
    assert record_of(outs["record"], "predictions")["last_word"]["shortened"] == 1
    assert "longer than the model's 256 positions, and read without their beginning: 1" in done.stderr
    assert files.read_jsonl(outs["out"])[0]["prompt_tokens"] == 256
    assert load_file(outs["out_logits"])["logits"].shape[0] == 3
    paths |= {"audit": passages / "audit.json", "out": passages / "long/repeat-1.json"}
    run("measure_efficiency", **paths, spec=QUICK)
    assert record_of(paths["out"], "measurement_repeat")["circumstances"]["shortened"] == 1


def test_a_model_that_only_reads_is_measured_without_images(passages):
    paths = {"checkpoint": passages / "checkpoint", "audit": passages / "audit.json"}
    paths |= {"subset": passages / "subset.json", "items": passages / "items.jsonl"}
    run("measure_efficiency", **paths, spec=QUICK, out=passages / "repeat-1.json")
    record = record_of(passages / "repeat-1.json", "measurement_repeat")
    found = record["metrics"]
    assert "latency_vision" not in found
    for name in ("latency", "latency_prefill", "latency_decode", "decode_per_token", "throughput_1", "throughput_2"):
        assert found[name]["value"] > 0
    for name in ("prefill_rate", "decode_rate", "token_rate_1", "token_rate_2"):
        assert (found[name]["unit"], found[name]["higher_is_better"]) == ("tokens/s", True)
    assert found["token_rate_2"]["value"] == pytest.approx(4 * found["throughput_2"]["value"])
    # a prompt of the three items has 3, 6 or 9 tokens with what begins it
    prefill = found["prefill_rate"]["value"] * found["latency_prefill"]["value"]
    assert 2 < prefill < 12
    assert record["circumstances"]["shortened"] == 0


def test_a_checkpoint_that_is_not_what_it_should_be_fails_the_audit_in_one_sentence(study, quantized):
    asked = QUANTIZE | {"assignment": tiny.assignment(tiny.LLAVA, "bfloat16", language="bnb-nf4")}
    paths = {"checkpoint": quantized, "model_dir": study / "model", "out": study / "failed.json"}
    done = run("audit_checkpoint", spec=asked, **paths, fails=True)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: precision int8-language is not what its name says: model.language_model.layers.0")
    assert last.endswith("; and 9 more.")
    assert "Traceback" not in done.stderr
    assert not (study / "failed.json").exists()


@pytest.mark.parametrize("name", NAMES)
def test_help_is_quick_and_says_what_the_script_does(name):
    done = run(name, "--help", python=sys.executable)
    assert done.stdout.count("--spec") >= 1
    assert len(done.stdout.splitlines()) > 8


def test_a_gpu_that_is_not_there_is_one_sentence(study):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    done = run(
        "quantize_model", model_dir=study / "model", spec=QUANTIZE | {"device": "cuda"}, out=study / "gpu", fails=True
    )
    assert (
        done.stderr.strip().splitlines()[-1].startswith("error: the study asks for device cuda, but torch finds no GPU")
    )
    assert "Traceback" not in done.stderr
    assert not (study / "gpu").exists()


def test_devices_are_chosen(monkeypatch):
    import torch

    from bitbudget.system.devices import choose_device

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [choose_device(wanted) for wanted in ("auto", "cpu", "cuda")] == ["cuda", "cpu", "cuda"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(UserError, match="set `device: auto` or `device: cpu`"):
        choose_device("cuda")


def test_items_without_a_usable_image_are_left_out_and_a_missing_one_is_named(study, tmp_path):
    from bitbudget.items.available import expected_items, usable_items

    found = usable_items(study / "items.jsonl", study / "images.json")
    assert [item["id"] for item in found] == ["item0", "item1", "item2", "item3"]
    assert all(Path(path).exists() for item in found for path in item["images"])
    prepared = files.read_json(study / "images.json")
    files.write_json(tmp_path / "images.json", prepared | {"skipped": []})
    with pytest.raises(UserError, match=r"images\.json has no image picture4 of item item4"):
        usable_items(study / "items.jsonl", tmp_path / "images.json")
    assert len(expected_items(study / "items.jsonl")) == 5, "without images, none of them can be missing"
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(UserError, match=r"empty\.jsonl has no item; choose another subset"):
        expected_items(tmp_path / "empty.jsonl")
    everything = [{"id": f"picture{number}"} for number in range(5)]
    files.write_json(tmp_path / "images.json", prepared | {"skipped": everything})
    with pytest.raises(UserError, match="no item whose images can be used"):
        usable_items(study / "items.jsonl", tmp_path / "images.json")
