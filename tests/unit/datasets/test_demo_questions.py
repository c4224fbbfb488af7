"""The generated questions: official format, true for every form of file, the same every time."""

import hashlib
import json
import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from bitbudget.datasets import demo_pictures, demo_questions, local_vqa, with_defaults
from bitbudget.datasets.demo import scenes, signs
from bitbudget.items.images import prepare_image

OPTIONS = {"images": 30, "train_images": 5, "seed": 4}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        found = demo_questions.fetch(OPTIONS, folder, folder / "partial")
    return folder, found


def pictures_of(split):
    images = OPTIONS["images" if split == "val" else "train_images"]
    return {str(p.number): p for p in demo_questions.plan(split, images, OPTIONS["seed"])}


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def truth(question, scene):
    """The right answer, from the places and properties of the shapes alone."""
    shapes = scene.shapes
    leftmost, rightmost = min(shapes, key=lambda s: s.x), max(shapes, key=lambda s: s.x)
    highest, lowest = min(shapes, key=lambda s: s.y), max(shapes, key=lambda s: s.y)

    def the(name):
        (only,) = [s for s in shapes if name in (s.shape, s.colour)]
        return only

    places = {"on the left": leftmost, "on the right": rightmost, "at the top": highest, "at the bottom": lowest}
    orders = {
        "to the left of": lambda a, b: a.x < b.x,
        "to the right of": lambda a, b: a.x > b.x,
        "above": lambda a, b: a.y < b.y,
        "below": lambda a, b: a.y > b.y,
    }
    if question == "What color is the background?":
        return scene.background
    if found := re.fullmatch(r"What color is the (\w+)\?", question):
        return the(found[1]).colour
    if found := re.fullmatch(r"What shape is (on the left|on the right|at the top|at the bottom)\?", question):
        return places[found[1]].shape
    if question == "What shape is shown?":
        (only,) = shapes
        return only.shape
    if found := re.fullmatch(r"What shape is (\w+)\?", question):
        return the(found[1]).shape
    if question == "How many shapes are there?":
        return str(len(shapes))
    if found := re.fullmatch(r"How many (\w+) shapes are there\?", question):
        return str(sum(s.colour == found[1] for s in shapes))
    if question in ("What does the sign say?", "What word is on the sign?"):
        return scene.sign.word
    if found := re.fullmatch(r"Is there an? (\w+) (\w+)\?", question):
        true = any((s.colour, s.shape) == found.groups() for s in shapes)
    elif found := re.fullmatch(r"Is the (\w+) (to the left of|to the right of|above|below) the (\w+)\?", question):
        true = orders[found[2]](the(found[1]), the(found[3]))
    else:
        found = re.fullmatch(r"Is the (\w+) (\w+)\?", question)
        true = found[2] in (the(found[1]).colour, the(found[1]).size)
    return "yes" if true else "no"


@pytest.mark.parametrize("seed", [0, 4])
def test_every_answer_is_true_and_agreed_on_by_most(seed, tmp_path):
    """Many more questions than the drawn set has, through what draws them, without the drawing."""
    asked = Counter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_pictures, "save", lambda *_: None)
        for picture in demo_questions.plan("val", 300, seed) + demo_questions.plan("train", 60, seed):
            scene = demo_pictures.scene_of(picture)
            questions, annotations = demo_questions._make(picture, tmp_path)
            assert len({question["question"] for question in questions}) == 3
            for question, annotation in zip(questions, annotations, strict=True):
                answer = truth(question["question"], scene)
                assert annotation["multiple_choice_answer"] == answer, (picture, question)
                texts = [one["answer"] for one in annotation["answers"]]
                assert len(texts) == 10 and texts.count(answer) >= 7
                assert question["question"].lower().startswith(annotation["question_type"])
                asked[annotation["question_type"], annotation["answer_type"]] += 1
    assert set(asked) == {
        ("what color is the", "other"),
        ("what shape is", "other"),
        ("how many", "number"),
        ("is the", "yes/no"),
        ("is there", "yes/no"),
        ("what does", "other"),
        ("what word", "other"),
    }
    assert min(asked.values()) > 40


def test_items_are_read_as_any_vqa_v2_set_is(made):
    folder, found = made
    items = demo_questions.read_items(OPTIONS, folder, "val")
    assert len(items) == 90 and len(demo_questions.read_items(OPTIONS, folder, "train")) == 15
    for number, item in enumerate(items):
        assert item.id == str(int(item.images[0].id) * 1000 + number % 3)
        assert (folder / item.images[0].source).is_file() and len(item.references) == 10
        assert set(item.extra) == {"question_type", "answer_type", "scene_seed"}
    names = {key: str(folder / f"annotations/{key}_val.json") for key in ("questions", "annotations")}
    options = with_defaults(local_vqa, "local-vqa", {"images": str(folder / "images"), **names})
    assert local_vqa.fetch(options, folder / "local", folder / "partial")["licence"] is None
    assert [i.references for i in local_vqa.read_items(options, folder / "local", "all")] == [
        i.references for i in items
    ]
    assert found["files"].keys() == {f"annotations/{k}_{s}.json" for k in names for s in ("val", "train")}


