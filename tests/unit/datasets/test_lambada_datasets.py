"""Passages from jsonl files, and the LAMBADA variants from a local web server that has files in their forms."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bitbudget import registry
from bitbudget.datasets import lambada_openai, lambada_standard, local_lambada, passage_rows, with_defaults
from bitbudget.errors import UserError

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"
TEXTS = ["The cat sat on the mat", 'He said: "Yes," to her', "Two\n\nlines and Shane"]


def write(path, texts):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path


def pairs(items):
    return [(item.question, item.references) for item in items]


def script(name, folder, **given):
    call = [sys.executable, str(SCRIPTS / f"{name}.py")]
    for key, value in given.items():
        call += [f"--{key.replace('_', '-')}", value if isinstance(value, str) else json.dumps(value)]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, timeout=600, env=os.environ)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


# ---- passages


def test_a_passage_is_split_at_its_last_space(tmp_path):
    items = passage_rows.read_passages(write(tmp_path / "a.jsonl", TEXTS))
    assert [item.id for item in items] == ["1", "2", "3"]
    assert pairs(items) == [
        ("The cat sat on the", ("mat",)),
        ('He said: "Yes," to', ("her",)),
        ("Two\n\nlines and", ("Shane",)),
    ]
    assert all(item.images == () and item.extra == {} for item in items)


@pytest.mark.parametrize(
    ("text", "context", "word"),
    [
        ("a b \n", "a", "b"),  # white space at the end would leave no word
        (" a  b", " a ", "b"),  # all other white space stays
        ("in the end.\nYes", "in the", "end.\nYes"),  # a line break is no space
        ("a\u00a0b c\u2028d", "a\u00a0b", "c\u2028d"),  # nor is any other white space
    ],
)
def test_only_a_space_parts_and_only_the_end_is_trimmed(tmp_path, text, context, word):
    (item,) = passage_rows.read_passages(write(tmp_path / "a.jsonl", [text]))
    assert (item.question, item.references) == (context, (word,))


def test_empty_lines_at_the_end_and_other_keys_do_not_matter(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a b", "domain": null}\r\n{"text": "c d"}\n\n  \n')
    assert pairs(passage_rows.read_passages(path)) == [("a", ("b",)), ("c", ("d",))]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("a b", "line 2, is not valid JSON (Expecting value)"),
        ('{"text": "a b"', "line 2, is not valid JSON"),
        ("", "line 2, is empty"),
        ('["a b"]', "line 2, is not an object; it needs the key text"),
        ('{"texts": "a b"}', "line 2, has no `text`"),
        ('{"text": 7}', "line 2, has no text as its `text`"),
        ('{"text": null}', "line 2, has no text as its `text`"),
        ('{"text": " "}', "line 2, has no text as its `text`"),
        ('{"text": "word"}', "line 2, has a passage of one word ('word'), with nothing to predict it from"),
        ('{"text": "  word "}', "line 2, has a passage of one word ('word')"),
        ('{"text": "one\\ntwo"}', "line 2, has a passage of one word"),
        (json.dumps({"text": "x" * 99}), f"({'x' * 39 + '…'!r})"),
        ('{"text": "a \\ud83d"}', "line 2, has half a character"),
    ],
)
def test_what_is_wrong_with_a_line_is_one_sentence(tmp_path, line, sentence):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a b"}\n' + line + '\n{"text": "c d"}\n', encoding="utf-8")
    with pytest.raises(UserError) as fault:
        passage_rows.read_passages(path)
    assert sentence in str(fault.value) and str(path) in str(fault.value)
    assert "\n" not in str(fault.value) and str(fault.value).endswith(".")


def test_files_without_passages_are_one_sentence(tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(UserError, match=r"empty\.jsonl has no passage"):
        passage_rows.read_passages(tmp_path / "empty.jsonl")
    with pytest.raises(UserError, match=r"none\.jsonl does not exist"):
        passage_rows.read_passages(tmp_path / "none.jsonl")
    with pytest.raises(UserError, match="is a folder where a file is expected"):
        passage_rows.read_passages(tmp_path)
    (tmp_path / "latin.jsonl").write_bytes('{"text": "a é"}'.encode("latin-1"))
    with pytest.raises(UserError, match=r"latin\.jsonl is not UTF-8 text \(byte 12\)"):
        passage_rows.read_passages(tmp_path / "latin.jsonl")


# ---- from the web


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


@pytest.fixture
def openai(web, monkeypatch):
    """A file in the form of OpenAI's, whose checksum is the known one."""
    path = write(web[0] / "lambada_test.jsonl", TEXTS)
    monkeypatch.setattr(lambada_openai, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(lambada_openai, "PASSAGES", 3)
    return with_defaults(lambada_openai, "lambada-openai", {"url": f"{web[1]}/lambada_test.jsonl"})


def test_openais_file_is_kept_as_it_is(web, openai, tmp_path):
    found = lambada_openai.fetch(openai, tmp_path / "out", tmp_path / "partial")
    assert found["revision"] == f"sha256:{lambada_openai.SHA256}"
    assert "OpenAI's variant: cased, untokenised" in found["source"]
    assert "lock" not in found  # what is pinned in the code needs none
    ((name, sha256),) = found["files"].items()
    assert sha256 == lambada_openai.SHA256
    assert (tmp_path / "out" / name).read_bytes() == (web[0] / "lambada_test.jsonl").read_bytes()
    items = lambada_openai.read_items(openai, tmp_path / "out", "test")
    assert pairs(items) == pairs(passage_rows.read_passages(tmp_path / "out" / name))


def test_another_file_than_openais_is_refused_and_not_kept(web, openai, tmp_path):
    write(web[0] / "lambada_test.jsonl", TEXTS[:2])
    with pytest.raises(UserError, match=r"lambada_openai_test\.jsonl from http.* is expected"):
        lambada_openai.fetch(openai, tmp_path / "out", tmp_path / "partial")
    assert not list((tmp_path / "out").rglob("*.jsonl"))


def test_the_pinned_file_is_the_known_one():
    assert lambada_openai.SHA256 == "4aa8d02cd17c719165fc8a7887fddd641f43fcafa4b1c806ca8abc31fabdb226"
    assert lambada_openai.PASSAGES == 5153 == lambada_standard.PASSAGES["test"]
    assert lambada_standard.PASSAGES["validation"] == 4869


COMMIT = "0123456789abcdef0123456789abcdef01234567"
SMALL = {"test": ["in my palm is a stone , '' he said", "`` i do n't care about signs"], "validation": ["a small cat"]}


def table(path, texts, column="text"):
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{column: text, "domain": None} for text in texts]
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def describe(www, revision, siblings, sha=COMMIT):
    path = www / "api" / "datasets" / lambada_standard.REPOSITORY / "revision" / revision
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"sha": sha, "siblings": siblings}))


