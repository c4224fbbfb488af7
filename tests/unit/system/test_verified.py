"""Files held to their SHA-256: whatever changes a byte is found, and nothing is read twice in a boot."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bitbudget import files
from bitbudget.errors import UserError
from bitbudget.system import verified

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A file that has settled, in a working folder, and what a record says of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resources").mkdir()
    path = Path("checkpoint/weights.bin")
    path.parent.mkdir()
    path.write_bytes(os.urandom(100_000))
    monkeypatch.setattr(verified, "SETTLED", 0.0)
    time.sleep(0.02)  # longer than the step of the clock that dates files
    return path, {"bytes": 100_000, "sha256": files.sha256_of(path)}


@pytest.fixture
def readings(monkeypatch):
    """Every file that is read through."""
    read, real = [], files.sha256_of
    monkeypatch.setattr(files, "sha256_of", lambda path: read.append(path) or real(path))
    return read


def flip(path, at=5_000):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    with path.open("r+b") as file:
        file.write(content)


def refused(weights):
    with pytest.raises(UserError) as caught:
        verified.hold(*weights, "delete it")
    sentence = str(caught.value)
    assert sentence.startswith("checkpoint/weights.bin ") and sentence.endswith(": delete it.")
    return sentence


def test_a_file_is_read_once_in_a_boot(weights, readings):
    for _ in range(3):
        verified.hold(*weights, "delete it")
    assert len(readings) == 1


def keep_the_date(path):
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def put_another_in_its_place(path):
    before, other = path.stat(), path.with_name("other")
    other.write_bytes(path.read_bytes())
    flip(other)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def cut(path):
    os.truncate(path, 50_000)


@pytest.mark.parametrize("change", [flip, keep_the_date, put_another_in_its_place])
@pytest.mark.parametrize("known", [False, True])
def test_one_flipped_bit_is_found(weights, change, known):
    if known:
        verified.hold(*weights, "delete it")
    change(weights[0])
    assert "has changed since it was made (its SHA-256 is " in refused(weights)
    refused(weights)  # and nothing was noted


@pytest.mark.parametrize("change", [cut, Path.unlink])
def test_a_file_that_is_cut_off_or_missing_is_told(weights, change):
    verified.hold(*weights, "delete it")
    change(weights[0])
    assert "is missing or cut off" in refused(weights)


def test_a_file_that_was_written_just_now_is_not_noted(weights, readings, monkeypatch):
    """Within a step of the file system's clock it could change again under the same dates."""
    monkeypatch.setattr(verified, "SETTLED", 2.0)
    verified.hold(*weights, "delete it")
    verified.hold(*weights, "delete it")
    assert len(readings) == 2


def test_another_checksum_of_the_same_file_is_not_believed(weights):
    verified.hold(*weights, "delete it")
    refused((weights[0], weights[1] | {"sha256": "0" * 64}))


@pytest.mark.parametrize("boot", [None, "", "\xff"])
def test_without_a_known_boot_every_job_reads(weights, readings, monkeypatch, tmp_path, boot):
    monkeypatch.setattr(verified, "BOOT", tmp_path / "boot_id")
    if boot is not None:
        (tmp_path / "boot_id").write_bytes(boot.encode("latin-1"))
    for _ in range(2):
        verified.hold(*weights, "delete it")
    assert len(readings) == 2 and not verified.MEMO.exists()


def test_after_another_boot_it_is_read_again_and_old_notes_go(weights, readings, monkeypatch, tmp_path):
    monkeypatch.setattr(verified, "BOOT", tmp_path / "boot_id")
    for boot in ("one", "two"):
        (tmp_path / "boot_id").write_text(f"{boot}\n")
        verified.hold(*weights, "delete it")
        assert [path.name for path in verified.MEMO.iterdir()] == [boot]
    assert len(readings) == 2


def test_a_note_that_cannot_be_taken_is_no_matter(weights, readings):
    Path("resources/.verified").write_text("a file in its place")
    for _ in range(2):
        verified.hold(*weights, "delete it")
    assert len(readings) == 2


def test_outside_of_a_working_folder_nothing_is_written(weights, readings):
    Path("resources").rmdir()
    verified.hold(*weights, "delete it")
    assert not Path("resources").exists()


def test_jobs_may_verify_side_by_side(weights):
    code = "import sys; from pathlib import Path; from bitbudget.system import verified; verified.SETTLED = 0\n"
    code += "for n in range(40): verified.hold(Path(f'many/{n}'), {'bytes': 2, 'sha256': sys.argv[1]}, 'x')"
    Path("many").mkdir()
    for number in range(40):
        Path(f"many/{number}").write_bytes(b"ab")
    time.sleep(0.02)
    command = [sys.executable, "-c", code, hashlib.sha256(b"ab").hexdigest()]
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    jobs = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _ in range(4)]
    assert [job.communicate(timeout=600)[1] for job in jobs] == [b""] * 4
    assert len(list(verified.MEMO.glob("*/*"))) == 40


def test_what_was_fetched_is_held_to_its_record(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("models/tiny/sub/weights.bin")
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(10_000))
    flip(path)
    verified.hold_folder(Path("models/tiny"), "model.json")  # without a record nothing is known
    facts = {"bytes": 10_000, "sha256": files.sha256_of(path)}
    files.write_json(Path("models/tiny/model.json"), {"files": {"sub/weights.bin": facts}})
    verified.hold_folder(Path("models/tiny"), "model.json")
    flip(path)
    sentence = (
        "sub/weights.bin has changed since .*: delete models/tiny and run the same command again, which makes it anew"
    )
    with pytest.raises(UserError, match=sentence):
        verified.hold_folder(Path("models/tiny"), "model.json")


@pytest.mark.parametrize("content", ["null", "[]", "{}", '{"files": 7}', '{"files": {"a": {"bytes": 1}}}'])
def test_a_damaged_record_of_what_was_fetched_is_named(tmp_path, content):
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(
        UserError, match=r"model\.json is damaged \(at \$.*\): delete .* and run the same command again"
    ):
        verified.hold_folder(tmp_path, "model.json")
