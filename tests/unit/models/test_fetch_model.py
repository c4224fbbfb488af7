"""Fetching models of transformers: from a directory, and from a stand-in of the Hub on this machine."""

import errno
import hashlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_models
import yaml

import warm
from bitbudget import files, registry
from bitbudget.errors import UserError
from bitbudget.fetching import pins
from bitbudget.models import hub

ROOT = Path(__file__).parents[3]
FIRST, SECOND = "a" * 40, "b" * 40
REPOSITORY = "some-lab/tiny-llava"
SPEC = {"hub": REPOSITORY, "revision": "", "family": "llava", "licence": "Apache-2.0"}


def safetensors(fill=0, values=64):
    """The bytes of a safetensors file with one float32 tensor."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [values], "data_offsets": [0, 4 * values]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes([fill]) * 4 * values


def model_files(**more):
    return {
        "config.json": json.dumps({"model_type": "llava"}).encode(),
        "tokenizer.json": b"{}",
        "model.safetensors": safetensors(),
    } | {name.replace("__", "."): content for name, content in more.items()}


class Hub:
    """What a repository of the Hub answers, and what it was asked for."""

    def __init__(self):
        self.commits = {FIRST: model_files(README__md=b"# hi", pytorch_model__bin=b"pickle", code__py=b"import os")}
        self.main = FIRST
        self.branches = {}  # others than main
        self.stated = {}  # SHA-256 that the Hub names where it is not that of the bytes it sends
        self.refuse = None  # (status, X-Error-Code) for every request of a file
        self.asked = []

    def lfs(self, name, content):
        """What the Hub says of a large file; None for the small ones, which git itself holds."""
        if not name.endswith(".safetensors"):
            return None
        sha256 = self.stated.get(name) or hashlib.sha256(content).hexdigest()
        return {"sha256": sha256, "size": len(content), "pointerSize": 134}

    @staticmethod
    def blob(content):
        """What git names a file by."""
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@pytest.fixture
def server(monkeypatch, tmp_path):
    import huggingface_hub.constants as constants

    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self, status, body=b"", **headers):
            self.send_response(status)
            for key, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(key.replace("_", "-"), value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            path = self.path.partition("?")[0]
            state.asked.append((self.command, path))
            if path.startswith(f"/api/models/{REPOSITORY}/"):
                what, revision = path.removeprefix(f"/api/models/{REPOSITORY}/").split("/")[:2]
                commit = ({"main": state.main} | state.branches).get(revision, revision)
                if commit not in state.commits:
                    return self.answer(404, X_Error_Code="RevisionNotFound")
                contents = state.commits[commit].items()
                if what == "revision":
                    listed = [
                        {"rfilename": n, "size": len(c), "lfs": state.lfs(n, c), "blobId": state.blob(c)}
                        for n, c in contents
                    ]
                    body = {"id": REPOSITORY, "sha": commit, "siblings": listed}
                else:
                    body = [{"type": "file", "path": n, "size": len(c), "oid": "0" * 40} for n, c in contents]
                return self.answer(200, json.dumps(body).encode(), Content_Type="application/json")
            if path.startswith(f"/{REPOSITORY}/resolve/"):
                if state.refuse:
                    return self.answer(state.refuse[0], X_Error_Code=state.refuse[1])
                commit, name = path.removeprefix(f"/{REPOSITORY}/resolve/").split("/", 1)
                content = state.commits[commit][name]
                etag = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X_Repo_Commit": commit}
                return self.answer(200, content, **etag)
            return self.answer(401, X_Error_Code="RepoNotFound")

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{listening.server_port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.chdir(tmp_path)  # the locks are written to ./config
    yield state
    listening.shutdown()


@pytest.fixture
def local(tmp_path, monkeypatch):
    """A model in a directory, and its entry in the models file."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, content in model_files(pytorch_model__bin=b"pickle").items():
        (folder / name).write_bytes(content)
    return folder, {"local": "mine", "family": "llava", "licence": "MIT"}


def fetch(spec, name="tiny"):
    return hub.fetch(name, spec, Path("models") / name, Path("partial") / name)


def says(*parts):
    """A pattern for one sentence with these parts in this order."""
    return ".*".join(parts)


# --- the Hub


def test_a_snapshot_is_fetched_locked_and_recorded(server):
    record = fetch(SPEC)
    out = Path("models/tiny")
    assert sorted(p.name for p in out.iterdir()) == ["config.json", "model.json", "model.safetensors", "tokenizer.json"]
    assert (out / "model.safetensors").read_bytes() == safetensors()
    assert not (out / "model.safetensors").is_symlink()
    assert not Path("partial/tiny").exists()
    assert record["revision"] == FIRST
    assert record["source"] == f"https://huggingface.co/{REPOSITORY}"
    assert (record["model_type"], record["restricted"], record["licence"]) == ("llava", False, "Apache-2.0")
    checksum = hashlib.sha256(safetensors()).hexdigest()
    assert record["files"]["model.safetensors"] == {"bytes": len(safetensors()), "sha256": checksum}
    assert pins.locked("models", "tiny") == {"hub": REPOSITORY, "revision": FIRST, "model.safetensors": checksum}
    assert files.read_json(out / "model.json") == record


