"""The published VQA sets, from a local web server that has files in their forms."""

import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from bitbudget import registry
from bitbudget.datasets import chartqa, docvqa, textvqa, vizwiz_vqa, vqav2, with_defaults
from bitbudget.errors import UserError

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"
TEN = [f"answer {n}" for n in range(10)]


class Recording(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        self.server.asked.append(self.path)
        super().do_GET()


@pytest.fixture
def web(tmp_path):
    """A web server of the folder `www`: the folder, its address, and the paths that were asked for."""
    (tmp_path / "www").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Recording, directory=str(tmp_path / "www")))
    server.asked = []
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield tmp_path / "www", f"http://127.0.0.1:{server.server_port}", server.asked
    server.shutdown()
    server.server_close()


def options_of(module, kind, **own):
    return with_defaults(module, kind, own)


def picture(path, colour=(9, 9, 9), file_format=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path, file_format)


def zipped(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as out:
        for name, content in members.items():
            out.writestr(name, content if isinstance(content, str) else json.dumps(content))


def script(name, folder, **given):
    call = [sys.executable, str(SCRIPTS / f"{name}.py")]
    for key, value in given.items():
        call += [f"--{key.replace('_', '-')}", value if isinstance(value, str) else json.dumps(value)]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, timeout=600, env=os.environ)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


# ---- vqav2


def vqa_pair(split, image):
    """The questions and annotations of one image, three questions, as the official files have them."""
    keys = [image * 1000 + n for n in range(3)]
    questions = [{"image_id": image, "question": f"What is {n}?", "question_id": k} for n, k in enumerate(keys)]
    answers = [{"answer": a, "answer_confidence": "yes", "answer_id": n} for n, a in enumerate(TEN, 1)]
    common = {
        "image_id": image,
        "question_type": "what is",
        "answer_type": "other",
        "multiple_choice_answer": "answer 0",
    }
    annotations = [{**common, "answers": answers, "question_id": k} for k in keys]
    return {"data_subtype": f"{split}2014", "questions": questions}, {"annotations": annotations}


@pytest.fixture
def vqa_zips(web):
    www, address, _ = web
    for split, image in (("val", 42), ("train", 7)):
        questions, annotations = vqa_pair(split, image)
        name = split.capitalize()
        zipped(www / f"v2_Questions_{name}_mscoco.zip", {f"v2_OpenEnded_mscoco_{split}2014_questions.json": questions})
        zipped(www / f"v2_Annotations_{name}_mscoco.zip", {f"v2_mscoco_{split}2014_annotations.json": annotations})
    return options_of(vqav2, "vqav2", url=address + "/")


def test_vqav2_reads_the_four_zips_and_gives_the_official_addresses(vqa_zips, tmp_path, monkeypatch):
    monkeypatch.setattr(vqav2, "SHA256", {})
    found = vqav2.fetch(vqa_zips, tmp_path / "out", tmp_path / "partial")
    assert len(found["files"]) == 4 and len(found["lock"]) == 8
    assert list((tmp_path / "partial").iterdir()) == []
    val, train = (vqav2.read_items(vqa_zips, tmp_path / "out", split) for split in vqav2.SPLITS)
    assert [item.id for item in val] == ["42000", "42001", "42002"] and val[0].references == tuple(TEN)
    assert val[0].extra == {"question_type": "what is", "answer_type": "other"}
    assert {item.images[0].source for item in val + train} == {
        "http://images.cocodataset.org/val2014/COCO_val2014_000000000042.jpg",
        "http://images.cocodataset.org/train2014/COCO_train2014_000000000007.jpg",
    }
    assert {item.images[0].id for item in val + train} == {"42", "7"}


def test_vqav2_refuses_other_zips_than_the_pinned_and_does_not_keep_them(vqa_zips, tmp_path):
    with pytest.raises(UserError, match=r"v2_Questions_Val_mscoco\.zip from http.* where e71f6c5c.* is expected"):
        vqav2.fetch(vqa_zips, tmp_path / "out", tmp_path / "partial")
    assert not (tmp_path / "partial" / "v2_Questions_Val_mscoco.zip").exists()
    assert not (tmp_path / "out").exists()


