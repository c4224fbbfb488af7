"""COCO's average precision of boxes: its twelve numbers, what was found in each image, and its bootstrap over images.

Definitions: https://cocodataset.org/#detection-eval. An object is found at an IoU threshold t where a detection of its
category overlaps it by at least t; detections choose objects by falling score, and each object is found once. AP is
the mean, over categories and the ten thresholds .50, .55 … .95, of the precision at the recalls 0, .01 … 1, AR that of
the recall. Objects marked as crowds need not be found, and a detection in one is neither right nor wrong.

hotcoco (MIT) computes the numbers and matches detections with objects, as pycocotools does to the last digit, but a
hundred times as fast: 1000 images with 100 detections each take 0.2 s in place of 21 s.

AP is no mean over images, so that a bootstrap has to compute it anew from each resample's matches. It needs no matching
again, as detections of an image are matched within it: an image that is drawn twice counts its matches twice.
"""

from __future__ import annotations

import contextlib
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitbudget.stats import bootstrap

# In the order in which COCO gives them.
NAMES = (
    "AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large",
    "AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large",
)  # fmt: skip
RESAMPLED = ("AP", "AP50", "AP75", "AR_100")  # what `averages` computes
THRESHOLDS = 10  # of the IoU: .50, .55 … .95; bit 0 of a match stands for .50
RECALLS = np.linspace(0.0, 1.0, 101)
MAX_DETECTIONS = 100  # of one category in one image; more are not looked at
# Other metrics have 10 000. Here 1000 take 2 s of 1000 images with 100 detections each and 80 categories, and 16 s of
# 5000; 10 000 take 27 s and minutes, for every precision. The ends of an interval from 1000 vary with the seed by some
# 2 % of its width. No p value from 1000 is below .002, so among 26 or more comparisons none is below .05 after Holm.
RESAMPLES = 1000
_CHUNK = 8_000_000  # counts held at once: 32 MB, or 64 MB of weights
_ROUNDING = 1e-9  # of a recall from weights that are no whole numbers: all that there is to find is a recall of 1

Box = Mapping[str, Any]
Matches = list[dict[str, Any]]


def evaluate(
    objects: Mapping[str, Sequence[Box]], detections: Mapping[str, Sequence[Box]]
) -> tuple[dict[str, float | None], dict[str, Matches]]:
    """The twelve numbers over these images, and what was found in each.

    `objects` has the true boxes of every image by its id (category_id, bbox, area, iscrowd), none for an image that
    shows nothing; `detections` has what a model found in the same images (category_id, bbox, score). Boxes are x, y,
    width, height in pixels. A number is None where there is nothing to find: no small object for `AP_small`.

    The matches of an image have one entry a category that it shows or that was found in it: `category_id`, `objects`
    (how many there are to find), and of each detection by falling score its `scores`, whether it is `right`, and
    whether it is `ignored`, the latter two as whole numbers whose bit t stands for the IoU threshold t.
    """
    ids = in_order(objects)
    numbers = {key: number for number, key in enumerate(ids, start=1)}
    truth = [{"image_id": numbers[key], **box} for key in ids for box in objects[key]]
    found = [{"image_id": numbers[key], **box} for key in ids for box in detections[key]]
    dataset = {
        "images": [{"id": number} for number in numbers.values()],
        "categories": [{"id": key, "name": str(key)} for key in sorted({box["category_id"] for box in truth + found})],
        "annotations": [{"id": number, **box} for number, box in enumerate(truth, start=1)],
    }
    values = _twelve(dataset, found)
    matches: dict[str, Matches] = {key: [] for key in ids}
    for number, match in _matches(dataset, found):
        matches[ids[number - 1]].append(match)
    return {name: None if value < 0 else value for name, value in zip(NAMES, values, strict=True)}, matches


def in_order(ids: Iterable[str]) -> list[str]:
    """Image ids in COCO's order, by number where all are numbers: it decides between detections of the same score."""
    listed = list(ids)
    return sorted(listed, key=int) if all(key.isdecimal() for key in listed) else sorted(listed)


def _evaluator(dataset: dict[str, Any], found: list[dict[str, Any]]) -> Any:
    from hotcoco import COCO, COCOeval

    truth = COCO(dataset)
    return COCOeval(truth, truth.load_res(found), "bbox")


def _twelve(dataset: dict[str, Any], found: list[dict[str, Any]]) -> list[float]:
    evaluator = _evaluator(dataset, found)
    evaluator.evaluate()
    evaluator.accumulate()
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a table
        evaluator.summarize()
    return [float(value) for value in evaluator.stats]


