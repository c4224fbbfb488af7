"""The made-up detections of COCO's own example: the 24 published numbers, to three decimals."""

import json
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from bitbudget.metrics import average_precision
from bitbudget.stats import bootstrap

FOLDER = Path(__file__).parents[3] / "shared" / "real" / "coco_det"

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"{FOLDER} is not there: the real files stand beside the checkout of the project"
)


def published(kind):
    """The twelve numbers of this kind from the file that comes with the example."""
    text = (FOLDER / "val2014_fake_eval_res.txt").read_text()
    part = text.split(f"type={kind}")[1].split("type=")[0]
    return [float(value) for value in re.findall(r"= ([0-9.]+)$", part, flags=re.MULTILINE)]


def load(name):
    return json.loads((FOLDER / name).read_text())


@pytest.fixture(scope="module")
def boxes():
    """Objects and detections of each of the 100 images."""
    truth = load("instances_val2014_100.json")
    objects = {str(image["id"]): [] for image in truth["images"]}
    detections = defaultdict(list)
    for one in truth["annotations"]:
        objects[str(one["image_id"])].append({key: one[key] for key in ("category_id", "bbox", "area", "iscrowd")})
    for one in load("instances_val2014_fakebbox100_results.json"):
        detections[str(one["image_id"])].append({key: one[key] for key in ("category_id", "bbox", "score")})
    assert len(objects) == 100 and detections.keys() <= objects.keys()
    return objects, {key: detections[key] for key in objects}


def test_the_published_numbers_of_boxes(boxes):
    numbers, _ = average_precision.evaluate(*boxes)
    assert [round(value, 3) for value in numbers.values()] == published("bbox")


def test_the_published_numbers_of_masks(capsys):
    """The project scores boxes only; this is to see that its library can be relied on."""
    from hotcoco import COCO, COCOeval

    truth = COCO(str(FOLDER / "instances_val2014_100.json"))
    evaluation = COCOeval(truth, truth.load_res(load("instances_val2014_fakesegm100_results.json")), "segm")
    evaluation.run()
    assert [round(float(value), 3) for value in evaluation.stats] == published("segm")


def test_the_numbers_are_found_again_from_the_matches_with_an_interval_around_them(boxes):
    numbers, matches = average_precision.evaluate(*boxes)
    rows = [{"id": key, "matches": found} for key, found in matches.items()]
    again = average_precision.averages(rows)
    times = np.concatenate(list(bootstrap.times_drawn(100, average_precision.RESAMPLES, seed=1))).T
    drawn = average_precision.averages(rows, times)
    for name in average_precision.RESAMPLED:
        assert again[name][0] == pytest.approx(numbers[name], abs=1e-9)
        low, high = average_precision.interval(numbers[name], drawn[name])
        assert low < numbers[name] < high and high - low < 0.15
    # Why the draws are moved: precision is too high in resamples, recall is not.
    assert drawn["AP"].mean() - numbers["AP"] > 0.7 * drawn["AP"].std()
    assert abs(drawn["AR_100"].mean() - numbers["AR_100"]) < 0.3 * drawn["AR_100"].std()
