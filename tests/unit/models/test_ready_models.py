"""Fetching detectors that are ready files: from this machine, and from a web server's stand-in on it."""

import hashlib
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from bitbudget import files
from bitbudget.errors import UserError
from bitbudget.fetching import pins
from bitbudget.fetching.download import CHUNK
from bitbudget.models import ready_models


def says(*parts):
    """A pattern for one sentence with these parts in this order."""
    return ".*".join(parts)


WHOLE = b"\x1c\0\0\0TFL3" + bytes(range(256)) * 300
READY = {"family": "tflite", "licence": "MIT", "sha256": ""}


@pytest.fixture
def web(monkeypatch, tmp_path):
    """A web server with files by their paths, which breaks off after `most` bytes of an answer."""
    state = SimpleNamespace(contents={"/m.tflite": WHOLE}, most=None, asked=[])

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            state.asked.append(self.headers.get("Range"))
            content = state.contents.get(self.path)
            if content is None:
                return self.send_error(404)
            first = int((self.headers.get("Range") or "bytes=0-")[6:-1])
            self.send_response(206 if first else 200)
            self.send_header("Content-Length", str(len(content) - first))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            return self.wfile.write(content[first:][: state.most])

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("bitbudget.fetching.download.time.sleep", lambda _: None)
    monkeypatch.chdir(tmp_path)
    state.url = f"http://127.0.0.1:{listening.server_port}/m.tflite"
    yield state
    listening.shutdown()


def fetch_ready(spec, name="tiny"):
    return ready_models.fetch(name, READY | spec, Path("models") / name, Path("partial") / name)


def test_a_file_is_fetched_locked_and_recorded(web):
    record = fetch_ready({"url": web.url})
    checksum = hashlib.sha256(WHOLE).hexdigest()
    assert Path("models/tiny/model.tflite").read_bytes() == WHOLE
    assert record["files"] == {"model.tflite": {"bytes": len(WHOLE), "sha256": checksum}}
    assert (record["source"], record["revision"], record["model_type"]) == (web.url, checksum, "tflite")
    assert pins.locked("models", "tiny") == {"url": web.url, "sha256": checksum}
    assert files.read_json(Path("models/tiny/model.json")) == record
    assert not Path("partial/tiny").exists()


def test_an_interrupted_file_goes_on(web):
    web.most = 2 * CHUNK
    fetch_ready({"url": web.url})
    assert Path("models/tiny/model.tflite").read_bytes() == WHOLE
    assert len(web.asked) > 1
    assert None not in web.asked[1:]


def test_another_file_under_a_locked_address_is_refused(web):
    fetch_ready({"url": web.url})
    web.contents["/m.tflite"] = WHOLE + b"."
    with pytest.raises(UserError, match=says(r"model\.tflite from http", "has the SHA-256", "is expected")):
        fetch_ready({"url": web.url})
    assert Path("models/tiny/model.tflite").read_bytes() == WHOLE


def test_another_address_under_a_locked_name_is_refused_before_it_is_asked(web):
    fetch_ready({"url": web.url})
    web.asked.clear()
    with pytest.raises(UserError, match=says("url of tiny is .*other", "holds it to", "remove the entry")):
        fetch_ready({"url": web.url + "?other"})
    assert not web.asked


def test_a_file_with_another_checksum_than_its_entry_says_is_refused(web):
    with pytest.raises(UserError, match=says("has the SHA-256", f"where {'c' * 64} is expected")):
        fetch_ready({"url": web.url, "sha256": "c" * 64})
    assert pins.locked("models", "tiny") == {}
    assert not Path("models/tiny/model.tflite").exists()


def test_an_address_that_is_a_page_is_refused(web):
    web.contents["/m.tflite"] = b"<!doctype html> sign in"
    with pytest.raises(UserError, match=says(r"what http.*sends is no \.tflite file: correct `url` of tiny")):
        fetch_ready({"url": web.url})
    web.contents["/m.tflite"] = WHOLE
    fetch_ready({"url": web.url})


def test_an_address_that_does_not_exist(web):
    with pytest.raises(UserError, match=r"does not exist \(the server answers 404\)"):
        fetch_ready({"url": web.url + "x"})


def test_a_file_on_this_machine_is_linked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.tflite").write_bytes(WHOLE)
    record = fetch_ready({"local": "mine.tflite"})
    link = Path("models/tiny/model.tflite")
    assert link.is_symlink()
    assert link.resolve() == tmp_path / "mine.tflite"
    assert record["revision"] == hashlib.sha256(WHOLE).hexdigest()
    assert not Path("config/locks.json").exists()


def test_a_saved_model_is_linked_file_by_file_and_never_deleted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inside = {"saved_model.pb": b"graph", "variables/variables.index": b"1", "variables/variables.data": b"2"}
    for n, content in inside.items():
        path = Path("mine") / n
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    spec = {"local": "mine", "family": "saved-model"}
    record = fetch_ready(spec)
    assert set(record["files"]) == {f"saved_model/{n}" for n in inside}
    assert record["revision"] == files.hash_of({n: f["sha256"] for n, f in record["files"].items()})
    assert fetch_ready(spec)["files"] == record["files"]
    for n, content in inside.items():
        assert (Path("mine") / n).read_bytes() == content
        assert (Path("models/tiny/saved_model") / n).is_symlink()


def test_a_keras_file_is_linked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("mine.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    assert set(fetch_ready({"local": "mine.keras", "family": "saved-model"})["files"]) == {"model.keras"}


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"local": "nowhere.tflite"}, r"tiny is to come from nowhere\.tflite, which is no file"),
        ({"local": "page.tflite"}, r"page\.tflite is no \.tflite file"),
        ({"local": ".", "family": "saved-model"}, r"is no SavedModel, a folder with saved_model\.pb, and no \.keras"),
        ({"local": "page.keras", "family": "saved-model"}, r"page\.keras, which is no SavedModel"),
        ({"hub": "a/b"}, "of family tflite, needs either `url` or `local`"),
        ({"url": "https://x/m.tflite", "local": "mine"}, "needs either `url` or `local`"),
        ({"url": "https://x/m", "family": "saved-model"}, "of family saved-model, needs `local`"),
    ],
)
def test_ready_files_that_are_not_there_or_not_right(tmp_path, monkeypatch, spec, sentence):
    monkeypatch.chdir(tmp_path)
    for name in ("page.tflite", "page.keras"):
        Path(name).write_bytes(b"<!doctype html>")
    with pytest.raises(UserError, match=sentence):
        fetch_ready(spec)
    assert not Path("models/tiny/model.json").exists()
