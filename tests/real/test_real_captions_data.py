"""Real annotations and photographs through the data stage."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitbudget.datasets import coco2017_captions, coco_format, local_captions
from bitbudget.items import images
from bitbudget.items.images import fitted, prepare_images

REAL = Path(__file__).parents[3] / "shared" / "real"
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"the folder of real files {REAL} is not there")


def test_official_captions_have_the_official_counts(tmp_path):
    path = REAL / "captions" / "captions_val2017.json"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == coco2017_captions.SHA256["captions_val2017.json"]
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "captions_val2017.json").symlink_to(path)
    items = coco2017_captions.read_items({}, tmp_path, "val")
    assert len(items) == 5000
    assert sum(len(item.references) for item in items) == 25014
    by_id = {item.id: item for item in items}
    assert by_id["397133"].images[0].source == "http://images.cocodataset.org/val2017/000000397133.jpg"
    assert "A black Honda motorcycle parked in front of a garage." in by_id["179765"].references


def test_folder_of_photographs_is_a_local_data_set(tmp_path):
    options = {
        "images": str(REAL / "coco_images" / "val2017"),
        "annotations": str(REAL / "coco_images" / "annotations" / "captions_val2017.json"),
    }
    local_captions.fetch(options, tmp_path, tmp_path / "partial")
    items = local_captions.read_items(options, tmp_path, "all")
    assert len(items) == 50 and all(len(item.references) == 5 for item in items)


@pytest.mark.parametrize("max_side", [320, 1024])
def test_photographs_are_prepared(tmp_path, max_side):
    path = REAL / "coco_images" / "annotations" / "captions_val2017.json"
    items = coco_format.read_captions(path, lambda image: image["file_name"])
    sources = {item.id: REAL / "coco_images" / "val2017" / item.images[0].source for item in items}
    done, unreadable = prepare_images(sources, tmp_path, max_side, threads=1)
    assert len(done) == 50 and not unreadable
    for key, entry in done.items():
        with Image.open(sources[key]) as source, Image.open(tmp_path / entry["file"]) as result:
            assert entry["source_size"] == list(source.size)
            assert result.size == fitted(source.size, max_side) and result.mode == "RGB"
            if max_side == 1024:  # all of COCO is smaller: nothing is decoded and saved again without need
                assert entry["action"] == ("copied" if source.mode == "RGB" else "converted")
            else:
                wanted = source.convert("RGB").resize(result.size, Image.Resampling.LANCZOS)
                wanted.save(tmp_path / "wanted.jpg", quality=95, subsampling=0)
                with Image.open(tmp_path / "wanted.jpg") as expected:  # apart from the loss of JPEG itself: the same
                    assert (np.asarray(result) == np.asarray(expected)).all()


def test_reduced_decoding_of_photographs_makes_no_difference_to_speak_of():
    for path in sorted((REAL / "coco_images" / "val2017").iterdir()):
        with Image.open(path) as opened:
            full = opened.size
            found, _, _ = images._decoded(opened, 100)
            assert opened.size[0] < full[0]
        with Image.open(path) as source:
            wanted = source.convert("RGB").resize(found.size, Image.Resampling.LANCZOS)
        difference = np.abs(np.asarray(found, dtype=int) - np.asarray(wanted, dtype=int))
        assert difference.mean() < 1 and np.percentile(difference, 99) <= 4  # of 255; measured: 0.7 and 3
