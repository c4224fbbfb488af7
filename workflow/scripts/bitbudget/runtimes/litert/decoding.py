"""From the numbers that a detector's file gives to boxes with scores and labels.

Four kinds of outputs are known; each says below where its arithmetic comes from. Boxes are x1, y1, x2, y2 as shares of
the model's input throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from bitbudget.errors import UserError
from bitbudget.runtimes.litert.classes import WHERE, number_of_labels
from bitbudget.runtimes.litert.nms import suppress

Found = tuple[np.ndarray, np.ndarray, np.ndarray]
NEARLY = 0.01  # what a quantized output may miss 0, 1 or a whole number by
MANY_ROWS = 100  # of which, in a real head, some lie far from the input's upper left corner
MOST_CANDIDATES = 30_000  # before suppression, as Ultralytics' `max_nms`


class Outputs:
    """The outputs of one inference, found by number or name and held against what the specification expects."""

    def __init__(self, arrays: Sequence[np.ndarray], names: Sequence[str], spec: dict[str, Any], file: str, image: str):
        self.arrays, self.names, self.spec, self.file, self.image = arrays, names, spec, file, image

    def take(self, key: str) -> np.ndarray:
        """The output that `outputs.{key}` means. Raises `UserError` where the file has no such output."""
        which = self.spec["outputs"][key]
        number = self.names.index(which) if which in self.names else which
        if isinstance(number, str) or number >= len(self.arrays):
            raise UserError(
                f"`outputs.{key}` {WHERE} is {which!r}, which {self.file} does not have; "
                f"its outputs are {self.listed()}: name one of these."
            )
        return self.arrays[number]

    def listed(self) -> str:
        """Every output with its number, name and shape."""
        pairs = zip(self.names, self.arrays, strict=True)
        return ", ".join(f"{k} `{name}` {array.shape}" for k, (name, array) in enumerate(pairs))

    def misfit(self, expected: str, remedy: str) -> UserError:
        """The sentence for outputs of other shapes than their kind has."""
        kind = self.spec["outputs"]["kind"]
        return UserError(
            f"{self.file} does not fit `outputs.kind: {kind}`, which has {expected}: "
            f"its outputs are {self.listed()}; {remedy} in `outputs` {WHERE}."
        )

    def implausible(self, found: str, key: str) -> UserError:
        """The sentence for outputs of the right shapes whose numbers cannot be what they are declared to be."""
        return UserError(
            f"{self.file} gives {found} for image {self.image}, which cannot be what its outputs ({self.listed()}) are "
            f"declared to be; correct `outputs` {WHERE}, for instance its `{key}`."
        )

    def refuse_not_finite(self, *used: np.ndarray) -> None:
        """Raise `UserError` for numbers that are none, which would pass for boxes without a score."""
        if not all(np.isfinite(array).all() for array in used):
            raise UserError(
                f"{self.file} gives NaN or infinite numbers for image {self.image}: the model does not survive this "
                "precision, so leave it out of the study, or make the file again if the baseline does so too."
            )


def decode(
    arrays: Sequence[np.ndarray],
    names: Sequence[str],
    spec: dict[str, Any],
    file: str,
    image: str,
    labels: Collection[int] | None = None,
    threshold: float | None = None,
) -> Found:
    """Boxes [n, 4], scores [n] and labels [n] by descending score, at most `max_detections`, above `score_threshold`.

    `arrays` are the file's outputs in its order, as floats, and `names` what they are called; `spec` is a detector's
    whole specification. Only boxes of `labels` count where some are given; a higher `threshold` takes the place of the
    specification's. Raises `UserError`, which names `file`,
    where shapes do not fit the declared kind, and with `image` where a number is NaN or infinite.
    """
    if threshold is not None:
        spec = spec | {"score_threshold": max(threshold, spec["score_threshold"])}
    outputs = Outputs(arrays, names, spec, file, image)
    boxes, scores, found = KINDS[spec["outputs"]["kind"]](outputs)
    if len(scores) and not -NEARLY <= scores.min() <= scores.max() <= 1 + NEARLY:
        raise outputs.implausible(f"scores from {scores.min():.3g} to {scores.max():.3g}", "activation` or `scores")
    count = number_of_labels(spec["classes"])
    if count is not None and len(found) and not 0 <= found.min() <= found.max() < count:
        stray = found.max() if found.max() >= count else found.min()
        raise UserError(
            f"{file} gives label {stray} for image {image}, and `classes` {WHERE} knows labels 0 to {count - 1}: "
            "complete it, or correct its `offset`."
        )
    if labels is not None:
        wanted = np.isin(found, list(labels))
        boxes, scores, found = boxes[wanted], scores[wanted], found[wanted]
    if spec["nms"]:
        best = _best(scores, MOST_CANDIDATES)
        kept = best[suppress(boxes[best], scores[best], found[best], spec["nms"]["iou"], spec["max_detections"])]
    else:
        kept = _best(scores, spec["max_detections"])
    return boxes[kept], scores[kept], found[kept]


def _ssd(outputs: Outputs) -> Found:
    """TensorFlow Lite's own operator TFLite_Detection_PostProcess: boxes that are suppressed and sorted already.

    Its four outputs: boxes ymin, xmin, ymax, xmax, classes, scores, and how many of these count
    (tensorflow/lite/kernels/detection_postprocess.cc).
    """
    boxes, classes, scores, count = (outputs.take(key) for key in ("boxes", "classes", "scores", "count"))
    n = boxes.shape[1] if boxes.ndim == 3 else -1
    if boxes.shape != (1, n, 4) or classes.shape != (1, n) or scores.shape != (1, n) or count.size != 1:
        raise outputs.misfit(
            "boxes (1, N, 4), classes (1, N), scores (1, N) and a count (1,)", "say which output is which"
        )
    outputs.refuse_not_finite(count)
    valid = slice(0, max(0, int(count.item())))
    boxes, classes, scores = boxes[0, valid], classes[0, valid], scores[0, valid]
    outputs.refuse_not_finite(boxes, classes, scores)
    if len(classes) and (classes.min() < 0 or np.abs(classes - np.rint(classes)).max() > NEARLY):
        raise outputs.implausible(
            f"classes such as {classes[np.abs(classes - np.rint(classes)).argmax()]:g}", "classes"
        )
    chosen = scores > outputs.spec["score_threshold"]
    return boxes[chosen][:, [1, 0, 3, 2]], scores[chosen], np.rint(classes[chosen]).astype(int)


def _detr(outputs: Outputs) -> Found:
    """A set of queries, each with logits of the classes and a box cx, cy, w, h.

    `softmax`: a query is what its likeliest class is, the last of them, "no object", left out (Carion et al. 2020,
    arXiv 2005.12872, and its `PostProcess`). `sigmoid`: each pair of query and class is a candidate of its own, and the
    best of them all are taken, as many as there are queries (Zhu et al. 2020, arXiv 2010.04159; RT-DETR).
    """
    logits, boxes = outputs.take("logits"), outputs.take("boxes")
    softmax = outputs.spec["outputs"]["activation"] == "softmax"
    queries, columns = logits.shape[1:] if logits.ndim == 3 else (-1, -1)
    if logits.shape != (1, queries, columns) or boxes.shape != (1, queries, 4) or columns <= softmax:
        swapped = boxes.ndim == 3 and logits.shape == (1, boxes.shape[1], 4)
        remedy = "exchange `logits` and `boxes`" if swapped else "say which output is `logits` and which is `boxes`"
        classes = "classes + 1" if softmax else "classes"
        raise outputs.misfit(f"logits (1, queries, {classes}) and boxes (1, queries, 4)", remedy)
    _refuse_other_classes(outputs, columns, softmax)
    outputs.refuse_not_finite(logits, boxes)
    if softmax:
        shares = np.exp(logits[0] - logits[0].max(axis=1, keepdims=True))
        shares = shares[:, :-1] / shares.sum(axis=1, keepdims=True)
        query, labels = np.arange(queries), shares.argmax(axis=1)
        scores = shares[query, labels]
    else:
        every = _sigmoid(logits[0]).ravel()
        best = _best(every, queries)
        query, labels = np.divmod(best, columns)
        scores = every[best]
    chosen = scores > outputs.spec["score_threshold"]
    return _corners(boxes[0, query[chosen]]), scores[chosen], labels[chosen]


def _yolo(outputs: Outputs) -> Found:
    """One row for each place of the grids: a box, perhaps how sure it is that there is an object, and the classes.

    Rows as YOLOv5 has them (score = objectness x class) and YOLOv8 (no objectness; the array is transposed), both
    github.com/ultralytics. Boxes of `grid: yolox` are relative to their place (Ge et al. 2021, arXiv 2107.08430;
    `decode_outputs` of Megvii-BaseDetection/YOLOX). `multi_label`: every class of a row above the threshold is a
    candidate, as Ultralytics' validation has it; otherwise the row's best class alone, as YOLOX'.
    """
    how, threshold = outputs.spec["outputs"], outputs.spec["score_threshold"]
    rows = outputs.take("output")
    before = 5 if how["objectness"] else 4
    if rows.ndim == 3 and len(rows) == 1:
        rows = rows[0]
    rows = rows.T if how["transposed"] else rows
    _refuse_other_rows(outputs, rows.shape, before)
    outputs.refuse_not_finite(rows)
    scores = rows[:, before:]
    if how["activation"] == "sigmoid":
        scores = _sigmoid(scores)
    if how["objectness"]:
        sure = rows[:, 4:5]
        scores = scores * (_sigmoid(sure) if how["activation"] == "sigmoid" else sure)
    place, labels = _candidates(scores, threshold, how["multi_label"])
    height, width = outputs.spec["input"]["size"]
    boxes = rows[:, :4]
    if how["grid"] == "yolox":
        boxes = _on_grid(outputs, boxes, height, width)
    boxes = boxes[place]
    if how["units"] == "pixels":
        if len(rows) >= MANY_ROWS and np.abs(rows[:, :4]).max() <= 2 and how["grid"] == "none":
            raise outputs.implausible(f"boxes up to {np.abs(rows[:, :4]).max():.2g} pixels", "units")
        boxes = boxes / np.float32([width, height, width, height])
    elif len(rows) >= MANY_ROWS and np.median(np.abs(rows[:, :4])) > 2:
        raise outputs.implausible(f"boxes of {np.median(np.abs(rows[:, :4])):.3g} times the input", "units")
    boxes = _corners(boxes) if how["boxes"] == "xywh" else boxes
    outputs.refuse_not_finite(boxes)
    return boxes, scores[place, labels], labels


def _anchors(outputs: Outputs) -> Found:
    """Scores of the classes, and for each anchor how a box differs from it: y, x, log h, log w, in the anchor's units.

    As EfficientDet's own post-processing has it (Tan et al. 2020, arXiv 1911.09070; `decode_box_outputs` of
    google/automl), and MediaPipe's TensorsToDetectionsCalculator. `box_scales` are what the four numbers were trained
    to be multiplied with: 1 for EfficientDet, 10, 10, 5, 5 for SSD (Liu et al. 2016, arXiv 1512.02325).
    """
    how, spec = outputs.spec["outputs"], outputs.spec
    deltas, scores = outputs.take("boxes"), outputs.take("scores")
    centres, sizes = anchors(spec["input"]["size"], how)
    n, count = len(centres), number_of_labels(spec["classes"])
    columns = scores.shape[2] if scores.ndim == 3 else 0
    if deltas.shape != (1, n, 4) or scores.shape != (1, n, columns) or not columns or count not in (None, columns):
        height, width = spec["input"]["size"]
        raise outputs.misfit(
            f"for {width} x {height} pixels and its levels {n} anchors, so boxes (1, {n}, 4) and scores (1, {n}, "
            f"{'classes' if count is None else count})",
            "say which output is which, or correct the levels, `num_scales`, `aspect_ratios` or `classes`",
        )
    outputs.refuse_not_finite(deltas, scores)
    scores = _sigmoid(scores[0]) if how["activation"] == "sigmoid" else scores[0]
    place, labels = _candidates(scores, spec["score_threshold"], how["multi_label"])
    y, x, h, w = (deltas[0, place] / np.float32(how["box_scales"])).T
    (centre_y, centre_x), (size_y, size_x) = centres[place].T, sizes[place].T
    with np.errstate(over="ignore"):
        boxes = np.stack([x * size_x + centre_x, y * size_y + centre_y, np.exp(w) * size_x, np.exp(h) * size_y], axis=1)
    outputs.refuse_not_finite(boxes)
    return _corners(boxes), scores[place, labels], labels


def anchors(size: Sequence[int], how: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Centres and sizes (y, x) of EfficientDet's anchors, each [n, 2], as shares of an input of (height, width) pixels.

    On each level of the pyramid the input was halved so many times, rounded up. Each place of it has `num_scales` sizes
    within an octave, and each of these the `aspect_ratios` (width over height), in this order.
    """
    kinds = [
        (2 ** (octave / how["num_scales"]) * how["anchor_scale"], ratio**0.5)
        for octave in range(how["num_scales"])
        for ratio in how["aspect_ratios"]
    ]
    shares = np.float64([[scale / root, scale * root] for scale, root in kinds])
    centres, sizes = [], []
    for level in range(how["min_level"], how["max_level"] + 1):
        grid = [-(-side // 2**level) for side in size]
        places = np.stack(np.meshgrid(*((np.arange(count) + 0.5) / count for count in grid), indexing="ij"), axis=-1)
        centres.append(np.repeat(places.reshape(-1, 2), len(kinds), axis=0))
        sizes.append(np.tile(shares / np.float64(grid), (len(places.reshape(-1, 2)), 1)))
    return np.concatenate(centres), np.concatenate(sizes)


KINDS: dict[str, Callable[[Outputs], Found]] = {"ssd": _ssd, "detr": _detr, "yolo": _yolo, "anchors": _anchors}


def _candidates(scores: np.ndarray, threshold: float, multi_label: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows and labels with a score [rows, classes] above the threshold: all, or of each row the best alone."""
    if multi_label:
        return np.nonzero(scores > threshold)
    labels = scores.argmax(axis=1)
    place = np.flatnonzero(scores[np.arange(len(scores)), labels] > threshold)
    return place, labels[place]


def _on_grid(outputs: Outputs, raw: np.ndarray, height: int, width: int) -> np.ndarray:
    """Boxes cx, cy, w, h in pixels of the input, from offsets to their place in the grids of all strides."""
    strides = outputs.spec["outputs"]["strides"]
    places, steps = [], []
    for stride in strides:
        y, x = np.mgrid[: height // stride, : width // stride]
        places.append(np.stack([x.ravel(), y.ravel()], axis=1))
        steps.append(np.full((x.size, 1), stride))
    place, step = np.concatenate(places), np.concatenate(steps).astype(np.float32)
    if len(place) != len(raw):
        raise outputs.misfit(
            f"for {width} x {height} pixels and strides {', '.join(map(str, strides))} {len(place)} rows",
            "correct `strides` (or `input.size`)",
        )
    with np.errstate(over="ignore"):  # found out, and refused, by the caller
        return np.concatenate([(raw[:, :2] + place) * step, np.exp(raw[:, 2:]) * step], axis=1)


def _refuse_other_rows(outputs: Outputs, shape: tuple[int, ...], before: int) -> None:
    """Raise `UserError` where rows of this shape are no boxes with `before` numbers and then the model's classes."""
    count = number_of_labels(outputs.spec["classes"])

    def fits(shape: tuple[int, ...], before: int) -> bool:
        # where nobody says how many classes there are, a detector has more places than classes
        return len(shape) == 2 and (before < shape[1] <= shape[0] if count is None else shape[1] - before == count)

    if fits(shape, before):
        return
    remedy = "correct `output`, or the labels in `classes`,"
    if fits(shape[::-1], before):
        remedy = "change `transposed`"
    elif fits(shape, 9 - before):
        remedy = "change `objectness`"
    wide = f"{before} + {'classes' if count is None else count}"
    order = f"(1, {wide}, N)" if outputs.spec["outputs"]["transposed"] else f"(1, N, {wide})"
    raise outputs.misfit(f"here one output {order} for N places", remedy)


def _refuse_other_classes(outputs: Outputs, columns: int, softmax: bool) -> None:
    """Raise `UserError` where logits with so many columns have another number of classes than the labels' table."""
    count = number_of_labels(outputs.spec["classes"])
    if count is not None and columns - softmax != count:
        remedy = "correct the labels in `classes`, or `logits`"
        if columns - (not softmax) == count:
            remedy = f"set `activation: {'sigmoid' if softmax else 'softmax'}`"
        raise outputs.misfit(f"here {count} classes, and so {count + softmax} columns of logits", remedy)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without overflow."""
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1, small) / (1 + small)


def _best(scores: np.ndarray, most: int) -> np.ndarray:
    """The places of the highest scores, at most so many, the highest first; of equal ones the first."""
    if len(scores) > most:
        least = np.partition(scores, len(scores) - most)[len(scores) - most]
        above, level = np.flatnonzero(scores > least), np.flatnonzero(scores == least)
        chosen = np.sort(np.concatenate([above, level[: most - len(above)]]))
    else:
        chosen = np.arange(len(scores))
    return chosen[np.argsort(-scores[chosen], kind="stable")]


def _corners(boxes: np.ndarray) -> np.ndarray:
    """x1, y1, x2, y2 of boxes given by centre, width and height, [n, 4]."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=1)
