"""No planted mis-quantization of a detector's file gets through its audit, in any format; each is named."""

import re
import shutil

import planted
import pytest
import tiny_detectors

from bitbudget.errors import UserError
from bitbudget.runtimes.litert import audit

SPECS = {
    spec["format"].removeprefix("litert-") + ("-all" if spec.get("operators") == "all" else ""): spec
    for spec in tiny_detectors.specs()
}
CASES = [pytest.param(plant, name, id=f"{name}-{plant.name}") for plant in planted.PLANTS for name in plant.formats]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return tiny_detectors.exported("operators", tmp_path_factory)


@pytest.fixture(scope="module")
def checkpoints(exported, tmp_path_factory):
    """A right checkpoint of each format."""
    folder = tmp_path_factory.mktemp("right")
    return {name: tiny_detectors.quantized(exported, SPECS[name], folder / name) for name in planted.EVERY}


@pytest.mark.parametrize(("plant", "name"), CASES)
def test_it_is_found_and_named(exported, checkpoints, tmp_path, plant, name):
    folder = shutil.copytree(checkpoints[name], tmp_path / "made")
    before = (folder / "model.tflite").read_bytes()
    file = planted.File(folder / "model.tflite")
    plant.change(file)
    file.write()
    assert (folder / "model.tflite").read_bytes() != before
    with pytest.raises(UserError) as caught:
        audit.audit(exported, folder, "the-precision", SPECS[name])
    sentence = str(caught.value)
    assert sentence.startswith("precision the-precision is not what its name says: ")
    assert re.search(plant.named, sentence), sentence


@pytest.mark.parametrize("name", planted.EVERY)
def test_writing_a_file_again_is_no_plant(exported, checkpoints, tmp_path, name):
    folder = shutil.copytree(checkpoints[name], tmp_path / "made")
    planted.File(folder / "model.tflite").write()
    found = audit.audit(exported, folder, "x", SPECS[name])
    assert found["output_errors"].keys() == found["output_limits"].keys() == {"logits", "boxes"}
    assert not found["not_held"]


def test_the_table_has_every_kind_for_every_format():
    assert len(planted.PLANTS) >= 40
    for name in planted.EVERY:
        assert sum(name in plant.formats for plant in planted.PLANTS) >= 20