def test_vqav2_says_when_the_address_holds_no_zip_or_another(web, vqa_zips, tmp_path, monkeypatch):
    monkeypatch.setattr(vqav2, "SHA256", {})
    www = web[0]
    zipped(www / "v2_Questions_Val_mscoco.zip", {"other.json": "{}"})
    with pytest.raises(UserError, match=r"v2_Questions_Val_mscoco\.zip holds no file v2_OpenEnded_mscoco_val2014"):
        vqav2.fetch(vqa_zips, tmp_path / "out", tmp_path / "partial")
    (www / "v2_Questions_Val_mscoco.zip").write_text("<html>")
    with pytest.raises(UserError, match=r"v2_Questions_Val_mscoco\.zip is no whole zip"):
        vqav2.fetch(vqa_zips, tmp_path / "out", tmp_path / "partial")


def test_vqav2_image_id_that_is_no_number_is_named(tmp_path):
    questions, annotations = vqa_pair("val", 42)
    for entry in (questions["questions"][1], annotations["annotations"][1]):
        entry["image_id"] = "42"
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/v2_OpenEnded_mscoco_val2014_questions.json").write_text(json.dumps(questions))
    (tmp_path / "annotations/v2_mscoco_val2014_annotations.json").write_text(json.dumps(annotations))
    with pytest.raises(UserError, match="question 42001 has the image '42'"):
        vqav2.read_items(options_of(vqav2, "vqav2"), tmp_path, "val")


# ---- textvqa


def text_question(number, **change):
    return {
        "question": f"what does sign {number} say?",
        "image_id": f"00{number}a8ae2ef43b901",
        "flickr_original_url": f"https://photos.example.org/{number}_o.jpg",
        "flickr_300k_url": f"https://c4.example.org/{number}_z.jpg?zz=1",
        "answers": list(TEN),
        "question_id": 34602 + number,
        "set_name": "val",
    } | change


@pytest.fixture
def text_set(web):
    """A server with both splits, the SHA-256 of each file, and options that point at it."""
    www, address, _ = web
    hashes = {}
    for split in textvqa.SPLITS:
        data = [text_question(n) for n in range(3 if split == "val" else 2)]
        text = json.dumps({"dataset_type": split, "dataset_name": "textvqa", "data": data})
        (www / f"TextVQA_0.5.1_{split}.json").write_text(text)
        hashes[f"TextVQA_0.5.1_{split}.json"] = hashlib.sha256(text.encode()).hexdigest()
    return hashes, options_of(textvqa, "textvqa", url=address)


def test_textvqa_reads_both_splits_and_points_at_open_images(text_set, tmp_path, monkeypatch):
    hashes, options = text_set
    monkeypatch.setattr(textvqa, "SHA256", hashes)
    found = textvqa.fetch(options, tmp_path, tmp_path / "partial")
    assert found["files"] == {f"annotations/{name}": value for name, value in hashes.items()}
    val = textvqa.read_items(options, tmp_path, "val")
    assert [item.id for item in val] == ["34602", "34603", "34604"] and val[1].references == tuple(TEN)
    assert val[1].images[0].source == "https://open-images-dataset.s3.amazonaws.com/train/001a8ae2ef43b901.jpg"
    assert val[1].extra == {}  # the set names no types
    small = textvqa.read_items(options | {"images": "flickr_300k_url"}, tmp_path, "val")
    assert small[1].images[0].source == "https://c4.example.org/1_z.jpg?zz=1"
    here = textvqa.read_items(options | {"images": "/data/train_images/"}, tmp_path, "val")
    assert here[1].images[0].source == "/data/train_images/001a8ae2ef43b901.jpg" and not here[1].images[0].is_remote
    assert len(textvqa.read_items(options, tmp_path, "train")) == 2


def test_textvqa_holds_the_files_to_the_pinned_checksums(text_set, tmp_path):
    _, options = text_set
    with pytest.raises(UserError, match=r"TextVQA_0\.5\.1_val\.json .* where 4ceb5aad.* is expected"):
        textvqa.fetch(options, tmp_path, tmp_path / "partial")
    assert not list(tmp_path.rglob("annotations/*"))


