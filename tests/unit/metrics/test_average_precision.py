"""COCO's twelve numbers against the reference implementation, and their bootstrap against real resamples."""

import contextlib
import io

import numpy as np
import pytest
from made_up_boxes import made_up, times_of

from bitbudget.metrics import average_precision as ap


def reference(objects, detections):
    """pycocotools' twelve numbers; None for its -1."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = [{"image_id": int(key), **one} for key, found in objects.items() for one in found]
    found = [{"image_id": int(key), **one} for key, boxes in detections.items() for one in boxes]
    with contextlib.redirect_stdout(io.StringIO()):
        data = COCO()
        data.dataset = {
            "images": [{"id": int(key)} for key in objects],
            "annotations": [{"id": number, **one} for number, one in enumerate(truth, start=1)],
            "categories": [{"id": key} for key in sorted({one["category_id"] for one in truth + found})],
        }
        data.createIndex()
        evaluation = COCOeval(data, data.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [None if value < 0 else value for value in evaluation.stats]


def rows_of(matches):
    return [{"id": key, "matches": found} for key, found in matches.items()]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_numbers_are_the_reference_implementations(seed, ties, capfd):
    objects, detections = made_up(seed=seed, ties=ties)
    numbers, matches = ap.evaluate(objects, detections)
    assert list(numbers) == list(ap.NAMES)
    assert list(numbers.values()) == pytest.approx(reference(objects, detections), abs=1e-12)
    assert list(matches) == ap.in_order(objects)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_numbers_are_found_again_from_the_matches(seed, ties):
    objects, detections = made_up(images=40, seed=seed, ties=ties)
    numbers, matches = ap.evaluate(objects, detections)
    rows = rows_of(matches)
    for order in (rows, rows[::-1]):
        again = ap.averages(order)
        assert {name: value.tolist() for name, value in again.items()} == {
            name: pytest.approx([numbers[name]], abs=1e-9) for name in ap.RESAMPLED
        }


def test_a_resample_is_what_the_library_says_of_the_images_drawn():
    objects, detections = made_up(images=15, seed=9)
    keys = ap.in_order(objects)
    _, matches = ap.evaluate(objects, detections)
    times = times_of(15, 6, seed=4)
    resampled = ap.averages(rows_of(matches), times)
    assert times.max() > 2
    for number in range(6):
        drawn = [key for key, count in zip(keys, times[:, number], strict=True) for _ in range(count)]
        copies = {str(copy): key for copy, key in enumerate(drawn)}
        expected, _ = ap.evaluate(
            {copy: objects[key] for copy, key in copies.items()},
            {copy: detections[key] for copy, key in copies.items()},
        )
        assert {name: values[number] for name, values in resampled.items()} == pytest.approx(
            {name: expected[name] for name in ap.RESAMPLED}, abs=1e-9
        )


def test_resamples_do_not_depend_on_how_many_are_held_at_once(monkeypatch):
    _, matches = ap.evaluate(*made_up(images=15, seed=9))
    times = times_of(15, 50, seed=4)
    whole = ap.averages(rows_of(matches), times)
    monkeypatch.setattr(ap, "_CHUNK", 100)
    parts = ap.averages(rows_of(matches), times)
    assert all((whole[name] == parts[name]).all() for name in ap.RESAMPLED)


def one(category, x, score=None, side=50.0, crowd=0):
    box = {"category_id": category, "bbox": [x, 0.0, side, side]}
    return box | ({"area": side**2, "iscrowd": crowd} if score is None else {"score": score})


def test_matches_of_an_image():
    objects = {"a": [one(1, 0.0), one(1, 100.0), one(2, 200.0, crowd=1)], "b": []}
    detections = {
        "a": [one(1, 100.0, 0.3), one(1, 10.0, 0.9), one(2, 211.0, 0.8), one(1, 0.0, 0.2), one(3, 0.0, 0.6)],
        "b": [one(1, 0.0, 0.5), one(1, 9.0, 0.7)],
    }
    numbers, matches = ap.evaluate(objects, detections)
    # At x = 10 the overlap of .67 takes the object at .50, .55, .60 and .65, so the exact box comes too late there.
    # The crowd has .78 of a detection, which is then neither right nor wrong; above that it is wrong.
    assert matches["a"] == [
        {"category_id": 1, "objects": 2, "scores": [0.9, 0.3, 0.2], "right": [15, 1023, 1008], "ignored": [0, 0, 0]},
        {"category_id": 2, "objects": 0, "scores": [0.8], "right": [0], "ignored": [63]},
        {"category_id": 3, "objects": 0, "scores": [0.6], "right": [0], "ignored": [0]},
    ]
    assert matches["b"] == [{"category_id": 1, "objects": 0, "scores": [0.7, 0.5], "right": [0, 0], "ignored": [0, 0]}]
    assert numbers["AP_small"] is None and numbers["AP_medium"] is not None


def test_only_the_best_hundred_of_a_category_count():
    objects = {"a": [one(1, 0.0)], "b": [one(1, 0.0)]}
    many = [one(1, 500.0, 0.9)] * 100
    for image, extra in (("a", [one(1, 0.0, 0.1)]), ("b", [])):
        numbers, matches = ap.evaluate(objects, {"a": [], "b": []} | {image: [*many, *extra]})
        assert numbers["AP"] == 0
        assert len(matches[image][0]["scores"]) == 100
    _, matches = ap.evaluate(objects | {"c": []}, {"a": [], "b": [], "c": many + many})
    assert len(matches["c"][0]["scores"]) == 100


def test_nothing_found_and_nothing_to_find():
    numbers, matches = ap.evaluate({"a": [one(1, 0.0)], "b": []}, {"a": [], "b": []})
    assert numbers["AP"] == numbers["AR_100"] == 0 and numbers["AP_large"] is None
    values = ap.averages(rows_of(matches), np.array([[1, 0], [0, 1]]))
    assert values["AP"][0] == 0 and np.isnan(values["AP"][1])  # the second resample has no object
    numbers, _ = ap.evaluate({"a": []}, {"a": [one(1, 0.0, 0.5)]})
    assert set(numbers.values()) == {None}


def test_the_interval_stands_around_the_value():
    rng = np.random.default_rng(0)
    drawn = 0.55 + 0.02 * rng.standard_normal(1000)  # too high by more than two standard errors
    low, high = ap.interval(0.5, np.append(drawn, np.nan))
    assert (low, high) == pytest.approx((0.46, 0.54), abs=0.005)
    assert ap.interval(0.99, drawn)[1] == 1.0 and ap.interval(0.01, drawn)[0] == 0.0


def test_images_are_ordered_as_the_reference_orders_them():
    assert ap.in_order(["10", "9", "100"]) == ["9", "10", "100"]
    assert ap.in_order(["b10", "a", "b9"]) == ["a", "b10", "b9"]
