"""The detection track: what it makes of predictions, its intervals, and the floor."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_up_boxes import made_up, times_of

from bitbudget.errors import UserError
from bitbudget.metrics import average_precision
from bitbudget.tracks import detection

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"


def item(key, objects, width=640, height=480):
    extra = {"width": width, "height": height, "objects": objects}
    return {"id": key, "images": [{"id": key, "source": "x"}], "question": None, "references": [], "extra": extra}


def thing(category, box, crowd=0):
    return {"category_id": category, "bbox": box, "area": box[2] * box[3], "iscrowd": crowd}


def seen(category, box, score):
    return {"category_id": category, "bbox": box, "score": score}


def perfect(items):
    return {
        one["id"]: [seen(each["category_id"], each["bbox"], 0.9) for each in one["extra"]["objects"]] for one in items
    }


def study(images=30, seed=2):
    objects, detections = made_up(images=images, seed=seed)
    return [item(key, found) for key, found in objects.items()], detections


def test_finding_everything_scores_one():
    items = [item(str(k), [thing(1, [0, 0, 20 * (k + 1), 20]), thing(2, [50, 50, 200, 200])]) for k in range(3)]
    metrics, rows = detection.score(items, perfect(items), 3)
    assert list(metrics) == list(detection.METRICS)
    values = {name: metric["value"] for name, metric in metrics.items() if name not in ("AP_medium", "AR_medium")}
    assert values.pop("AR_1") == 1
    assert set(map(round, values.values())) == {1} and metrics["AP"]["value"] == pytest.approx(1)
    assert {metric["unit"] for metric in metrics.values()} == {"score"}
    assert metrics["AP"]["n"] == 3
    assert [(row["id"], row["objects"], row["found"], row["wrong"]) for row in rows] == [(k, 2, 2, 0) for k in "012"]


def test_a_size_that_no_object_has_is_absent():
    items = [item("a", [thing(1, [0, 0, 50, 50]), thing(1, [0, 0, 9, 9], crowd=1)])]
    metrics, _ = detection.score(items, perfect(items), 3)
    assert "no object is small (of an area below 32 x 32 pixels)" in metrics["AR_small"]["absent"]
    assert "above 96 x 96" in metrics["AP_large"]["absent"]
    assert metrics["AP_medium"]["value"] == pytest.approx(1)


def test_intervals_of_what_a_resample_gives_again():
    items, detections = study()
    metrics, rows = detection.score(items, detections, 3)
    assert [name for name, metric in metrics.items() if "ci" in metric] == ["AP", "AP50", "AP75", "AR_100"]
    for name in average_precision.RESAMPLED:
        low, high = metrics[name]["ci"]
        assert 0 < low < metrics[name]["value"] < high < 1
    assert detection.score(items, detections, 3)[0]["AP"]["ci"] == metrics["AP"]["ci"]
    assert detection.score(items, detections, 4)[0]["AP"]["ci"] != metrics["AP"]["ci"]
    # The rows of item_scores.jsonl are enough to do it again, and to compare two precisions draw by draw.
    rows = [json.loads(json.dumps(row)) for row in rows]
    drawn = average_precision.averages(rows, times_of(len(rows), average_precision.RESAMPLES, seed=3))
    assert metrics["AP"]["ci"] == list(average_precision.interval(metrics["AP"]["value"], drawn["AP"]))
    assert average_precision.averages(rows)["AP"][0] == pytest.approx(metrics["AP"]["value"], abs=1e-9)
    assert np.ptp(metrics["AP"]["ci"]) == pytest.approx(4 * drawn["AP"].std(), rel=0.15)


def test_few_images_with_objects_have_no_interval():
    items = [item(str(k), [thing(1, [0, 0, 50, 50])] if k < 9 else []) for k in range(30)]
    metrics, _ = detection.score(items, perfect(items), 3)
    assert metrics["AP"]["value"] == pytest.approx(1) and metrics["AP"]["n"] == 30
    assert "ci" not in metrics["AP"]


def test_what_a_user_would_see_in_an_image():
    box, other = [0, 0, 50, 50], [100, 100, 50, 50]
    items = [item("a", [thing(1, box), thing(1, other), thing(2, [300, 0, 80, 80], crowd=1)]), item("b", [])]
    detections = {
        # found; too unsure; in the crowd; a second of the same; of a category that no image shows
        "a": [
            seen(1, box, 0.9),
            seen(1, other, 0.4),
            seen(2, [310, 0, 60, 60], 0.8),
            seen(1, box, 0.7),
            seen(7, box, 0.6),
            seen(7, box, 0.1),
        ],
        "b": [seen(1, box, 0.5)],
    }
    _, rows = detection.score(items, detections, 3)
    assert [[row[key] for key in ("objects", "found", "wrong")] for row in rows] == [[2, 1, 2], [0, 0, 1]]


def test_a_category_that_no_image_shows_changes_nothing():
    items, detections = study()
    metrics, _ = detection.score(items, detections, 3)
    more = {key: [*found, seen(999, [0, 0, 9, 9], 0.99)] for key, found in detections.items()}
    assert detection.score(items, more, 3)[0] == metrics


def test_nothing_found_at_all():
    items, detections = study()
    metrics, rows = detection.score(items, {key: [] for key in detections}, 3)
    assert metrics["AP"]["value"] == 0 and metrics["AP"]["ci"] == [0, 0]
    assert {row["found"] for row in rows} == {0}


@pytest.mark.parametrize(
    "broken",
    [
        {"category_id": 1, "bbox": [0, 0, 1, 1]},
        {"category_id": 1, "bbox": [0, 0, 1, 1], "score": float("nan")},
        {"category_id": 1, "bbox": [0, 0, 1], "score": 0.5},
        {"category_id": 1, "bbox": [0, 0, 1, "1"], "score": 0.5},
        {"category_id": 1, "bbox": [5, 5, -1, 1], "score": 0.5},
        {"category_id": "1", "bbox": [0, 0, 1, 1], "score": 0.5},
        {"category_id": -1, "bbox": [0, 0, 1, 1], "score": 0.5},
        {"category_id": 1, "bbox": None, "score": 0.5},
        {"bbox": [0, 0, 1, 1], "score": 0.5},
        [1, 2],
    ],
)
def test_a_detection_that_is_none_is_one_sentence(broken):
    items = [item("q", [thing(1, [0, 0, 50, 50])])]
    with pytest.raises(UserError, match=r"the prediction of item 'q' has .* as detections\[1\], where") as fault:
        detection.score(items, {"q": [seen(1, [0, 0, 5, 5], 0.5), broken]}, 3)
    assert "\n" not in str(fault.value)


def test_images_without_any_object_are_one_sentence():
    items = [item("a", []), item("b", [thing(1, [0, 0, 9, 9], crowd=1)])]
    with pytest.raises(UserError, match="none of the study's images has an object to find"):
        detection.score(items, {"a": [], "b": []}, 3)


def test_the_floor_is_the_box_of_each_category_that_finds_most():
    """Of category 5 two boxes overlap in shares of their images; the median of all three would find neither."""
    items = [
        item("a", [thing(5, [10, 10, 20, 20]), thing(2, [50, 0, 50, 100])], width=100, height=100),
        item("b", [thing(5, [20, 20, 40, 42]), thing(5, [0, 0, 200, 200], crowd=1)], width=200, height=200),
        item("c", [thing(5, [300, 0, 100, 300])], width=400, height=300),
    ]
    words, given = detection.blind_answers(items, 3)
    assert words == (
        "the best constant box of each of 2 categories, in every image, scored by the category's share of 4 objects"
    )
    assert given["a"] == [
        {"category_id": 5, "bbox": pytest.approx([10, 10, 20, 20]), "score": 0.75},
        {"category_id": 2, "bbox": pytest.approx([50, 0, 50, 100]), "score": 0.25},
    ]
    assert given["c"][0]["bbox"] == pytest.approx([40, 30, 80, 60])
    metrics, _ = detection.score(items, given, 3)
    # Of category 5 it finds two of three objects, the first by .95 and the second by .95 of the area; of 2 the one.
    assert 0.3 < metrics["AP"]["value"] < 1


def test_the_floor_stays_in_the_image_and_is_not_long():
    wide = [item(str(k), [thing(k, [0, 0, 640, 10]), thing(k, [320, 0, 320, 10])]) for k in range(120)]
    _, given = detection.blind_answers(wide, 3)
    assert len(given["0"]) == 100
    for one in given["0"]:
        x, y, w, h = one["bbox"]
        assert x >= 0 and y >= 0 and x + w <= 640 and y + h <= 480
    assert detection.blind_answers(wide[:1], 3)[0].startswith("the best constant box of the one category,")


def test_the_contract_of_a_track():
    assert detection.PRIMARY in detection.METRICS and set(detection.SHOWN) <= set(detection.METRICS)
    assert list(detection.METRICS) == list(average_precision.NAMES)
    assert detection.ANSWER == "detections"


def test_the_track_is_importable_without_heavy_libraries():
    code = (
        "import sys; import bitbudget.tracks.detection as t; assert t.PRIMARY in t.METRICS and t.FIGURES;"
        "sys.exit(any(name in sys.modules for name in ('numpy', 'pandas', 'torch', 'jsonschema', 'hotcoco')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, check=False).returncode == 0