@pytest.mark.parametrize(
    ("data", "images", "sentence"),
    [
        ({"questions": []}, None, r"needs the list `data`"),
        ({"data": []}, None, r"needs the list `data`"),
        ({"data": [{"question_id": 1}]}, None, r"data\[0\] has no `image_id`"),
        ({"data": [text_question(1, answers=TEN[:9])]}, None, "question 34603 has 9 answers; give exactly 10"),
        ({"data": [text_question(1, question="")]}, None, "question 34603 has no text as its `question`"),
        ({"data": [text_question(1), text_question(1)]}, None, "item id '34603' twice"),
        ({"data": [text_question(1, flickr_300k_url="")]}, "flickr_300k_url", "question 34603 has no web address"),
    ],
)
def test_textvqa_faults(tmp_path, data, images, sentence):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/TextVQA_0.5.1_val.json").write_text(json.dumps(data))
    options = options_of(textvqa, "textvqa", **({"images": images} if images else {}))
    with pytest.raises(UserError, match=sentence) as fault:
        textvqa.read_items(options, tmp_path, "val")
    assert "TextVQA_0.5.1_val.json" in str(fault.value) and "\n" not in str(fault.value)


# ---- vizwiz-vqa


def seen(number, split="val", **change):
    return {
        "image": f"VizWiz_{split}_{number:08d}.jpg",
        "question": "What is this? Thank you.",
        "answers": [{"answer_confidence": "yes", "answer": text} for text in ["unanswerable"] * 6 + ["tin"] * 4],
        "answer_type": "unanswerable",
        "answerable": 0,
    } | change


@pytest.mark.parametrize("inside", ["", "Annotations/"])
def test_vizwiz_takes_its_files_wherever_the_zip_has_them(web, tmp_path, inside):
    www, address, _ = web
    members = {f"{inside}{split}.json": [seen(n, split) for n in range(2)] for split in ("train", "val")}
    members |= {f"{inside}test.json": [], f"__MACOSX/{inside}._val.json": "mac", "old/copies/val.json": []}
    zipped(www / "Annotations.zip", members)
    options = options_of(vizwiz_vqa, "vizwiz-vqa", url=f"{address}/Annotations.zip")
    found = vizwiz_vqa.fetch(options, tmp_path, tmp_path / "partial")
    assert set(found["files"]) == {"annotations/val.json", "annotations/train.json"}
    assert set(found["lock"]) == {f"sha256 of {n}" for n in ("val.json", "train.json", "Annotations.zip")}
    items = vizwiz_vqa.read_items(options, tmp_path, "val")
    assert [item.id for item in items] == ["VizWiz_val_00000000", "VizWiz_val_00000001"]
    assert items[0].images[0].source == (
        "https://vizwiz.cs.colorado.edu/VizWiz_visualization_img/VizWiz_val_00000000.jpg"
    )
    assert items[0].extra == {"answer_type": "unanswerable"}
    assert items[0].references == ("unanswerable",) * 6 + ("tin",) * 4


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"data": []}, "needs to be a list of questions"),
        ([], "needs to be a list of questions"),
        ([seen(0), {"question": "What?"}], r"\[1\] has no `image`"),
        ([seen(0, image="../a.jpg")], r"\[0\] has the file name '\.\./a\.jpg'"),
        ([seen(0, answers=[])], r"the question about VizWiz_val_00000000\.jpg has no answer; give exactly 10"),
        ([seen(0, question="  ")], r"the question about VizWiz_val_00000000\.jpg has no text as its `question`"),
        ([seen(0), seen(0)], "item id 'VizWiz_val_00000000' twice"),
    ],
)
def test_vizwiz_faults(tmp_path, content, sentence):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/val.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=sentence) as fault:
        vizwiz_vqa.read_items(options_of(vizwiz_vqa, "vizwiz-vqa"), tmp_path, "val")
    assert "annotations/val.json" in str(fault.value)


# ---- chartqa


def chart(name, label="14", query="How many bars are there?"):
    return {"imgname": name, "query": query, "label": label}


@pytest.fixture
def charts(web):
    """A server with the six files at a commit, and options that point at it."""
    www, address, _ = web
    commit = "0123456789abcdef0123456789abcdef01234567"
    for split in chartqa.SPLITS:
        folder = www / commit / "ChartQA Dataset" / split
        folder.mkdir(parents=True)
        (folder / f"{split}_human.json").write_text(json.dumps([chart("166.png"), chart("166.png", "[Yes, No]")]))
        (folder / f"{split}_augmented.json").write_text(json.dumps([chart("two_col_7.png", "0.57")]))
    return options_of(chartqa, "chartqa", url=address, revision=commit)