def siblings(www, commit=COMMIT):
    folder = www / "datasets" / lambada_standard.REPOSITORY / "resolve" / commit
    found = [
        {"rfilename": "README.md"},
        {"rfilename": "plain_text/train-00000-of-00002.parquet", "lfs": {"sha256": "x"}},
    ]
    for split, texts in SMALL.items():
        name = f"plain_text/{split}-00000-of-00001.parquet"
        found.append({"rfilename": name, "lfs": {"sha256": table(folder / name, texts)}})
    return found


@pytest.fixture
def hub(web, monkeypatch):
    monkeypatch.setattr(lambada_standard, "PASSAGES", {split: len(texts) for split, texts in SMALL.items()})
    describe(web[0], "main", siblings(web[0]))
    return with_defaults(lambada_standard, "lambada-standard", {"url": web[1]})


def test_the_authors_text_is_fetched_without_the_novels(web, hub, tmp_path):
    found = lambada_standard.fetch(hub, tmp_path / "out", tmp_path / "partial")
    assert found["revision"] == COMMIT and found["licence"] == "CC-BY-4.0"
    assert "the authors' variant: lower-cased, tokenised" in found["source"]
    assert found["lock"]["revision"] == COMMIT and len(found["lock"]) == 3
    assert not [path for path in web[2] if "train" in path]
    assert list((tmp_path / "partial").iterdir()) == []
    assert pairs(lambada_standard.read_items(hub, tmp_path / "out", "test")) == [
        ("in my palm is a stone , '' he", ("said",)),
        ("`` i do n't care about", ("signs",)),
    ]
    assert pairs(lambada_standard.read_items(hub, tmp_path / "out", "validation")) == [("a small", ("cat",))]
    assert found["files"].keys() == {f"passages/lambada_standard_{split}.jsonl" for split in SMALL}


def test_a_commit_that_the_entry_names_is_asked_for_and_not_locked(web, hub, tmp_path):
    other = "f" * 40
    describe(web[0], other, siblings(web[0], other), sha=other)
    found = lambada_standard.fetch(hub | {"revision": other}, tmp_path / "out", tmp_path / "partial")
    assert found["revision"] == other and "revision" not in found["lock"]
    assert all(other in path for path in web[2])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda www: describe(www, "main", []), r"has 0 files plain_text/test-\* where one is expected"),
        (lambda www: describe(www, "main", None), "does not describe a data set as the Hub does"),
        (lambda www: describe(www, "main", siblings(www)[:3]), r"has 0 files plain_text/validation-\*"),
    ],
)
def test_a_repository_without_the_tables_is_one_sentence(web, hub, tmp_path, change, sentence):
    change(web[0])
    with pytest.raises(UserError, match=sentence) as fault:
        lambada_standard.fetch(hub, tmp_path / "out", tmp_path / "partial")
    assert "\n" not in str(fault.value)