def test_a_later_fetch_holds_to_the_locked_revision(server):
    fetch(SPEC)
    server.commits[SECOND] = model_files(model__safetensors=safetensors(1))
    server.main = SECOND
    assert fetch(SPEC)["revision"] == FIRST


def test_a_branch_is_followed_once_and_then_locked(server):
    server.commits[SECOND] = model_files(model__safetensors=safetensors(1))
    server.branches["no_timm"] = SECOND
    assert fetch(SPEC | {"branch": "no_timm"})["revision"] == SECOND
    server.branches["no_timm"] = FIRST
    assert fetch(SPEC | {"branch": "no_timm"})["revision"] == SECOND


def test_another_revision_than_the_locked_one_is_refused(server):
    fetch(SPEC)
    server.commits[SECOND] = model_files()
    server.asked.clear()
    sentence = says(f"revision of tiny is {SECOND}, but", f"holds it to {FIRST} since its first", "remove the entry")
    with pytest.raises(UserError, match=sentence):
        fetch(SPEC | {"revision": SECOND})
    assert not [path for _, path in server.asked if "/resolve/" in path], "nothing was downloaded"


def test_other_weights_under_the_locked_revision_are_refused(server):
    fetch(SPEC)
    old, new = (hashlib.sha256(safetensors(fill)).hexdigest() for fill in (0, 1))
    server.commits[FIRST]["model.safetensors"] = safetensors(1)
    with pytest.raises(UserError, match=says(rf"model\.safetensors of tiny is {new}, but", f"holds it to {old}")):
        fetch(SPEC)


def test_another_repository_under_a_locked_name_is_refused(server):
    fetch(SPEC)
    with pytest.raises(UserError, match=says("hub of tiny is some-lab/other, but", f"holds it to {REPOSITORY}")):
        fetch(SPEC | {"hub": "some-lab/other"})


def test_an_interrupted_download_goes_on(server):
    server.commits[FIRST]["tokenizer.json"] = b" " * 5000 + b"{}"
    server.refuse = (403, "")
    with pytest.raises(UserError):
        fetch(SPEC)
    server.refuse = None
    hub.download(REPOSITORY, FIRST, ["tokenizer.json"], Path("partial/tiny"))
    server.asked.clear()
    fetch(SPEC)
    got = [path.rpartition("/")[2] for method, path in server.asked if method == "GET" and "/resolve/" in path]
    assert sorted(got) == ["config.json", "model.safetensors"], "what had arrived was not fetched again"


def test_unknown_repository(server):
    with pytest.raises(UserError, match=says("there is no repository nobody/nothing on the Hub", "correct its name")):
        fetch(SPEC | {"hub": "nobody/nothing"})


def test_malformed_repository(server):
    with pytest.raises(UserError, match="there is no repository a/b/c on the Hub"):
        fetch(SPEC | {"hub": "a/b/c"})


def test_unknown_revision(server):
    with pytest.raises(UserError, match=says(f"{REPOSITORY} has no revision {SECOND}: name one of the commits")):
        fetch(SPEC | {"revision": SECOND})


def test_gated_repository(server):
    server.refuse = (401, "GatedRepo")
    with pytest.raises(UserError, match=says(f"{REPOSITORY} is gated: accept its licence on https://", "HF_TOKEN")):
        fetch(SPEC)


@pytest.mark.parametrize(("status", "remedy"), [(403, "check HF_TOKEN"), (500, "wait a while")])
def test_a_refused_request(server, monkeypatch, status, remedy):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    server.refuse = (status, "")
    with pytest.raises(UserError, match=says("refused a request", f"status {status}: {remedy}")):
        fetch(SPEC)


def test_no_network(server, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:  # nothing listens where this one did
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
    with pytest.raises(UserError, match=says(f"cannot be reached for {REPOSITORY}", "check the network")):
        fetch(SPEC)


def test_network_lost_after_the_listing(server, monkeypatch):
    described = hub.describe_repository(REPOSITORY, "")
    monkeypatch.setattr(hub, "describe_repository", lambda *_: described)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)  # between the client's own retries
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="check the network"):
        fetch(SPEC)


def test_offline_mode(server, monkeypatch):
    import huggingface_hub

    def offline(*_, **__):
        raise huggingface_hub.errors.OfflineModeIsEnabled("offline")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", offline)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set: unset it"):
        fetch(SPEC)


