"""Outputs to boxes, held against transformers' own post-processing, brute force, and models whose truth is known."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bitbudget.errors import UserError
from bitbudget.runtimes.litert.classes import COCO_80
from bitbudget.runtimes.litert.decoding import anchors, decode
from bitbudget.runtimes.litert.nms import iou, suppress
from bitbudget.runtimes.litert.spec import complete

HEIGHT, WIDTH = 96, 128
generator = np.random.default_rng


def spec_of(outputs, **more):
    return complete({"input": {"size": [HEIGHT, WIDTH]}, "outputs": outputs, "max_detections": 100} | more)


def run(arrays, spec, names=None, labels=None):
    names = names or [f"output_{k}" for k in range(len(arrays))]
    return decode([np.float32(a) for a in arrays], names, spec, "m/int8/model.tflite", "cat.jpg", labels)


def boxes_of(n, seed=0):
    """Boxes x1, y1, x2, y2 as shares, whole ones."""
    corners = generator(seed).uniform(size=(n, 2, 2))
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def centred(boxes):
    """The same boxes as cx, cy, w, h."""
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)


# --- suppression ---


def brute_force(boxes, scores, labels, threshold, most):
    order, kept = sorted(range(len(boxes)), key=lambda k: -scores[k]), []
    for k in order:
        if all(labels[k] != labels[j] or overlap(boxes[k], boxes[j]) <= threshold for j in kept):
            kept.append(k)
    return kept[:most]


def overlap(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("most", [5, 100, 1000])
def test_suppression_is_that_of_brute_force(threshold, most):
    for seed in range(5):
        boxes = boxes_of(150, seed)
        boxes[75:] = boxes[:75] + generator(seed + 50).normal(scale=0.02, size=(75, 4))  # near-doubles
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1e-3)
        scores = generator(seed + 99).uniform(size=150).round(2)  # some are equal
        labels = generator(seed + 7).integers(0, 3, 150)
        expected = brute_force(boxes, scores, labels, threshold, most)
        assert suppress(boxes, scores, labels, threshold, most).tolist() == expected


def test_suppression_of_nothing_is_nothing():
    empty = np.zeros(0)
    assert suppress(np.zeros((0, 4)), empty, empty.astype(int), 0.5, 100).tolist() == []


def test_boxes_without_area_cover_nothing():
    point = np.array([0.5, 0.5, 0.5, 0.5])
    assert iou(point, np.array([point, [0, 0, 1, 1], [0.6, 0.6, 0.4, 0.4]])).tolist() == [0, 0, 0]


def test_thirty_thousand_candidates_take_no_second():
    boxes, scores = boxes_of(30_000), generator(1).uniform(size=30_000)
    began = time.process_time()
    assert len(suppress(boxes, scores, generator(2).integers(0, 80, 30_000), 0.65, 100)) == 100
    assert time.process_time() - began < 1


# --- ssd ---


def ssd(boxes, labels, scores, count=None):
    """The four outputs; boxes as ymin, xmin, ymax, xmax."""
    return [np.array(boxes)[None][..., [1, 0, 3, 2]], [labels], [scores], [len(scores) if count is None else count]]


def test_an_ssd_gives_boxes_by_score_as_many_as_count():
    boxes = boxes_of(4)
    found, scores, labels = run(ssd(boxes, [7, 1, 1, 2], [0.3, 0.9, 0.5, 0.99], 3), spec_of({"kind": "ssd"}))
    assert labels.tolist() == [1, 1, 7]
    assert scores.tolist() == pytest.approx([0.9, 0.5, 0.3])
    assert found == pytest.approx(boxes[[1, 2, 0]])


def test_an_ssds_outputs_may_stand_in_any_order_and_are_named_by_number_or_name():
    boxes = boxes_of(2)
    given = ssd(boxes, [3, 4], [0.6, 0.7])
    names = ["count", "boxes", "scores", "classes"]
    shuffled = [given[3], given[0], given[2], given[1]]
    how = {"kind": "ssd", "boxes": "boxes", "classes": 3, "scores": "scores", "count": 0}
    found, _, labels = run(shuffled, spec_of(how), names)
    assert labels.tolist() == [4, 3]
    assert found == pytest.approx(boxes[::-1])


def test_what_lies_behind_the_count_may_be_anything():
    boxes = boxes_of(3)
    boxes[2] = np.nan
    assert len(run(ssd(boxes, [0, 0, 0], [0.5, 0.4, np.inf], 2), spec_of({"kind": "ssd"}))[0]) == 2
    assert len(run(ssd(boxes, [0, 0, 0], [0.5, 0.4, np.inf], 0), spec_of({"kind": "ssd"}))[0]) == 0


def test_padding_of_score_zero_is_no_box():
    assert len(run(ssd(boxes_of(3), [0, 0, 0], [0.5, 0, 0]), spec_of({"kind": "ssd"}))[0]) == 1


# --- detr ---


@pytest.mark.parametrize("queries", [20, 150])
def test_queries_are_those_of_transformers(queries):
    from transformers.models.yolos.image_processing_pil_yolos import YolosImageProcessorPil

    logits, boxes = generator(0).normal(size=(1, queries, 8), scale=3), centred(boxes_of(queries))[None]
    outputs = SimpleNamespace(logits=torch.tensor(logits).float(), pred_boxes=torch.tensor(boxes).float())
    (expected,) = YolosImageProcessorPil().post_process_object_detection(outputs, threshold=0.0)
    order = expected["scores"].argsort(descending=True)[:100]
    found, scores, labels = run([logits, boxes], spec_of({"kind": "detr"}))
    assert len(scores) == min(queries, 100)
    assert np.abs(scores - expected["scores"][order].numpy()).max() < 1e-6
    assert labels.tolist() == expected["labels"][order].tolist()
    assert np.abs(found - expected["boxes"][order].numpy()).max() < 1e-6


@pytest.mark.parametrize("queries", [20, 150])
def test_pairs_of_query_and_class_are_those_of_transformers(queries):
    from transformers.models.rt_detr.image_processing_pil_rt_detr import RTDetrImageProcessorPil

    logits, boxes = generator(1).normal(size=(1, queries, 8), scale=3), centred(boxes_of(queries))[None]
    outputs = SimpleNamespace(logits=torch.tensor(logits).float(), pred_boxes=torch.tensor(boxes).float())
    (expected,) = RTDetrImageProcessorPil().post_process_object_detection(outputs, threshold=0.0)
    found, scores, labels = run([logits, boxes], spec_of({"kind": "detr", "activation": "sigmoid"}))
    most = min(queries, 100)
    assert len(scores) == most
    assert np.abs(scores - expected["scores"][:most].numpy()).max() < 1e-6
    assert labels.tolist() == expected["labels"][:most].tolist()
    assert np.abs(found - expected["boxes"][:most].numpy()).max() < 1e-6


def test_logits_without_bound_are_fine():
    logits = np.array([[[500.0, -500, 0], [-500, -500, 500]]])
    with np.errstate(over="raise"):
        for activation in ("softmax", "sigmoid"):
            how = spec_of({"kind": "detr", "activation": activation}, score_threshold=0.5)
            _, scores, labels = run([logits, centred(boxes_of(2))[None]], how)
            assert (scores[0], labels[0]) == (1, 0)


# --- yolo ---

TRUTH = np.array([[0.1, 0.2, 0.4, 0.5], [0.5, 0.5, 0.9, 0.7], [0.3, 0.1, 0.35, 0.2]])
LABELS, SCORES = [2, 0, 2], [0.9, 0.8, 0.6]
ROWS = HEIGHT * WIDTH // 64 + HEIGHT * WIDTH // 256 + HEIGHT * WIDTH // 1024  # of strides 8, 16, 32


def logit(share):
    return np.log(share / (1 - share))


def yolo(*, objectness, transposed=False, boxes="xywh", units="pixels", activation="none", grid="none", classes=3):
    """The output of a YOLO that finds TRUTH, in the very middle of it and in one place beside that."""
    grids = [(*np.mgrid[: HEIGHT // s, : WIDTH // s][::-1], np.full((HEIGHT // s, WIDTH // s), s)) for s in (8, 16, 32)]
    places = np.concatenate([np.stack([part.ravel() for part in grid], axis=1) for grid in grids])  # x, y, stride
    rows = np.zeros((ROWS, 5 + classes))
    rows[:, :4] = [5, 5, 8, 8]
    scale = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])
    for number, (box, label, score) in enumerate(zip(TRUTH, LABELS, SCORES, strict=True)):
        for place, worse in ((10 * number, 1), (10 * number + 1, 0.5)):
            rows[place, :4] = centred(box[None])[0] * scale
            rows[place, 4] = worse
            rows[place, 5 + label] = score
    if boxes == "xyxy":
        rows[:, :4] = np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], axis=1)
    if units == "shares":
        rows[:, :4] /= scale
    if grid == "yolox":
        steps = places[:, 2:]
        rows[:, :4] = np.concatenate([rows[:, :2] / steps - places[:, :2], np.log(rows[:, 2:4] / steps)], axis=1)
    if not objectness:
        rows[:, 5:] *= rows[:, 4:5]
        rows = np.delete(rows, 4, axis=1)
    if activation == "sigmoid":
        rows[:, 4:] = logit(np.clip(rows[:, 4:], 1e-6, 1 - 1e-6))
    return [rows.T[None] if transposed else rows[None]]


FORMS = [
    {"objectness": True},
    {"objectness": False, "transposed": True},
    {"objectness": True, "units": "shares"},
    {"objectness": False, "transposed": True, "boxes": "xyxy", "units": "shares", "activation": "sigmoid"},
    {"objectness": True, "grid": "yolox"},
    {"objectness": True, "activation": "sigmoid", "boxes": "xyxy"},
]


@pytest.mark.parametrize("form", FORMS)
def test_a_yolo_of_every_form_finds_what_is_there_once(form):
    found, scores, labels = run(yolo(**form), spec_of({"kind": "yolo"} | form, score_threshold=0.01))
    assert labels.tolist() == LABELS
    assert np.abs(scores - SCORES).max() < 1e-5
    assert np.abs(found - TRUTH).max() < 1e-5


def test_without_suppression_doubles_stay():
    how = spec_of({"kind": "yolo", "objectness": True}, nms=None, score_threshold=0.01)
    assert len(run(yolo(objectness=True), how)[0]) == 6


@pytest.mark.parametrize(("multi_label", "expected"), [(True, [0, 2, 1]), (False, [0, 1])])
def test_a_row_may_count_for_every_class_or_for_its_best_alone(multi_label, expected):
    rows = np.zeros((1, 10, 7))
    rows[0, 0], rows[0, 1] = [20, 20, 9, 9, 0.9, 0, 0.8], [60, 60, 9, 9, 0, 0.5, 0.3]
    how = {"kind": "yolo", "objectness": False, "multi_label": multi_label}
    assert run([rows], spec_of(how, score_threshold=0.4))[2].tolist() == expected


# --- raw anchors, by hand: an input of 64 x 32 pixels has 4 x 8 places on level 3 and 2 x 4 on level 4 ---


def anchored(deltas, scores, **more):
    """Rows that are given by their number, the others with a score of 0 after the sigmoid."""
    ratios, sizes = more.get("aspect_ratios", [1, 2, 0.5]), more.get("num_scales", 3)
    boxes, logits = np.zeros((1, 40 * len(ratios) * sizes, 4)), np.full((1, 40 * len(ratios) * sizes, 2), -99.0)
    for row, delta in deltas.items():
        boxes[0, row] = delta
    for row, values in scores.items():
        logits[0, row] = values
    how = {"kind": "anchors", "min_level": 3, "max_level": 4} | more
    spec = complete({"input": {"size": [32, 64]}, "outputs": how, "max_detections": 100})
    return run([boxes, logits], spec)


def test_an_anchor_without_difference_is_its_own_box():
    """Row 13 of one anchor a place: place (1, 5) of level 3, centre y = 12, x = 44 pixels, and a side of 4 x 8."""
    boxes, scores, labels = anchored({}, {13: [-99, 0]}, num_scales=1, aspect_ratios=[1])
    assert boxes[0].tolist() == pytest.approx([(44 - 16) / 64, (12 - 16) / 32, (44 + 16) / 64, (12 + 16) / 32])
    assert (scores.tolist(), labels.tolist()) == ([0.5], [1])


def test_anchors_come_by_level_place_size_and_ratio():
    """Row 9 x 9 + 5: place (1, 1), second size of the octave, ratio 0.5: 3 x 8 x 2^(1/3) pixels, higher than wide."""
    boxes, _, _ = anchored({}, {9 * 9 + 5: [0, -99]}, anchor_scale=3)
    side = 24 * 2 ** (1 / 3)
    wide, high = side * 0.5**0.5, side / 0.5**0.5
    expected = [(12 - wide / 2) / 64, (12 - high / 2) / 32, (12 + wide / 2) / 64, (12 + high / 2) / 32]
    assert boxes[0].tolist() == pytest.approx(expected)
    last, _, _ = anchored({}, {-9: [0, -99]}, anchor_scale=3)  # first size and ratio of the last place of level 4
    assert last[0].tolist() == pytest.approx([(56 - 24) / 64, (24 - 24) / 32, (56 + 24) / 64, (24 + 24) / 32])


@pytest.mark.parametrize("scales", [[1, 1, 1, 1], [10, 10, 5, 5]])
def test_differences_are_in_units_of_the_anchor(scales):
    """y + 0.25 and x - 0.5 of 32 pixels, twice as high, as wide."""
    deltas = np.array([0.25, -0.5, np.log(2), 0]) * scales
    form = {"num_scales": 1, "aspect_ratios": [1], "box_scales": scales}
    boxes, _, _ = anchored({13: deltas}, {13: [1, -99]}, **form)
    assert boxes[0].tolist() == pytest.approx([(28 - 16) / 64, (20 - 32) / 32, (28 + 16) / 64, (20 + 32) / 32])


def test_levels_that_do_not_divide_the_input_have_one_place_more():
    """EfficientDet-Lite0 at 320 pixels: 40, 20, 10, 5 and 3 places a side, 9 anchors each."""
    how = complete({"input": {"size": [320, 320]}, "outputs": {"kind": "anchors"}})["outputs"]
    centres, sizes = anchors([320, 320], how)
    assert centres.shape == sizes.shape == (19206, 2)
    assert centres[-1].tolist() == pytest.approx([5 / 6, 5 / 6])


def test_other_numbers_of_anchors_are_refused_with_the_keys():
    spec = complete({"input": {"size": [32, 64]}, "outputs": {"kind": "anchors", "min_level": 3, "max_level": 4}})
    with pytest.raises(UserError, match=r"for 64 x 32 pixels and its levels 360 anchors.* correct the levels"):
        run([np.zeros((1, 361, 4)), np.zeros((1, 361, 2))], spec)


def test_a_higher_threshold_takes_the_place_of_the_entrys():
    arrays = [np.zeros((1, 360, 4)), np.full((1, 360, 2), -3.0)]
    spec = complete(
        {"input": {"size": [32, 64]}, "outputs": {"kind": "anchors", "min_level": 3, "max_level": 4}, "nms": None}
    )
    assert len(run(arrays, spec)[0]) == 300
    assert len(decode([np.float32(a) for a in arrays], ["a", "b"], spec, "f", "i", threshold=0.25)[0]) == 0


# --- what all have in common ---


def test_only_the_best_are_kept_and_of_equal_ones_the_first():
    boxes, scores = boxes_of(300), np.full(300, 0.5)
    scores[200] = 0.6
    _, best, labels = run(ssd(boxes, np.arange(300), scores), spec_of({"kind": "ssd"}))
    assert labels.tolist() == [200, *range(99)]
    assert best[0] == np.float32(0.6)
    assert len(run(ssd(boxes, np.arange(300), scores), spec_of({"kind": "ssd"}, max_detections=7))[0]) == 7
    assert len(run(ssd(boxes, np.arange(300), scores), spec_of({"kind": "ssd"}, score_threshold=0.5))[0]) == 1


def test_labels_that_do_not_count_take_no_place():
    scores = np.linspace(1, 0.5, 300)
    _, _, labels = run(ssd(boxes_of(300), np.arange(300) % 3, scores), spec_of({"kind": "ssd"}), labels={1})
    assert labels.tolist() == [1] * 100


BAD = [
    (lambda: ssd(boxes_of(3), [0, 0, np.nan], [0.5, 0.4, 0.3]), {"kind": "ssd"}),
    (lambda: ssd(boxes_of(3), [0, 0, 0], [0.5, 0.4, 0.3], np.nan), {"kind": "ssd"}),
    (lambda: [np.full((1, 4, 3), np.nan), np.zeros((1, 4, 4))], {"kind": "detr"}),
    (lambda: [np.zeros((1, 4, 3)), np.full((1, 4, 4), np.inf)], {"kind": "detr", "activation": "sigmoid"}),
    (lambda: [yolo(objectness=True)[0] * np.nan], {"kind": "yolo", "objectness": True}),
    (lambda: [np.full((1, ROWS, 8), 500.0)], {"kind": "yolo", "objectness": True, "grid": "yolox"}),
]


@pytest.mark.parametrize(("arrays", "how"), BAD)
def test_numbers_that_are_none_name_the_file_and_the_image(arrays, how):
    with pytest.raises(UserError, match=r"^m/int8/model\.tflite gives NaN or infinite numbers for image cat\.jpg: "):
        run(arrays(), spec_of(how))


NAMES = {"ids": "names", "names": ["cat", "dog", "owl"]}
COCO = {"ids": "coco-80"}


SSD, DETR, SIGMOID = {"kind": "ssd"}, {"kind": "detr"}, {"kind": "detr", "activation": "sigmoid"}
V5, V8 = {"kind": "yolo", "objectness": True}, {"kind": "yolo", "objectness": False}
YOLOX = V5 | {"grid": "yolox"}


@pytest.mark.parametrize(
    ("shapes", "how", "classes", "reason"),
    [
        ([(1, 9, 4), (1, 9)], SSD, {}, r"`outputs\.scores` .* is 2, which m/int8/model\.tflite does not have"),
        ([(1, 9, 4)], SSD | {"boxes": "rows"}, {}, r"`outputs\.boxes` .* is 'rows', .*: name one of these"),
        ([(1, 9), (1, 9, 4), (1, 9), (1,)], SSD, {}, r"kind: ssd`, which has boxes \(1, N, 4\).*say which"),
        ([(1, 9, 4), (1, 9), (1, 9), (1, 9)], SSD, {}, r"and a count \(1,\): its outputs are 0 `output_0` "),
        ([(1, 9, 4), (1, 9, 6)], DETR, {}, r"classes \+ 1\) and boxes .*; exchange `logits` and `boxes` in"),
        ([(1, 9, 6), (1, 8, 4)], DETR, {}, r"kind: detr`, .* `output_0` \(1, 9, 6\), 1 `output_1` \(1, 8, 4\)"),
        ([(1, 9, 3), (1, 9, 4)], DETR, NAMES, r"has here 3 classes, and so 4 .*; set `activation: sigmoid`"),
        ([(1, 9, 81), (1, 9, 4)], SIGMOID, COCO, r"so 80 .* `activation: softmax`"),
        ([(1, 9, 9), (1, 9, 4)], DETR, NAMES, r"and so 4 columns of logits.*; correct the labels in"),
        ([(1, 84, 8400)], V8, {}, r"\(1, N, 4 \+ classes\) .*; change `transposed` in"),
        ([(1, 84, 8400)], V8, COCO, r"\(1, N, 4 \+ 80\) .*; change `transposed` in"),
        ([(1, 99, 84)], V5, COCO, r"\(1, N, 5 \+ 80\) .*; change `objectness` in"),
        ([(1, 99, 90)], V5, COCO, r"; correct `output`, or the labels in `classes`, in"),
        ([(99, 85)], V5, COCO, None),
        ([(1, 3, 12, 16, 85)], V5, COCO, r"here one output \(1, N, 5 \+ 80\) for N"),
        ([(1, 99, 8)], YOLOX, NAMES, r"strides 8, 16, 32 252 rows: .*rect"),
    ],
)  # fmt: skip
def test_outputs_that_do_not_fit_are_one_sentence_with_their_shapes_and_the_key_to_change(shapes, how, classes, reason):
    given = [np.zeros(shape) for shape in shapes]
    if reason is None:
        assert len(run(given, spec_of(how, classes=classes))[0]) == 0
        return
    with pytest.raises(UserError, match=reason) as fault:
        run(given, spec_of(how, classes=classes))
    assert "m/int8/model.tflite" in str(fault.value)
    assert "config/models.yaml" in str(fault.value)
    for shape in shapes:
        assert str(shape) in str(fault.value)


def test_a_label_that_no_class_stands_for_is_named():
    given = ssd(boxes_of(3), [0, 80, 3], [0.5, 0.4, 0.3])
    with pytest.raises(UserError, match=r"gives label 80 for image cat\.jpg, and `classes` .* knows labels 0 to 79"):
        run(given, spec_of({"kind": "ssd"}, classes=COCO))
    assert len(COCO_80) == 80
    assert run(given, spec_of({"kind": "ssd"}))[2].tolist() == [0, 80, 3], "where labels are ids, some are unused"


@pytest.mark.parametrize(
    ("spec", "arrays", "words"),
    [
        (  # classes and scores exchanged
            {"kind": "ssd", "classes": 2, "scores": 1},
            ssd(np.full((2, 4), 0.5), np.array([68.0, 64.0]), np.array([0.9, 0.8])),
            "classes such as",
        ),
        (
            {"kind": "yolo", "objectness": False},
            [np.concatenate([np.full((1, 200, 4), 50.0), np.full((1, 200, 3), 2.99)], axis=2)],
            "scores from 2.99 to 2.99",
        ),
        (
            {"kind": "yolo", "objectness": False},
            [np.concatenate([np.full((1, 200, 4), 0.5), np.full((1, 200, 3), 0.9)], axis=2)],
            "boxes up to 0.5 pixels",
        ),
        (
            {"kind": "yolo", "objectness": False, "units": "shares"},
            [np.concatenate([np.full((1, 200, 4), 50.0), np.full((1, 200, 3), 0.9)], axis=2)],
            "boxes of 50 times the input",
        ),
    ],
)
def test_numbers_that_cannot_be_what_they_are_declared_to_be_are_refused(spec, arrays, words):
    with pytest.raises(UserError, match=words) as caught:
        run(arrays, spec_of(spec))
    assert "m/int8/model.tflite" in str(caught.value)
    assert "correct `outputs`" in str(caught.value)