def test_files_have_what_the_official_ones_have(made):
    folder, _ = made
    questions = json.loads((folder / "annotations/questions_val.json").read_text())
    annotations = json.loads((folder / "annotations/annotations_val.json").read_text())
    assert questions.keys() == {"info", "license", "task_type", "data_type", "data_subtype", "questions"}
    assert annotations.keys() >= {"info", "license", "data_type", "data_subtype", "annotations"}
    keys = {"question_id", "image_id", "question_type", "answer_type", "multiple_choice_answer", "answers"}
    for annotation in annotations["annotations"]:
        assert annotation.keys() == keys
        assert [one["answer_id"] for one in annotation["answers"]] == list(range(1, 11))
        assert {one["answer_confidence"] for one in annotation["answers"]} <= {"yes", "maybe"}


def test_prepared_pictures_show_their_scene_in_every_form(made, tmp_path):
    """Through the whole way of a picture, every shape and the sign are where the scene says, and grey is grey."""
    folder, _ = made
    forms = Counter()
    for split in ("val", "train"):
        for key, picture in pictures_of(split).items():
            done = prepare_image(folder / "images" / split / picture.file_name, tmp_path / key, 2000)
            with Image.open(tmp_path / done["file"]) as opened:
                pixels = np.asarray(opened.convert("RGB")).astype(int)
            scene = demo_pictures.scene_of(picture)
            height, width = pixels.shape[:2]
            assert (width, height) == scenes.size_of(scene, picture.longest)
            if picture.form == "grey":
                assert (pixels == pixels[..., :1]).all()
            if picture.form == "alpha":
                assert scene.background == "white" and (pixels[0, 0] == 255).all()
            for shape in scene.shapes:
                x, y, w, h = scenes.box_of(shape, width, height)
                inside = pixels[int(y) : int(y + h) + 1, int(x) : int(x + w) + 1]
                alike = np.abs(inside - scenes.COLOURS[shape.colour]).max(axis=-1) < 12
                assert alike.mean() > 0.3, (picture, shape)
            assert (scene.sign is not None) == picture.with_sign
            if scene.sign:
                unit, sign = min(width, height), scene.sign
                left, right = (unit * (sign.x + side * sign.width / 2) for side in (-0.9, 0.9))
                top, bottom = (unit * (sign.y + side * signs.HEIGHT / 2) for side in (-0.8, 0.8))
                plate = pixels[int(top) : int(bottom), int(left) : int(right)].mean(axis=-1)
                ground, ink = (plate < 40, plate > 215) if sign.dark else (plate > 215, plate < 40)
                assert 0.4 < ground.mean() < 0.9 and ink.mean() > 0.08, (picture, ground.mean(), ink.mean())
            forms[split, picture.form] += 1
    assert {form for split, form in forms if split == "val"} == {"plain", *demo_pictures.FORMS.values()}


def test_a_third_of_the_pictures_have_a_sign_of_every_form_some(made):
    pictures = demo_questions.plan("val", 300, 0)
    assert abs(sum(p.with_sign for p in pictures) - 100) <= 6
    for form in {"plain", *demo_pictures.FORMS.values()}:
        assert {p.with_sign for p in pictures[:25] if p.form == form} == {True, False}
    folder, _ = made
    words = [i for i in demo_questions.read_items(OPTIONS, folder, "val") if "sign" in i.question]
    assert len(words) == sum(p.with_sign for p in pictures_of("val").values())


def test_no_scene_is_in_two_splits_nor_in_what_training_looks_at():
    val = [p.scene_seed for seed in (0, 64) for p in demo_questions.plan("val", 10_000, seed)]
    train = [p.scene_seed for seed in range(65) for p in demo_questions.plan("train", 500, seed)]
    assert max(val) < min(train) == 650_000 and max(train) < 700_000
    assert len(set(train)) == len(train) and len(set(val)) == len(val)
    numbers = [{p.number for p in demo_questions.plan(*some, 3)} for some in (("val", 10_000), ("train", 500))]
    assert not numbers[0] & numbers[1]


def test_same_options_same_bytes_and_fewer_pictures_are_the_beginning(made, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder, found = made
    (tmp_path / "images" / "val").mkdir(parents=True)
    (tmp_path / "images" / "val" / "000099.jpg").write_bytes(b"of a larger set")
    fewer = demo_questions.fetch({"images": 8, "train_images": 5, "seed": 4}, tmp_path, tmp_path / "partial")
    before, again = (digests(where / "images" / "val") for where in (folder, tmp_path))
    assert again == {name: before[name] for name in sorted(before)[:8]}
    assert fewer["revision"] != found["revision"]
    for key in ("questions", "annotations"):
        name = f"annotations/{key}_train.json"
        assert fewer["files"][name] == found["files"][name] == digests(folder / "annotations")[f"{key}_train.json"]
        whole, part = (json.loads((w / f"annotations/{key}_val.json").read_text())[key] for w in (folder, tmp_path))
        assert part == whole[:24]