def test_chartqa_tells_people_and_machine_apart(charts, tmp_path):
    found = chartqa.fetch(charts, tmp_path, tmp_path / "partial")
    assert len(found["files"]) == 6 and found["revision"] == charts["revision"]
    assert all(charts["revision"] in key for key in found["lock"])  # another commit has locks of its own
    items = chartqa.read_items(charts, tmp_path, "test")
    assert [(item.id, item.references, item.extra["question_type"]) for item in items] == [
        ("test-human-0", ("14",), "human"),
        ("test-human-1", ("[Yes, No]",), "human"),
        ("test-augmented-0", ("0.57",), "augmented"),
    ]
    assert items[0].images[0].source == f"{charts['url']}/{charts['revision']}/ChartQA%20Dataset/test/png/166.png"
    ids = {item.id for split in chartqa.SPLITS for item in chartqa.read_items(charts, tmp_path, split)}
    images = {i.images[0].id for split in chartqa.SPLITS for i in chartqa.read_items(charts, tmp_path, split)}
    assert len(ids) == 9 and len(images) == 6


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({}, "needs to be a list of questions"),
        ([{"imgname": "a.png", "query": "How?"}], r"\[0\] has no `label`"),
        ([chart("a.png", 14)], r"\[0\] has 14 as answers\[0\]"),
        ([chart("a.png", query="")], r"\[0\] has no text as its `query`"),
        ([chart("/a.png")], r"\[0\] has the file name '/a\.png'"),
    ],
)
def test_chartqa_faults(charts, tmp_path, content, sentence):
    chartqa.fetch(charts, tmp_path, tmp_path / "partial")
    (tmp_path / "annotations/test_human.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=sentence) as fault:
        chartqa.read_items(charts, tmp_path, "test")
    assert "test_human.json" in str(fault.value)


# ---- docvqa


def scan(colour):
    data = io.BytesIO()
    Image.new("L", (8, 6), colour).save(data, "PNG")
    return data.getvalue()


def page(key, document, number, colour, **change):
    return {
        "questionId": str(key),
        "question": f"What is the date on page {number}?",
        "question_types": ["form", "layout"],
        "image": {"bytes": scan(colour), "path": None},
        "docId": 14465,
        "ucsf_document_id": document,
        "ucsf_document_page_no": str(number),
        "answers": ["March 17", "3/17"],
        "data_split": "val",
    } | change


@pytest.fixture
def documents(web):
    """A server with six tables: two questions on one page, a page with a name that is taken, and three others."""
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    www, address, _ = web
    commit = "0123456789abcdef0123456789abcdef01234567"
    rows = [
        [page(1, "pybv0228", 81, 10), page(2, "pybv0228", 81, 10, question_types=None)],
        [page(3, "pybv0228", 81, 20)],
        [page(4, "hhnf0094", 3, 30, answers=["T.F. Riehl"], question_types=["handwritten"])],
        *([page(n, f"abcd000{n}", 1, n)] for n in (5, 6, 7)),
    ]
    for name, some in zip(docvqa.SHARDS, rows, strict=True):
        (www / commit / name).parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pyarrow.Table.from_pylist(some), www / commit / name)
    return options_of(docvqa, "docvqa", url=address, revision=commit)


def test_docvqa_keeps_every_page_once_and_all_answers(documents, tmp_path):
    found = docvqa.fetch(documents, tmp_path, tmp_path / "partial")
    assert len(found["lock"]) == 6 and list((tmp_path / "partial").glob("*.parquet")) == []
    items = docvqa.read_items(documents, tmp_path, "val")
    assert [item.id for item in items] == list("1234567") and len(list((tmp_path / "images").iterdir())) == 6
    first, second, third, fourth = items[:4]
    assert first.images == second.images and first.images[0].id == "pybv0228_81"
    assert third.images[0].id.startswith("pybv0228_81_")  # another picture under the same name
    assert (tmp_path / third.images[0].source).read_bytes() == scan(20)
    assert (tmp_path / first.images[0].source).read_bytes() == scan(10)
    assert first.references == ("March 17", "3/17") and fourth.references == ("T.F. Riehl",)
    assert first.extra == {"question_type": "form + layout"} and second.extra == {}