def test_disk_too_small(server, monkeypatch):
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(UserError, match=says("the disk is full: tiny still needs", "free some space")):
        fetch(SPEC)


def test_disk_full_on_the_way(server, monkeypatch):
    """hf-xet reports it as a RuntimeError; scripts have their own sentence for an OSError with this number."""
    import huggingface_hub

    def full(*_, **__):
        raise RuntimeError("Data processing error: IO Error: No space left on device (os error 28)")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    with pytest.raises(OSError, match="No space left") as caught:
        fetch(SPEC)
    assert caught.value.errno == errno.ENOSPC


def test_truncated_weights_are_named_and_fetched_again(server):
    whole = server.commits[FIRST]["model.safetensors"]
    server.commits[FIRST]["model.safetensors"] = whole[:-10]
    sentence = says(r"model\.safetensors is cut off: it has", f"promises {len(whole)}; fetch it again")
    with pytest.raises(UserError, match=sentence):
        fetch(SPEC)
    assert pins.locked("models", "tiny") == {}, "nothing is locked before all is checked"
    shutil.rmtree("partial/tiny/.cache")  # the Hub's own bytes change: here, not in life, under the same commit
    server.commits[FIRST]["model.safetensors"] = whole
    fetch(SPEC)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_small_file_that_a_power_cut_emptied_is_removed_and_fetched_again(server, name):
    """The client believes a file that it has fetched once, as long as its date has not changed."""
    whole = server.commits[FIRST]["model.safetensors"]
    server.stated["model.safetensors"] = "c" * 64  # so that this attempt comes to nothing
    with pytest.raises(UserError):
        fetch(SPEC)
    server.stated.clear()
    path = Path("partial/tiny") / name
    before = path.stat()
    path.write_bytes(b"")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(UserError, match=says(f"{name} of {REPOSITORY} is damaged in partial/tiny: it was removed")):
        fetch(SPEC)
    fetch(SPEC)
    assert files.read_json(Path("models/tiny") / name) == json.loads(server.commits[FIRST][name])
    assert (Path("models/tiny") / "model.safetensors").read_bytes() == whole


def test_checksum_mismatch(server):
    server.stated["model.safetensors"] = "c" * 64
    with pytest.raises(UserError, match=says("arrived with the checksum", "instead of c{64}: it was removed")):
        fetch(SPEC)
    assert not Path("partial/tiny/model.safetensors").exists()
    server.stated.clear()
    assert fetch(SPEC)["revision"] == FIRST


def test_pickled_weights_are_taken_where_there_are_no_others(server):
    """As of OPT; transformers reads them with torch's `weights_only`, so that no code in them runs."""
    del server.commits[FIRST]["model.safetensors"]
    assert "pytorch_model.bin" in fetch(SPEC)["files"]
    assert "pytorch_model.bin" in files.read_json(Path("config/locks.json"))["models"]["tiny"]


def test_repository_without_weights(server):
    del server.commits[FIRST]["model.safetensors"], server.commits[FIRST]["pytorch_model.bin"]
    with pytest.raises(
        UserError, match=rf"{REPOSITORY} holds neither \*\.safetensors nor a pytorch_model\.bin: convert"
    ):
        fetch(SPEC)


def test_wrong_family_is_found_before_the_weights_are_fetched(server):
    with pytest.raises(UserError, match=says("says model_type 'llava', but the family qwen2-vl takes qwen2_vl or")):
        fetch(SPEC | {"family": "qwen2-vl"})
    assert not [path for _, path in server.asked if path.endswith("safetensors")]


def test_code_is_not_taken(server):
    assert "code.py" in server.commits[FIRST]
    assert "code.py" not in fetch(SPEC | {"revision": FIRST})["files"]


def test_only_what_loading_needs_is_taken():
    listed = ["config.json", "model.safetensors", "pytorch_model.bin", "w.pt", "w.gguf", "README.md", "model.py"]
    more = [
        "onnx/config.json",
        "original/w.safetensors",
        "chat_template.jinja",
        "tokenizer.model",
        "LICENSE",
        "model.json",
    ]
    taken = ["LICENSE", "chat_template.jinja", "config.json", "model.safetensors", "tokenizer.model"]
    assert hub.wanted(listed + more) == taken


# --- a directory


def test_a_directory_is_linked(local):
    folder, spec = local
    record = fetch(spec)
    weights = Path("models/tiny/model.safetensors")
    assert weights.is_symlink()
    assert weights.resolve() == folder / "model.safetensors"
    assert not Path("models/tiny/pytorch_model.bin").exists()
    assert record["revision"] == files.hash_of({n: f["sha256"] for n, f in record["files"].items()})
    assert record["source"] == "mine"
    assert not Path("config/locks.json").exists()


