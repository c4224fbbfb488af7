"""What a processor refuses of one item: the sentence names item and image, before anything is quantized."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_models as tiny
import torch
from PIL import Image

import warm
from bitbudget import files
from bitbudget.config import spec
from bitbudget.errors import UserError
from bitbudget.models import readers
from bitbudget.runtimes.transformers import asked_items, generation

SCRIPTS = Path(__file__).parents[3] / "workflow/scripts"
SIZES = [(1, 1), (3, 3), (1, 50), (199, 1), (200, 1), (201, 1), (5, 1000), (5, 1001), (640, 480), (4, 801), (2, 399)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return {name: make(folder / name) for name, (make, _) in {**tiny.MAKERS, **tiny.TEXT_MAKERS}.items()}


def items_of(sizes, question=None):
    """Items of one image each, and their images.json."""
    items = [
        {"id": f"item{k}", "images": [{"id": f"p{k}", "source": "x"}], "question": question, "references": ["a"]}
        for k in range(len(sizes))
    ]
    images = {f"p{k}": {"file": f"images/p{k}.png", "size": list(size)} for k, size in enumerate(sizes)}
    return items, {"images": images, "skipped": []}


@pytest.mark.parametrize("name", tiny.MAKERS)
def test_what_a_family_says_of_images_is_what_its_processor_does(made, name):
    family, processor = tiny.MAKERS[name][1], readers.load_processor(made[name])
    for width, height in SIZES + [(height, width) for width, height in SIZES]:
        said = family.image_refusal(width, height) if hasattr(family, "image_refusal") else None
        done = asked_items._refusal(family, processor, generation.CHAT, (width, height))
        assert (said is None) == (done is None), (width, height, done)


def test_a_refused_image_is_named_with_its_item(made):
    items, images = items_of([(640, 480), (3000, 10), (20, 30), (10, 3000)])
    sentence = (
        r"cannot take the image images/p1\.png of item item1, 3000 x 10 pixels \(absolute aspect ratio .*got 300\.0\), "
        r"nor 1 other: leave them out of the subset, or set `on_corrupt: skip` under `images`"
    )
    with pytest.raises(UserError, match=sentence):
        asked_items.check(made["qwen2-vl"], tiny.QWEN, items, images)
    asked_items.check(made["llava"], tiny.LLAVA, items, images)
    asked_items.check(made["qwen2-vl"], tiny.QWEN, *items_of([(640, 480), (2000, 10)]))


def test_the_outermost_sizes_are_those_of_every_measure():
    sizes = [(10, 10), (640, 480), (3000, 10), (10, 2000), (1, 1), (2000, 2000), (300, 300)]
    assert asked_items.outermost(sizes) == {(3000, 10), (10, 2000), (1, 1), (2000, 2000)}
    assert asked_items.outermost([]) == set()


@pytest.mark.parametrize("name", ["llama", "gpt-neox", "opt"])
def test_passages_are_checked_without_images(made, name):
    item = {"id": "1", "images": [], "question": "the </s> <|endoftext|> cat", "references": ["sat"]}
    asked_items.check(made[name], tiny.TEXT_MAKERS[name][1], [item], None)


def quantize(folder, made, **keys):
    """The script on a tiny Qwen2-VL, as its rule calls it."""
    formats = tiny.assignment(tiny.QWEN, "float32")
    one = {
        "study": "tiny", "model": "tiny", "precision": "float32", "family": "qwen2-vl", "dtype": "float32",
        "device": "cpu", "assignment": formats, "least_coverage": 0.5, "simulated": [],
    }  # fmt: skip
    arguments = [
        "--model-dir", made["qwen2-vl"], "--spec", json.dumps(one), "--items", folder / "items.jsonl",
        "--images", folder / "images.json", "--out", folder / "checkpoint",
    ]  # fmt: skip
    return subprocess.run(
        [warm.python(), SCRIPTS / "quantize_model.py", *map(str, arguments)], capture_output=True, text=True
    )


def resize(folder, pictures, on_corrupt, families):
    """The script over pictures of these sizes, as its rule calls it."""
    (folder / "sources").mkdir(parents=True)
    sources = {}
    for key, size in pictures.items():
        Image.new("RGB", size, "red").save(folder / f"sources/{key}.png")
        sources[key] = {"path": str(folder / f"sources/{key}.png")}
    files.write_json(folder / "image_sources.json", {"images": sources})
    one = {"max_side": 4000, "on_corrupt": on_corrupt} | ({"families": families} if families else {})
    arguments = [
        "--study", "tiny", "--sources", folder / "image_sources.json", "--spec", json.dumps(one), "--threads", "1",
        "--out-dir", folder / "images", "--out", folder / "images.json",
    ]  # fmt: skip
    return subprocess.run(
        [sys.executable, SCRIPTS / "resize_images.py", *map(str, arguments)], capture_output=True, text=True
    )


def test_nothing_is_quantized_for_an_item_that_the_processor_refuses(made, tmp_path):
    assert resize(tmp_path, {"p0": (64, 48), "p1": (3000, 10)}, "fail", []).returncode == 0
    files.write_jsonl(tmp_path / "items.jsonl", items_of([(1, 1)] * 2)[0])
    done = quantize(tmp_path, made)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: the model's processor cannot take the image images/p1.png of item item1, 3000"
    )
    assert not (tmp_path / "checkpoint").exists()


def test_an_image_that_a_family_refuses_is_skipped_where_the_study_says_so(made, tmp_path):
    done = resize(tmp_path, {"p0": (64, 48), "p1": (3000, 10)}, "skip", ["qwen2-vl"])
    assert done.returncode == 0, done.stderr
    record = files.read_json(tmp_path / "images.json")
    assert list(record["images"]) == ["p0"]
    assert record["skipped"] == [
        {"id": "p1", "reason": "qwen2-vl: its sides are as 300 to 1, and Qwen2-VL takes at most 200 to 1"}
    ]
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["p0.png"]
    files.write_jsonl(tmp_path / "items.jsonl", items_of([(1, 1)] * 2)[0])
    done = quantize(tmp_path, made)
    assert done.returncode == 0, done.stderr


def test_a_study_of_refused_images_alone_is_one_sentence(tmp_path):
    done = resize(tmp_path, {"p1": (3000, 10)}, "skip", ["qwen2-vl"])
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: none of the 1 images can be used: qwen2-vl: its sides are")


def test_only_a_study_that_skips_knows_of_choosy_families():
    """Another model in a finished study must not make its images again."""

    def study(on_corrupt, *families):
        models = {f"m{k}": {"family": family} for k, family in enumerate(families)}
        return {"images": {"max_side": 1024, "on_corrupt": on_corrupt}, "models": models}

    def told(*about):
        return spec.of("resize_images", study(*about), {})

    assert told("fail", "llava", "qwen2-vl") == told("fail", "llava")
    assert told("skip", "llava", "idefics3") == {"max_side": 1024, "on_corrupt": "skip"}
    assert told("skip", "llava", "qwen2-vl")["families"] == ["qwen2-vl"]


def test_a_refusal_in_a_batch_names_its_item(made, tmp_path):
    processor = readers.load_processor(made["qwen2-vl"])
    items = []
    for number, size in enumerate([(40, 30), (3000, 10), (30, 40)]):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", size).save(path)
        items.append({"id": f"q{number}", "images": [str(path)], "question": None})
    sentence = r"cannot take item q1 with .*1\.png \(absolute aspect ratio .*\): leave it out of the subset\.$"
    with pytest.raises(UserError, match=sentence):
        generation.prepare_items(processor, tiny.QWEN, items, "What?", "cpu", torch.float32)
    example = items.pop(1) | {"references": ["a"]}
    with pytest.raises(UserError, match=sentence):
        generation.prepare_items(processor, tiny.QWEN, items, "What?", "cpu", torch.float32, [example])