def test_docvqa_broken_table_is_named_and_not_taken_up_again(web, documents, tmp_path):
    www = web[0]
    path = www / documents["revision"] / docvqa.SHARDS[2]
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(UserError, match=r"validation-00002-of-00006\.parquet is not the table of DocVQA") as fault:
        docvqa.fetch(documents, tmp_path, tmp_path / "partial")
    assert "\n" not in str(fault.value)
    path.write_bytes(whole)
    docvqa.fetch(documents, tmp_path, tmp_path / "partial")
    assert web[2].count(f"/{documents['revision']}/{docvqa.SHARDS[0]}") == 1  # what was whole is kept


def test_docvqa_missing_column_is_named(web, documents, tmp_path):
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    row = page(1, "a", 1, 1)
    del row["answers"]
    parquet.write_table(pyarrow.Table.from_pylist([row]), web[0] / documents["revision"] / docvqa.SHARDS[0])
    with pytest.raises(UserError, match=r"it has no column 'answers'"):
        docvqa.fetch(documents, tmp_path, tmp_path / "partial")


def test_docvqa_row_without_image_is_named(web, documents, tmp_path):
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    rows = [page(1, "a", 1, 1), page(2, "a", 2, 2, image=None)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), web[0] / documents["revision"] / docvqa.SHARDS[0])
    with pytest.raises(UserError, match=r"row 1 of validation-00000-of-00006\.parquet has no image"):
        docvqa.fetch(documents, tmp_path, tmp_path / "partial")


# ---- through the scripts of the data stage


def test_only_the_images_of_the_chosen_questions_are_fetched(web, tmp_path):
    """Annotations as a whole and locked, images only as chosen."""
    www, address, asked = web
    members = {f"{split}.json": [seen(n, split) for n in range(5)] for split in ("train", "val")}
    zipped(www / "Annotations.zip", members)
    for n in range(5):
        picture(www / "img" / f"VizWiz_val_{n:08d}.jpg", (n, n, n))
    options = {"url": f"{address}/Annotations.zip", "images": f"{address}/img"}
    spec = {"kind": "vizwiz-vqa", "options": options}
    assert script("fetch_dataset", tmp_path, dataset="v", spec=spec, out="d")[0] == 0
    chosen = {"dataset": "v", "split": "val", "seed": 1, "subset": 2}
    given = {"study": "s", "dataset_dir": "d", "spec": spec | chosen, "out_subset": "subset.json"}
    assert script("select_subset", tmp_path, out_items="items.jsonl", **given)[0] == 0
    given = {"study": "s", "items": "items.jsonl", "dataset_dir": "d", "spec": {"at_most": 2}, "out": "o.json"}
    assert script("fetch_images", tmp_path, **given)[0] == 0
    ids = json.loads((tmp_path / "subset.json").read_text())["ids"]
    assert {p.stem for p in (tmp_path / "d" / "images").iterdir()} == set(ids) and len(ids) == 2
    assert sum(path.startswith("/img/") for path in asked) == 2
    lock = json.loads((tmp_path / "config/locks.json").read_text())["datasets"]["v"]
    assert set(lock) == {"sha256 of val.json", "sha256 of train.json", "sha256 of Annotations.zip"}


# ---- every kind


@pytest.mark.parametrize("kind", ["vqav2", "textvqa", "vizwiz-vqa", "chartqa", "docvqa", "local-vqa", "demo-questions"])
def test_every_kind_says_what_counts_and_where_examples_come_from(kind):
    module = registry.module_of("dataset", kind)
    assert module.TRACKS == ("vqa",)
    assert module.SHOTS_SPLIT is None or module.SHOTS_SPLIT in module.SPLITS[1:]
    assert getattr(module, "PRIMARY", None) == {"chartqa": "relaxed_accuracy", "docvqa": "anls"}.get(kind)


def test_sources_of_different_splits_never_share_an_image_file(charts, tmp_path):
    """Evaluated images and those of examples go into one folder, under their ids."""
    chartqa.fetch(charts, tmp_path, tmp_path / "partial")
    sources = {}
    for split in chartqa.SPLITS:
        for item in chartqa.read_items(charts, tmp_path, split):
            sources.setdefault(item.images[0].id, set()).add(item.images[0].source)
    assert len(sources) == 6 and all(len(one) == 1 for one in sources.values())