def test_a_second_fetch_leaves_no_stale_file(local):
    folder, spec = local
    fetch(spec)
    (folder / "tokenizer.json").unlink()
    assert set(fetch(spec)["files"]) == {"config.json", "model.safetensors"}
    assert not Path("models/tiny/tokenizer.json").is_symlink()
    assert (folder / "config.json").exists(), "links are removed, never what they point to"


def test_a_directory_cannot_be_its_own_source(local):
    _, spec = local
    with pytest.raises(UserError, match="name another directory"):
        hub.fetch("tiny", spec, Path("mine"), Path("partial"))


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda f: shutil.rmtree(f), "mine, which is no directory: correct its `local` path"),
        (lambda f: (f / "config.json").unlink(), r"mine holds no config\.json"),
        (
            lambda f: [(f / name).unlink() for name in ("model.safetensors", "pytorch_model.bin")],
            r"mine holds neither \*\.safetensors nor a pytorch_model\.bin",
        ),
        (lambda f: (f / "config.json").write_text("{"), r"mine/config\.json is not valid JSON"),
        (lambda f: (f / "config.json").write_text("{}"), "has no model_type, so nothing says what model it is"),
        (lambda f: (f / "model.safetensors").write_bytes(safetensors()[:-1]), r"safetensors is cut off: it has"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x01"), "is cut off: it has 1 bytes, too few"),
        (lambda f: (f / "model.safetensors").write_bytes(safetensors() + b"."), "is too long: it has"),
        (lambda f: (f / "model.safetensors").write_bytes(bytes([2]) + bytes(7) + b"[]"), "is no safetensors file"),
        (
            lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"w": "model-2.safetensors"}}'),
            r"mine lacks model-2\.safetensors, which its model\.safetensors\.index\.json names",
        ),
        (lambda f: (f / "config.json").write_text("null"), r"config\.json holds null where a JSON object is expected"),
        (lambda f: (f / "config.json").write_text("[]"), r"config\.json holds a list where a JSON object is expected"),
        (lambda f: (f / "model.safetensors.index.json").write_text("{}"), r"index\.json has no weight_map"),
        (lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": []}'), "has no weight_map"),
        (lambda f: (f / "model.safetensors.index.json").write_text("[]"), r"index\.json holds a list"),
    ],
)
def test_damaged_directory(local, harm, sentence):
    folder, spec = local
    harm(folder)
    with pytest.raises(UserError, match=sentence):
        fetch(spec)
    assert not Path("models/tiny/model.json").exists()


@pytest.mark.parametrize("more", [{"hub": "a/b"}, {"local": ""}])
def test_exactly_one_source(local, more):
    with pytest.raises(UserError, match="either `hub` or `local`"):
        fetch(local[1] | more)


# --- the script and the presets


def test_the_script_says_one_sentence(local):
    def run(spec):
        script = ROOT / "workflow/scripts/fetch_model.py"
        given = shlex.quote(json.dumps({"entry": spec, "templated": False}))
        arguments = f"--model tiny --spec {given} --out models/tiny --partial partial/tiny"
        return subprocess.run([warm.python(), script, *shlex.split(arguments)], capture_output=True, text=True)

    failed = run(local[1] | {"local": "nowhere"})
    assert failed.returncode == 1
    assert failed.stderr.splitlines() == [
        "error: the model tiny is to come from nowhere, which is no directory: correct its `local` path."
    ]
    refused = run(local[1])  # its tokenizer.json is {}
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        "error: models/tiny/tokenizer.json is no tokenizer (Model missing. at line 1 column 2): fetch it again, or "
        "take it from the model's original repository."
    ]
    assert not Path("models/tiny/model.json").exists()
    shutil.rmtree("mine")
    tiny_models.llava(Path("mine"))
    done = run(local[1])
    assert done.returncode == 0, done.stderr
    assert Path("models/tiny/model.json").exists()
    Path("mine.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(64))
    done = run({"local": "mine.tflite", "family": "tflite", "licence": "MIT"})
    assert done.returncode == 0, done.stderr
    assert Path("models/tiny/model.tflite").is_symlink()


def test_the_presets_are_complete():
    presets = yaml.safe_load((ROOT / "config/models.yaml").read_text())
    sources = {"hub", "local", "url", "package"}
    known = sources | {
        "branch",
        "revision",
        "sha256",
        "file",
        "family",
        "licence",
        "restricted",
        "detector",
        "gigabytes",
    }
    for name, spec in presets.items():
        assert set(spec) <= known, name
        assert spec["family"] in registry.FAMILIES, name
        assert len(sources & set(spec)) == 1, name
        assert ("url" in spec) <= (spec["family"] == "tflite"), name
        assert spec["licence"], name
        assert spec.get("restricted", False) == (spec["licence"] not in ("Apache-2.0", "MIT")), name
