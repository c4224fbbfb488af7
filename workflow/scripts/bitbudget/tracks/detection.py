"""The detection track: an image, and a box with a category and a score around every object that a model finds.

Importable without any heavy library: the config is checked, and the workflow parsed, with nothing but Python.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bitbudget.metrics.matching import CONFIDENT

if TYPE_CHECKING:
    import numpy as np

    from bitbudget.stats import bootstrap

PRIMARY = "AP"
PROMPT = None  # a detector is asked nothing
RUNTIME = "litert"
IMAGES = True
ANSWER = "detections"
FEW_SHOT = False  # zero-shot is its only condition
DEFAULT_PRECISIONS = ("litert-float32", "litert-float16", "litert-int8")
FLOOR = "each category's best constant box (of its objects' boxes the one that finds most in all images)"
RESAMPLED = "images"
ITEM = "image"  # what a model is asked about
RATE = ("throughput", "images/s")  # the speed that the track is told by: a metric for every batch size, and its unit
FIGURES: tuple[str, ...] = ("detections",)
PHASES = ("preprocessing", "invoke", "postprocessing")
# For the paper: what its task's models are made of, what the metric punishes, and what others published.
BACKGROUND = (
    "A detector gives a set of boxes, each with a category and a score. Convolutional detectors score a grid of "
    "overlapping candidates and remove duplicates afterwards (non-maximum suppression). DETR predicts the set itself: "
    "each of a fixed number of queries is trained to find one object or none, so nothing has to be removed "
    "[@carion2020detr]. YOLOS does so with a plain vision transformer and a few more tokens [@fang2021yolos]; its "
    "matrix products are those of a language model. RT-DETR makes the encoder of images cheap enough for real time "
    "[@zhao2024rtdetr]. Most weights and nearly all arithmetic lie in the backbone; the heads that give coordinates "
    "are small, and what they give is used as it is.",
    "They are used in driver assistance, in inspecting goods, in counting people, animals or cells, and in cameras "
    "that must not send their pictures elsewhere. There a model is exported from the framework that trained it to a "
    "runtime for the device, here LiteRT [@litert], whose operators decide which number formats exist and which of "
    "them are fast: weights alone in 8 bits shrink the file, activations in 8 bits let the integer units of small "
    "processors work [@jacob2018integer]. The ranges of activations are measured once on calibration images, and an "
    "image unlike them is cut off at their ends. The size of the input is the other lever: half the side means a "
    "quarter of the pixels, and small objects are lost first.",
)
PUNISHES = {
    "AP": "AP averages over IoU thresholds up to .95 [@lin2014coco]: boxes that fit a little worse count as misses at "
    "the strict ones, so AP falls before anything is overlooked.",
}
RELATED = (
    "Full-integer EfficientDet-Lite is reported to go from 26.03 to 25.65 AP (lite0) and from 39.70 to 39.38 (lite4) "
    "on COCO, and lite0 from 193 to 122 ms an image on four threads of a Raspberry Pi 4, without intervals "
    "[@tsukamoto]. These models were designed for such devices; a detector that was not may lose more."
)

READS_TEXT = False
WHY_NO_OBJECTS = "boxes are no text; what a detector finds that is not there is in its scores."

BELOW_FLOOR = (
    "look at `classes` (ids, offset, names), `input` (mean, std, colour) and `outputs` of the model's `detector` in "
    "config/models.yaml"
)

TASK = "object detection"
GOAL = "which integer formats a detector bears, and which of them are really faster on a processor"
SCORED = (
    "Boxes are scored by COCO's evaluation [@lin2014coco]; AP is the mean over IoU thresholds from .50 to .95 and over "
    "the categories that the chosen images show."
)
APPLICATION = (
    "Detectors find objects for driver assistance, inspection and counting, mostly on devices with a small power "
    "budget and without a large GPU. Latency per image, the size of the file and the energy of a battery decide there "
    "[@jacob2018integer], and a runtime for such devices decides which formats exist at all [@litert]. Boxes are "
    "continuous, so rounding shows first in how tightly they fit and in small objects."
)
RISK = (
    "A missed object is silent. Where a detector guides a vehicle or watches people, an average over categories can "
    "hide that a format loses small or rare objects, and a detector of people is also a tool of surveillance whatever "
    "its number format."
)
RISK_IN_SHORT = "a detector may miss objects or find what is not there; a score is no certainty"

SCORE = {"unit": "score", "higher_is_better": True}
METRICS: dict[str, dict[str, Any]] = {
    "AP": {"label": "AP", **SCORE},
    "AP50": {"label": "AP50", **SCORE},
    "AP75": {"label": "AP75", **SCORE},
    "AP_small": {"label": "AP small", **SCORE},
    "AP_medium": {"label": "AP medium", **SCORE},
    "AP_large": {"label": "AP large", **SCORE},
    "AR_1": {"label": "AR max=1", **SCORE},
    "AR_10": {"label": "AR max=10", **SCORE},
    "AR_100": {"label": "AR max=100", **SCORE},
    "AR_small": {"label": "AR small", **SCORE},
    "AR_medium": {"label": "AR medium", **SCORE},
    "AR_large": {"label": "AR large", **SCORE},
}
SHOWN = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")  # in the figure of quality
SIZES = {
    "small": "below 32 x 32",
    "medium": "from 32 x 32 to 96 x 96",
    "large": "above 96 x 96",
}  # areas in pixels, as COCO divides them
WORTH = "objects found minus wrong boxes, at a score of .5 and an IoU of .5"

Item = Mapping[str, Any]
Detections = Sequence[Mapping[str, Any]]


def score(
    items: Sequence[Item], predictions: Mapping[str, Detections], seed: int, *, primary: str | None = None
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Score what a model found in each image against the objects that it shows, by COCO's evaluation of boxes.

    `items` are the lines of items.jsonl that were to be predicted; `predictions` maps each of their ids to its
    detections (`category_id`, `bbox` in pixels of the original image, `score`), none where nothing was found. Nothing
    but these images counts, and of the categories those that they show.

    Returned are the twelve metrics of the record, AP, AP50, AP75 and AR_100 with a 95 % bootstrap interval over images
    where at least ten show an object, and one dict an item: its id, its image; of the detections with a score of at
    least .5, at an IoU of .5, how many of its `objects` were `found` and how many detections were `wrong`, which shows
    where a precision loses what a user would see; and the `matches` of all detections, which a resample's AP is
    computed from (`average_precision.averages`). All metrics are computed, whichever is the study's `primary`.

    Raises `UserError` for a detection that is none, and where no item has an object.
    """
    from bitbudget.errors import UserError
    from bitbudget.metrics import average_precision

    for item in items:
        _check(item["id"], predictions[item["id"]])
    numbers, matches = average_precision.evaluate(
        {item["id"]: item["extra"]["objects"] for item in items},
        {item["id"]: predictions[item["id"]] for item in items},
    )
    if numbers[PRIMARY] is None:
        raise UserError("none of the study's images has an object to find; choose another subset.")
    rows = [
        {
            "id": item["id"],
            "image": item["images"][0]["id"],
            **_counts(matches[item["id"]]),
            "matches": matches[item["id"]],
        }
        for item in items
    ]
    return _metrics(numbers, rows, seed), rows


