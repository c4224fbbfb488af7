"""The four scripts of the data stage, one after the other, as the rules call them."""

import json
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from asked import asked
from PIL import Image

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"
OPTIONS = {"images": 25, "seed": 1}


def script(name, folder, *arguments, **given):
    """Run a script in `folder`; its exit status and what it said on stderr."""
    call = [sys.executable, str(SCRIPTS / f"{name}.py"), *arguments]
    for key, value in given.items():
        call += [f"--{key.replace('_', '-')}", value if isinstance(value, str) else asked(name, value)]
    done = subprocess.run(
        call, cwd=folder, capture_output=True, text=True, timeout=600, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def ok(name, folder, **given):
    status, said = script(name, folder, **given)
    assert status == 0, said


SELECT = {"dataset": "demo", "kind": "demo-scenes", "options": OPTIONS, "split": "val", "seed": 53, "subset": 12}


def select(folder, **spec):
    return script(
        "select_subset",
        folder,
        study="s",
        dataset_dir="resources/datasets/demo",
        spec=SELECT | spec,
        out_subset="results/s/subset.json",
        out_items="results/s/items.jsonl",
    )


def resize(folder, **spec):
    return script(
        "resize_images",
        folder,
        study="s",
        sources="results/s/image_sources.json",
        spec={"max_side": 256, "on_corrupt": "fail"} | spec,
        out_dir="results/s/images",
        out="results/s/images.json",
    )


def record(folder, name):
    return json.loads((folder / "results/s" / name).read_text())


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    spec = {"kind": "demo-scenes", "options": OPTIONS}
    ok("fetch_dataset", folder, dataset="demo", spec=spec, out="resources/datasets/demo")
    assert select(folder)[0] == 0
    ok(
        "fetch_images",
        folder,
        study="s",
        items="results/s/items.jsonl",
        dataset_dir="resources/datasets/demo",
        spec={"at_most": 8},
        out="results/s/image_sources.json",
    )
    assert resize(folder)[0] == 0
    return folder


def test_records_belong_together(workplace):
    dataset = json.loads((workplace / "resources/datasets/demo/dataset.json").read_text())
    subset, images = record(workplace, "subset.json"), record(workplace, "images.json")
    items = [json.loads(line) for line in (workplace / "results/s/items.jsonl").read_text().splitlines()]
    assert subset["ids"] == [item["id"] for item in items] and len(items) == 12
    assert subset["n_available"] == 25 and subset["revision"] == dataset["revision"]
    assert subset["checksums"] == dataset["files"] and subset["licence"] == "CC0-1.0"
    assert list(images["images"]) == subset["ids"] and images["skipped"] == []
    for entry in images["images"].values():
        with Image.open(workplace / "results/s" / entry["file"]) as picture:
            assert list(picture.size) == entry["size"] and max(picture.size) <= 256 and picture.mode == "RGB"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [("{", "is not valid JSON"), ('{"images": [], "annotations": [], "categories": []}', "lists no category")],
)
def test_a_file_of_objects_is_read_before_a_model_runs(workplace, content, sentence):
    (workplace / "objects.json").write_text(content)
    status, said = script(
        "select_subset",
        workplace,
        study="s",
        dataset_dir="resources/datasets/demo",
        spec=SELECT,
        instances="objects.json",
        out_subset="other.json",
        out_items="other.jsonl",
    )
    assert status == 1 and "objects.json" in said and sentence in said and len(said.splitlines()) == 1


def test_hash_names_the_subset_and_nothing_else(workplace):
    first = record(workplace, "subset.json")["subset_hash"]
    assert select(workplace, subset=11)[0] == 0
    assert record(workplace, "subset.json")["subset_hash"] != first
    assert select(workplace)[0] == 0
    assert record(workplace, "subset.json")["subset_hash"] == first


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"subset": 26}, "subset of 26 items, but the split has only 25"),
        ({"split": "test"}, "has no split 'test'; choose 'val'"),
        ({"subset": {"ids": "no.txt"}}, "no.txt does not exist"),
        ({"options": {"image": 3}}, "has no option 'image'"),
    ],
)
def test_mistakes_in_the_study_are_one_sentence(workplace, spec, sentence):
    status, said = select(workplace, **spec)
    assert status == 1 and sentence in said and len(said.splitlines()) == 1


def test_changed_annotations_are_noticed(workplace):
    path = workplace / "resources/datasets/demo/annotations/captions_val.json"
    whole = path.read_text()
    path.write_text(whole.replace("circle", "square"))
    try:
        status, said = select(workplace)
    finally:
        path.write_text(whole)
    assert status == 1 and "captions_val.json is not the file that was fetched" in said


