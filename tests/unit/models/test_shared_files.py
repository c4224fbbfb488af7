"""Weights that several precisions have alike are on the disk once."""

import shutil

import pytest
import tiny_models as tiny
import torch

from bitbudget import files
from bitbudget.models import checkpoint, shared_files


@pytest.fixture
def precisions(tmp_path):
    """A LLaVA with its language in int8, and with its vision in int8 as well, the files of the second shared."""
    source = tiny.llava(tmp_path / "source")
    one = tiny.make_checkpoint(source, tmp_path / "one", tiny.LLAVA, language="bnb-int8")
    two = tiny.make_checkpoint(source, tmp_path / "two", tiny.LLAVA, language="bnb-int8", vision="bnb-int8")
    return one, two


def manifest(folder):
    return files.read_json(folder / checkpoint.MANIFEST)


def test_the_layers_of_both_are_on_the_disk_once(precisions):
    one, two = precisions
    expected = sum(facts["bytes"] for facts in manifest(one)["files"].values())
    assert shared_files.share(two, manifest(two)["files"], [one / checkpoint.MANIFEST]) == expected
    assert {path.stat().st_nlink for path in one.glob("weights-*")} == {2}
    assert shared_files.share(two, manifest(two)["files"], [one / checkpoint.MANIFEST]) == 0
    assert not list(two.glob(".*.link"))


def test_each_lives_on_without_the_other(precisions):
    one, two = precisions
    before = checkpoint.load(two, tiny.LLAVA, "cpu")
    shared_files.share(two, manifest(two)["files"], [one / checkpoint.MANIFEST])
    shutil.rmtree(one)
    after = checkpoint.load(two, tiny.LLAVA, "cpu")
    with torch.no_grad():
        assert all(
            torch.equal(a, b) for a, b in zip(before.state_dict().values(), after.state_dict().values(), strict=True)
        )


def test_a_manifest_that_cannot_be_read_and_a_file_that_is_gone_are_passed_over(precisions, tmp_path):
    one, two = precisions
    (tmp_path / "torn.json").write_text("{")
    for path in one.glob("weights-*"):
        path.unlink()
    others = [tmp_path / "torn.json", tmp_path / "none.json", one / checkpoint.MANIFEST]
    assert shared_files.share(two, manifest(two)["files"], others) == 0


def test_a_file_that_was_damaged_is_not_taken(precisions):
    one, two = precisions
    for path in one.glob("weights-*"):
        path.write_bytes(bytes(path.stat().st_size))
    assert shared_files.share(two, manifest(two)["files"], [one / checkpoint.MANIFEST]) == 0
    checkpoint.load(two, tiny.LLAVA, "cpu")