def _check(item: str, detections: Detections) -> None:
    """Raise `UserError` where an item's detections are not what `score` can work with."""
    from bitbudget.errors import UserError

    for number, one in enumerate(detections):
        if not _is_detection(one):
            raise UserError(
                f"the prediction of item {item!r} has {one!r} as detections[{number}], where a category_id, a bbox (x, "
                "y, width, height) of finite numbers and a finite score belong; predict this precision again."
            )


def _is_detection(one: Any) -> bool:
    import math

    if not isinstance(one, dict) or not isinstance(one.get("bbox"), list) or len(one["bbox"]) != 4:
        return False
    category, values = one.get("category_id"), [*one["bbox"], one.get("score")]
    if not all(type(value) in (int, float) and math.isfinite(value) for value in values):
        return False
    return type(category) is int and category >= 0 and min(one["bbox"][2:]) >= 0


def _counts(matches: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many objects an image has, how many were found, and how many detections were wrong, as a user sees it."""
    objects = found = wrong = 0
    for match in matches:
        objects += match["objects"]
        for value, right, ignored in zip(match["scores"], match["right"], match["ignored"], strict=True):
            found += value >= CONFIDENT and right & 1
            wrong += value >= CONFIDENT and not (right | ignored) & 1
    return {"objects": objects, "found": found, "wrong": wrong}


def resampled(rows: Sequence[Mapping[str, Any]]) -> bootstrap.Resampled:
    """How AP, AP50, AP75 and AR_100 follow from the images drawn; the other numbers are not computed anew.

    There are fewer resamples than of other metrics, and they are too high on the whole (`average_precision.interval`).
    """
    import numpy as np

    from bitbudget.metrics import average_precision
    from bitbudget.stats import bootstrap

    place = {row["id"]: number for number, row in enumerate(rows)}
    order = [place[key] for key in average_precision.in_order(place)]
    averages = average_precision.averager(rows)

    def of(times: np.ndarray) -> bootstrap.Values:
        kind = np.int32 if times.dtype.kind == "i" else np.float64
        return averages(np.ascontiguousarray(times[:, order].T, dtype=kind))

    return bootstrap.Resampled(
        tuple(row["id"] for row in rows),
        dict.fromkeys(average_precision.RESAMPLED, "matches"),
        of,
        resamples=average_precision.RESAMPLES,
        telling=sum(row["objects"] > 0 for row in rows),
        raised=True,
        shares=average_precision.shares([row["matches"] for row in rows]),
        outcome=lambda row, metric: average_precision.outcome(row["matches"], metric),
    )


def worth(row: Mapping[str, Any], metric: str) -> int:
    """What the detections of an image are worth by themselves, whichever the metric: objects found - wrong boxes.

    No number of COCO's is defined for a single image; more is better, as a user sees it.
    """
    return row["found"] - row["wrong"]


def _metrics(
    numbers: Mapping[str, float | None], rows: Sequence[Mapping[str, Any]], seed: int
) -> dict[str, dict[str, Any]]:
    """The record's metrics: values with their intervals, or the reason why one is absent."""
    from bitbudget import records
    from bitbudget.metrics import average_precision
    from bitbudget.stats import bootstrap

    by_image = {row["id"]: row for row in rows}
    resample = resampled([by_image[key] for key in average_precision.in_order(by_image)])
    drawn = bootstrap.draws([resample], seed)[0] if resample.telling >= bootstrap.FEWEST_UNITS else {}
    found = {}
    for name, about in METRICS.items():
        unit, better, value = about["unit"], about["higher_is_better"], numbers[name]
        if value is None:
            size = name.rpartition("_")[2]
            reason = f"no object is {size} (of an area {SIZES[size]} pixels); a larger subset may have some."
            found[name] = records.absent(reason, unit, higher_is_better=better)
            continue
        ci = average_precision.interval(value, drawn[name]) if name in drawn else None
        found[name] = records.metric(value, unit, higher_is_better=better, n=len(rows), ci=ci)
    return found


BLIND_BOXES = 100  # more in an image are not looked at


def blind_answers(
    items: Sequence[Item], seed: int, *, primary: str | None = None
) -> tuple[str, dict[str, list[dict[str, Any]]]]:
    """The same boxes in every image, for one who does not look: of each category its best constant box.

    Returned are the boxes in words, and the detections of each item's id. A category's box is that of its objects, in
    shares of the image, which finds most objects of the category where it is put into every image
    (`constant_boxes.best`); its score is the category's share of all objects. It is chosen on the very objects that it
    is then to find. Of more than a hundred categories the most frequent are taken. Nothing is drawn, so the seed does
    not matter.
    """
    import numpy as np

    from bitbudget.metrics import constant_boxes

    shares, images = defaultdict(list), defaultdict(list)
    for number, item in enumerate(items):
        width, height = item["extra"]["width"], item["extra"]["height"]
        for one in item["extra"]["objects"]:
            if not one["iscrowd"]:
                x, y, w, h = one["bbox"]
                shares[one["category_id"]].append((x / width, y / height, w / width, h / height))
                images[one["category_id"]].append(number)
    total = sum(map(len, shares.values()))
    chosen = []
    for category, boxes in sorted(shares.items(), key=lambda one: (-len(one[1]), one[0]))[:BLIND_BOXES]:
        best = constant_boxes.best(np.array(boxes), np.array(images[category]))
        chosen.append((category, boxes[best], len(boxes) / total))
    answers = {
        item["id"]: [
            {"category_id": category, "bbox": _scaled(box, item["extra"]), "score": value}
            for category, box, value in chosen
        ]
        for item in items
    }
    kinds = "the one category" if len(chosen) == 1 else f"each of {len(chosen)} categories"
    words = f"the best constant box of {kinds}, in every image, scored by the category's share of {total} objects"
    return words, answers


def _scaled(box: tuple[float, float, float, float], image: Mapping[str, Any]) -> list[float]:
    x, y, width, height = box
    return [x * image["width"], y * image["height"], width * image["width"], height * image["height"]]