def _matches(dataset: dict[str, Any], found: list[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """The matches of each image and category, with the image's number.

    The library is asked only where there is something to match. Handing over its matches takes it ten times as long as
    finding them, and most detections are of a category that their image does not show: all of those are wrong.
    """
    shown = {(box["image_id"], box["category_id"]) for box in dataset["annotations"]}
    evaluator = _evaluator(dataset, [box for box in found if (box["image_id"], box["category_id"]) in shown])
    evaluator.params.area_rng, evaluator.params.area_rng_lbl = [[0.0, 1e10]], ["all"]
    evaluator.params.max_dets = [MAX_DETECTIONS]
    evaluator.evaluate()
    matches = []
    for pair in evaluator.eval_imgs:
        ignored = np.array(pair["dtIgnore"], dtype=bool)
        right = np.array(pair["dtMatched"], dtype=bool) & ~ignored
        objects = sum(not ignore for ignore in pair["gtIgnore"])
        match = _match(pair["category_id"], objects, pair["dtScores"], _packed(right), _packed(ignored))
        matches.append((pair["image_id"], match))
    wrong = defaultdict(list)
    for box in found:
        if (box["image_id"], box["category_id"]) not in shown:
            wrong[box["image_id"], box["category_id"]].append(box["score"])
    for (number, category), scores in wrong.items():
        scores = sorted(scores, reverse=True)[:MAX_DETECTIONS]
        matches.append((number, _match(category, 0, scores, [0] * len(scores), [0] * len(scores))))
    return sorted(matches, key=lambda one: (one[0], one[1]["category_id"]))


def _match(category: int, objects: int, scores: list[float], right: list[int], ignored: list[int]) -> dict[str, Any]:
    return {"category_id": category, "objects": objects, "scores": scores, "right": right, "ignored": ignored}


def _packed(flags: np.ndarray) -> list[int]:
    """Flags [thresholds, detections] as one whole number a detection."""
    return (flags * (1 << np.arange(THRESHOLDS))[:, None]).sum(axis=0).tolist()


@dataclass(frozen=True)
class _Category:
    """A category's matches in all images.

    `objects` [objects] and `detections` [detections, by falling score] are the numbers of the images in which these
    are; `right` and `ignored` are [thresholds, detections].
    """

    objects: np.ndarray
    detections: np.ndarray
    right: np.ndarray
    ignored: np.ndarray


def averages(rows: Sequence[Mapping[str, Any]], times: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """AP, AP50, AP75 and AR_100 of each resample, [resamples]; NaN where a resample has nothing to find.

    `rows` are those of item_scores.jsonl, one an image, with its `id` and `matches`. `times` [images, resamples]
    says how often each resample has each image, in whole numbers, or with what weight; images are in the order of
    `in_order`. None means all of them once, whose values are those of `evaluate`.
    """
    times = np.ones((len(rows), 1), dtype=np.int32) if times is None else times
    return averager(rows)(times)


def averager(rows: Sequence[Mapping[str, Any]]) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """`averages` of these rows as a function of `times`, for which their detections are sorted once."""
    by_image = {row["id"]: row["matches"] for row in rows}
    categories = _by_category([by_image[key] for key in in_order(by_image)])

    def averages_of(times: np.ndarray) -> dict[str, np.ndarray]:
        resamples = times.shape[1]
        # Of each threshold the summed precision and recall of the categories that a resample has, and their number.
        precision, recall = np.zeros((THRESHOLDS, resamples)), np.zeros((THRESHOLDS, resamples))
        present = np.zeros(resamples)
        for category in categories:
            step = max(1, _CHUNK // max(1, len(category.detections)))
            for start in range(0, resamples, step):
                part = slice(start, start + step)
                _add(category, times[:, part], precision[:, part], recall[:, part], present[part])
        with np.errstate(invalid="ignore"):
            precision, recall = precision / present, recall / present
        values = (precision.mean(axis=0), precision[0], precision[5], recall.mean(axis=0))
        return dict(zip(RESAMPLED, values, strict=True))

    return averages_of


def interval(value: float, drawn: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a number of `averages` from its resamples, which are moved so that their mean is the value.

    Precision at a recall is the best at this recall or a greater one, and the best of few detections is too good by
    chance: COCO's AP grows as images get fewer, and a resample, with the same images several times over, has less to
    show than they. Its AP is too high once more, by as much as a standard error (100 images: .524 on average in place
    of .505). Unmoved, the interval would stand askew of the value and might not even hold it. What it holds is the AP
    of other subsets of this size, not that of all images there could be.
    """
    drawn = drawn[np.isfinite(drawn)]
    low, high = bootstrap.interval(drawn + (value - drawn.mean()))
    return max(low, 0.0), min(high, 1.0)


def shares(matches: Sequence[Matches]) -> np.ndarray:
    """What share of the numbers of `averages` each image would take with it, were nothing found in it, [images].

    `matches` are those of each image. By the share that an image has of a category's objects the recall falls, and at
    the same precision AP as well; it is averaged over the categories, so that the shares of all images sum to 1.
    """
    totals: dict[int, int] = defaultdict(int)
    for image in matches:
        for one in image:
            totals[one["category_id"]] += one["objects"]
    held = np.array(
        [sum(one["objects"] / totals[one["category_id"]] for one in image if one["objects"]) for image in matches]
    )
    return held / held.sum()


def outcome(matches: Matches, name: str) -> Any:
    """What of an image's matches must differ between two detectors for the image to differ in a number of `averages`.

    The scores do not count: no image differs by them alone, and the slightest rounding changes all of them. For AR_100
    it is how many objects were found at each threshold; for AP, AP50 and AP75 which detections, by falling score, were
    right and which were ignored, at all thresholds, at .50, and at .75.
    """
    if name == "AR_100":
        return [(one["category_id"], one["objects"], _found_at_each(one["right"])) for one in matches]
    bits = {"AP": (1 << THRESHOLDS) - 1, "AP50": 1, "AP75": 1 << 5}[name]
    return [
        (one["category_id"], one["objects"], [[bits & flags for flags in one[key]] for key in ("right", "ignored")])
        for one in matches
    ]


def _found_at_each(right: Sequence[int]) -> list[int]:
    return [sum(flags >> threshold & 1 for flags in right) for threshold in range(THRESHOLDS)]


def _by_category(matches: Sequence[Matches]) -> list[_Category]:
    """The categories that have an object, from each image's matches."""
    of: dict[int, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    for number, image in enumerate(matches):
        for match in image:
            of[match["category_id"]].append((number, match))
    bits = (1 << np.arange(THRESHOLDS))[:, None]
    categories = []
    for pairs in of.values():
        images = [number for number, _ in pairs]
        objects = np.repeat(images, [match["objects"] for _, match in pairs])
        if not len(objects):
            continue
        detections = np.repeat(images, [len(match["scores"]) for _, match in pairs])
        scores, right, ignored = (
            np.array([value for _, match in pairs for value in match[key]], dtype=kind)
            for key, kind in (("scores", float), ("right", np.int64), ("ignored", np.int64))
        )
        order = np.argsort(-scores, kind="stable")  # as the library's
        right, ignored = (right[order] & bits > 0), (ignored[order] & bits > 0)
        categories.append(_Category(objects, detections[order], right, ignored))
    return categories


def _add(
    category: _Category, times: np.ndarray, precision: np.ndarray, recall: np.ndarray, present: np.ndarray
) -> None:
    """Add a category's AP and recall at each threshold, [thresholds, resamples], where it has an object to find.

    `times` is [images, resamples]; `present` [resamples] counts the categories that have one. Precision and recall need
    be known only where a detection is right: between two such places the recall stays and the precision falls. Copies
    of an image are counted at once, for the same reason.
    """
    objects = times[category.objects].sum(axis=0)
    slack = 0.0 if times.dtype.kind == "i" else _ROUNDING
    present += objects > 0
    weights = times[category.detections]
    looked_at = weights.cumsum(axis=0)
    for threshold in range(THRESHOLDS):
        places = np.flatnonzero(category.right[threshold])
        if not len(places):
            continue
        right = weights[places].cumsum(axis=0)
        counted = looked_at[places]
        ignored = np.flatnonzero(category.ignored[threshold])
        if len(ignored):
            before = np.vstack([np.zeros_like(objects)[None], weights[ignored].cumsum(axis=0)])
            counted = counted - before[np.searchsorted(ignored, places)]
        reached = right / np.where(objects > 0, objects, 1) + slack  # no object: none is right either
        best = right / (counted + np.spacing(1))
        best = np.maximum.accumulate(best[::-1], axis=0)[::-1]  # the precision at this recall or a greater one
        # At how many of the 101 recalls the precision is that of each place: those not reached before.
        points = np.diff(np.searchsorted(RECALLS, reached, side="right"), axis=0, prepend=0)
        precision[threshold] += (best * points).sum(axis=0) / len(RECALLS)
        recall[threshold] += reached[-1]