def test_corrupt_images_are_all_named_or_skipped(workplace):
    ids = record(workplace, "subset.json")["ids"]
    paths = [Path(record(workplace, "image_sources.json")["images"][one]["path"]) for one in ids[:7]]
    whole = {path: (workplace / path).read_bytes() for path in paths}
    try:
        for path, data in whole.items():
            (workplace / path).write_bytes(data[: len(data) // 2])
        status, said = resize(workplace, on_corrupt="fail")
        sentence = said.splitlines()[-1]
        assert status == 1 and "7 of 12 images cannot be read" in sentence and "and 2 more" in sentence
        assert all(path.name in sentence for path in paths[:5])
        assert resize(workplace, on_corrupt="skip")[0] == 0
    finally:
        for path, data in whole.items():
            (workplace / path).write_bytes(data)
    images = record(workplace, "images.json")
    assert [entry["id"] for entry in images["skipped"]] == ids[:7]
    assert all("cannot be read" in entry["reason"] for entry in images["skipped"])
    assert list(images["images"]) == ids[7:]
    assert resize(workplace)[0] == 0


def test_missing_image_is_named(workplace):
    one = record(workplace, "subset.json")["ids"][0]
    path = workplace / record(workplace, "image_sources.json")["images"][one]["path"]
    path.rename(path.with_suffix(".away"))
    try:
        status, said = script(
            "fetch_images",
            workplace,
            study="s",
            items="results/s/items.jsonl",
            dataset_dir="resources/datasets/demo",
            spec={"at_most": 8},
            out="results/s/other.json",
        )
    finally:
        path.with_suffix(".away").rename(path)
    assert status == 1 and path.name in said and not (workplace / "results/s/other.json").exists()


@pytest.mark.parametrize("name", ["fetch_dataset", "select_subset", "fetch_images", "resize_images"])
def test_help_explains(name, tmp_path):
    done = subprocess.run([sys.executable, str(SCRIPTS / f"{name}.py"), "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "usage:" in done.stdout


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def web(tmp_path):
    """A web server of the folder `www`: the folder, and its address."""
    (tmp_path / "www").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "www")))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield tmp_path / "www", f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_remote_images_are_downloaded_once_and_named_by_their_id(tmp_path, web):
    """COCO's way: annotations here, each image from its own address, only the chosen ones."""
    www, address = web
    for n in (1, 2):
        Image.new("RGB", (8, 8), (n, n, n)).save(www / f"photo{n}.png")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "dataset.json").write_text('{"dataset": "d"}')
    images = [{"id": "7", "source": f"{address}/photo1.png"}]
    item = {"id": "7", "images": images, "question": None, "references": ["x"], "extra": {}}
    (tmp_path / "items.jsonl").write_text(json.dumps(item) + "\n")
    given = {"study": "s", "items": "items.jsonl", "dataset_dir": "d", "spec": {"at_most": 2}, "out": "o.json"}
    ok("fetch_images", tmp_path, **given)
    assert [p.name for p in (tmp_path / "d" / "images").iterdir()] == ["7.png"]
    assert (tmp_path / "d/images/7.png").read_bytes() == (www / "photo1.png").read_bytes()
    (www / "photo1.png").unlink()
    ok("fetch_images", tmp_path, **given)  # it can only be the one that is there already
    assert json.loads((tmp_path / "o.json").read_text())["images"]["7"]["path"] == "d/images/7.png"


def test_first_download_is_locked_and_held_to(tmp_path, web):
    www, address = web
    (www / "n.json").write_text("{}")
    given = {"dataset": "n", "spec": {"kind": "nocaps", "options": {"url": f"{address}/n.json"}}, "out": "d"}
    ok("fetch_dataset", tmp_path, **given)
    lock = json.loads((tmp_path / "config/locks.json").read_text())["datasets"]["n"]
    record_of = json.loads((tmp_path / "d/dataset.json").read_text())
    assert list(lock.values()) == list(record_of["files"].values())
    (tmp_path / "d/dataset.json").unlink()
    ok("fetch_dataset", tmp_path, **given)
    (tmp_path / "d/dataset.json").unlink()
    (www / "n.json").write_text("{ }")
    status, said = script("fetch_dataset", tmp_path, **given)
    assert status == 1 and "config/locks.json holds it to" in said.splitlines()[-1]
    assert not (tmp_path / "d/dataset.json").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xef\xbb\xbf%s", None),
        (b"%s", None),
        (b"%s ]", "is not valid JSON"),
        (b"", "is empty"),
    ],
)
def test_a_file_of_ones_own_is_read_or_refused_where_it_is_fetched(tmp_path, content, sentence):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    whole = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"id": 5, "image_id": 1, "caption": "a dog"}]}
    (tmp_path / "c.json").write_bytes(content.replace(b"%s", json.dumps(whole).encode()))
    spec = {"kind": "local-captions", "options": {"images": ".", "annotations": "c.json"}}
    status, said = script("fetch_dataset", tmp_path, dataset="d", spec=spec, out="d")
    if sentence is None:
        assert status == 0, said
        chosen = {"dataset_dir": "d", "study": "s", "out_subset": "subset.json", "out_items": "items.jsonl"}
        spec |= {"dataset": "d", "split": "all", "seed": 1, "subset": "all"}
        assert script("select_subset", tmp_path, spec=spec, **chosen)[0] == 0
        assert json.loads((tmp_path / "items.jsonl").read_text())["references"] == ["a dog"]
    else:
        assert status == 1 and said.startswith("error: c.json ") and sentence in said and len(said.splitlines()) == 1


def test_half_a_character_is_named_where_it_is_fetched(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    (tmp_path / "c.json").write_text(
        '{"images": [{"id": 1, "file_name": "a.png"}], '
        '"annotations": [{"id": 5, "image_id": 1, "caption": "a dog \\ud83d"}]}'
    )
    spec = {"kind": "local-captions", "options": {"images": ".", "annotations": "c.json"}}
    status, said = script("fetch_dataset", tmp_path, dataset="d", spec=spec, out="d")
    assert status == 1 and not (tmp_path / "d" / "dataset.json").exists()
    assert "c.json has half a character (a lone surrogate) in annotations[0].caption (image_id 1, id 5)" in said
