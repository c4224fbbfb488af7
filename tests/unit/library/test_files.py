"""Files are written whole or not at all, and every failure of writing names the file and what to do."""

import contextlib
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from small_disk import mount, one_mib, unmount

from bitbudget import files
from bitbudget.errors import UserError

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"


# --- what is written is on the disk before it has its name


def calls_of(monkeypatch):
    """What is flushed and renamed, in its order."""
    seen = []
    flush, rename = os.fsync, os.replace

    def fsync(handle):
        seen.append(("flush", str(Path(f"/proc/self/fd/{handle}").readlink())))
        flush(handle)

    def replace(old, new):
        seen.append(("rename", str(new)))
        rename(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "rename", replace)
    return seen


def test_a_file_is_flushed_before_it_gets_its_name_and_its_folder_after(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "er" / "record.json"
    seen = calls_of(monkeypatch)
    files.write_json(path, {"a": 1})
    kinds = [(kind, Path(name).parent.name if kind == "flush" and ".record" in name else name) for kind, name in seen]
    assert kinds == [
        ("flush", str(tmp_path)),  # the new folder's own name
        ("flush", str(tmp_path / "deep")),
        ("flush", "er"),  # the temporary file
        ("rename", str(path)),
        ("flush", str(path.parent)),
    ]


def test_every_file_and_folder_below_one_is_flushed_but_no_link(tmp_path, monkeypatch):
    for name in ("a/b/one", "two"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    seen = calls_of(monkeypatch)
    files.flush_all(tmp_path)
    assert {name for _, name in seen} == {str(tmp_path / n) for n in ("a/b/one", "a/b", "a", "two")} | {str(tmp_path)}


@pytest.fixture
def pulled(tmp_path):
    """A disk (ext4 in a file), and a function that pulls its plug: what was not flushed is gone; it mounts it again."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("there is no program to make a disk")
    image, place = tmp_path / "disk", tmp_path / "place"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(32 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    mount("-o", "loop", image, place)

    def pull():
        handle = os.open(place, os.O_RDONLY)
        without_flushing = struct.pack("I", 2)
        try:
            fcntl.ioctl(handle, 0x8004587D, without_flushing)  # EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH
        except OSError as fault:
            pytest.skip(f"this kernel pulls no plug of ext4: {fault}")
        finally:
            os.close(handle)
        unmount(place)
        mount("-o", "loop", image, place)

    yield place, pull
    with contextlib.suppress(subprocess.CalledProcessError):
        unmount(place)


def test_what_was_written_survives_a_power_cut(pulled):
    place, pull = pulled
    (place / "carelessly").write_text("x" * 5000)
    files.write_jsonl(place / "shards" / "key" / "0.jsonl", [{"id": str(n)} for n in range(1000)])
    files.write_text(place / "shards" / "key" / "0.jsonl", "again\n")
    files.write_json(place / "new" / "record.json", {"a": 1})
    pull()
    assert not (place / "carelessly").exists() or (place / "carelessly").stat().st_size == 0, "the plug was not pulled"
    assert (place / "shards/key/0.jsonl").read_text() == "again\n"
    assert files.read_json(place / "new/record.json") == {"a": 1}


# --- a failure of writing

WRITERS = {
    "bytes": "temporary.write_bytes(b'x' * 3_000_000)",
    "a stream": "f = temporary.open('wb')\nwhile True:\n    f.write(b'x' * 10_000)",
    "a copy": "shutil.copyfile(big, temporary)",
    "safetensors": "save_file({'a': torch.zeros(1_000_000)}, temporary)",
    "torch": "torch.save({'a': torch.zeros(1_000_000)}, temporary)",
    "a zip": "with zipfile.ZipFile(temporary, 'w') as a:\n    a.writestr('a', os.urandom(3_000_000))",
    "a picture": "Image.effect_noise((3000, 3000), 90).save(temporary, 'PNG')",
    "a jpeg": "Image.effect_noise((3000, 3000), 90).save(temporary, 'JPEG', quality=100)",
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_names_the_file_whoever_writes(kind, tmp_path):
    with one_mib(tmp_path) as small:
        path = small / "result.png"
        said = f"error: the disk is full (writing {path}): free some space and run the same command again.\n"
        assert written(kind, path) == said
        assert list(small.iterdir()) == []


@pytest.mark.parametrize("kind", [kind for kind in WRITERS if kind not in ("torch", "a picture", "a jpeg")])
def test_a_limit_on_the_size_of_files_names_the_file(kind, tmp_path):
    path = tmp_path / "new" / "result.png"
    done = written(kind, path, limit="RLIMIT_FSIZE, (100_000, 100_000)")
    assert done.startswith(f"error: {path} grows larger than a file may be: raise the limit (`ulimit -f unlimited`)")
    assert done.count("\n") == 1 and list(path.parent.iterdir()) == []


def written(kind, path, limit=None):
    """What a script says that writes such a file there."""
    libraries = {"safetensors": "import torch\nfrom safetensors.torch import save_file", "torch": "import torch"}
    code = f"""
import os, resource, shutil, sys, zipfile
from pathlib import Path
from PIL import Image
from bitbudget import cli, files
{libraries.get(kind, "")}

def main():
    big = Path({str(path)!r}).parents[1] / "big"
    {f"resource.setrlimit(resource.{limit})" if limit else ""}
    with files.written_whole(Path({str(path)!r})) as temporary:
{textwrap.indent(WRITERS[kind], "        ")}

cli.run(main)
"""
    (path.parents[1] / "big").write_bytes(b"x" * 3_000_000)
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 1, done.stderr
    return done.stderr


def test_a_disk_that_can_only_be_read_is_told(tmp_path):
    with one_mib(tmp_path) as small:
        (small / "old").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        for path in (small / "old" / "a.json", small / "new" / "a.json"):
            with pytest.raises(OSError) as caught:
                files.write_json(path, {})
            assert (caught.value.errno, caught.value.filename) == (errno.EROFS, str(path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_this_user_may_not_write_names_the_file(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(PermissionError) as caught:
        files.write_json(tmp_path / "closed" / "a.json", {})
    assert caught.value.filename == str(tmp_path / "closed" / "a.json")


def test_what_fails_for_another_reason_is_left_as_it_is(tmp_path):
    for fault in (ValueError("a bug"), UserError("a sentence."), OSError(errno.ECONNRESET, "reset"), RuntimeError("x")):
        with pytest.raises(type(fault)) as caught, files.written_whole(tmp_path / "a"):
            raise fault
        assert caught.value is fault
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b'{"a": 1}\n{"b"', b"[1, 2]\n\xc3("],
    ids=["empty", "cut", "utf-16", "two", "utf-8"],
)
def test_a_damaged_file_is_one_sentence(content, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    for read in (files.read_json, files.read_jsonl):
        if read is files.read_jsonl and content == b"":
            assert read(path) == []
            continue
        with pytest.raises(UserError, match=r"a\.json.* (make the file again|fetch or make it again)\."):
            read(path)