def test_tables_that_changed_or_are_none_are_refused(web, hub, tmp_path):
    name = "plain_text/test-00000-of-00001.parquet"
    path = web[0] / "datasets" / lambada_standard.REPOSITORY / "resolve" / COMMIT / name
    found = siblings(web[0])

    def fetch(sentence):
        with pytest.raises(UserError, match=sentence) as fault:
            lambada_standard.fetch(hub, tmp_path / "out", tmp_path / "partial")
        assert "\n" not in str(fault.value)

    table(path, [*SMALL["test"], "one more"])
    fetch(r"has the SHA-256 .* is expected")
    found[2]["lfs"]["sha256"] = table(path, [*SMALL["test"], "one more"])
    describe(web[0], "main", found)
    fetch("holds 3 passages in place of 2")
    found[2]["lfs"]["sha256"] = table(path, SMALL["test"], column="story")
    describe(web[0], "main", found)
    fetch("is no table with a column `text`")
    path.write_text("<html>")
    del found[2]["lfs"]
    describe(web[0], "main", found)
    fetch("is no table with a column `text`")
    assert not list((tmp_path / "partial").iterdir())


def test_the_first_commit_is_held_to(web, hub, tmp_path, monkeypatch):
    """Through the script, whose process knows the real numbers of passages: a module of the test's sets them."""
    (tmp_path / "run.py").write_text(
        f"import runpy, sys; sys.path.insert(0, {str(SCRIPTS)!r})\n"
        "from bitbudget.datasets import lambada_standard\n"
        "lambada_standard.PASSAGES = {'test': 2, 'validation': 1}\n"
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    spec = json.dumps({"kind": "lambada-standard", "options": {"url": web[1]}})

    def fetch(folder):
        command = [sys.executable, "run.py", SCRIPTS / "fetch_dataset.py", "--dataset", "l", "--spec", spec]
        done = subprocess.run([*map(str, command), "--out", folder], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads((tmp_path / folder / "dataset.json").read_text())

    assert fetch("one")["revision"] == COMMIT
    describe(web[0], "main", siblings(web[0], "e" * 40), sha="e" * 40)  # the Hub has gone on
    describe(web[0], COMMIT, siblings(web[0]))
    assert fetch("two")["revision"] == COMMIT


# ---- a user's own, and the stages that follow


def test_a_file_of_ones_own_becomes_a_subset_without_images(tmp_path):
    write(tmp_path / "mine.jsonl", [f"passage number {n} ends in word{n}" for n in range(20)])
    spec = {"kind": "local-lambada", "options": {"file": "mine.jsonl"}, "licence": "my own"}
    assert script("fetch_dataset", tmp_path, dataset="mine", spec=spec, out="d")[0] == 0
    record = json.loads((tmp_path / "d/dataset.json").read_text())
    assert record["licence"] == "my own" and record["source"] == "mine.jsonl"
    select = {"dataset": "mine", "kind": "local-lambada", "options": spec["options"], "split": "all", "seed": 3}
    given = {"study": "s", "dataset_dir": "d", "out_subset": "subset.json", "out_items": "items.jsonl"}
    assert script("select_subset", tmp_path, spec=select | {"subset": 5}, **given)[0] == 0
    rows = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert len(rows) == 5 and all(row["images"] == [] for row in rows)
    assert rows[0]["references"] == [f"word{int(rows[0]['id']) - 1}"]
    assert json.loads((tmp_path / "subset.json").read_text())["n_available"] == 20


def test_a_wrong_line_of_ones_own_file_is_named_as_the_user_calls_it(tmp_path):
    write(tmp_path / "mine.jsonl", ["a b", "alone"])
    spec = {"kind": "local-lambada", "options": {"file": "mine.jsonl"}}
    status, said = script("fetch_dataset", tmp_path, dataset="mine", spec=spec, out="d")
    assert status == 1 and len(said.splitlines()) == 1
    assert "mine.jsonl, line 2, has a passage of one word ('alone')" in said
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("kind", ["lambada-openai", "lambada-standard", "local-lambada"])
def test_kinds_are_registered_and_read_passages(kind):
    module = registry.module_of("dataset", kind)
    assert module.TRACKS == ("lambada",)
    assert set(module.LOCAL_PATHS) <= set(module.OPTIONS)
    assert module.CALIBRATION_SPLIT is None or module.CALIBRATION_SPLIT in module.SPLITS


def test_the_variants_share_no_file():
    assert "openai" in lambada_openai.FILE
    assert all("standard" in lambada_standard._file(split) for split in lambada_standard.SPLITS)
    assert local_lambada.FILE not in (lambada_openai.FILE, *map(lambada_standard._file, lambada_standard.SPLITS))
