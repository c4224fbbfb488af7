"""A detector's specification: what is left out is filled in, and what is wrong is one sentence."""

import copy

import pytest

from bitbudget.config.validate import check, schema, with_defaults
from bitbudget.errors import UserError
from bitbudget.runtimes.litert.spec import complete

ENTRY = {"input": {"size": [320, 640]}, "outputs": {"kind": "detr"}}
YOLO = {"kind": "yolo", "objectness": True}


def test_defaults_are_filled_in_for_each_kind():
    given = copy.deepcopy(ENTRY)
    found = complete(given)
    assert given == ENTRY, "what was given stays as it is"
    assert found["input"] == {
        "size": [320, 640], "resize": "stretch", "padding": 114, "layout": "NHWC", "colour": "RGB",
        "mean": [0, 0, 0], "std": [255, 255, 255],
    }  # fmt: skip
    assert found["outputs"] == {"kind": "detr", "logits": 0, "boxes": 1, "activation": "softmax"}
    assert found["classes"] == {"ids": "identity", "offset": 0, "names": []}
    assert (found["nms"], found["score_threshold"], found["max_detections"]) == (None, 0, 300)
    ssd = complete(ENTRY | {"outputs": {"kind": "ssd", "count": "Identity_3"}})
    assert ssd["outputs"] == {"kind": "ssd", "boxes": 0, "classes": 1, "scores": 2, "count": "Identity_3"}
    assert ssd["nms"] is None


def test_boxes_of_a_yolo_are_suppressed_unless_it_is_said_that_they_are_not():
    found = complete(ENTRY | {"outputs": YOLO})
    assert (found["nms"], found["score_threshold"]) == ({"iou": 0.65}, 0.001)
    assert found["outputs"]["multi_label"] is True
    assert complete(ENTRY | {"outputs": YOLO | {"grid": "yolox"}})["outputs"]["multi_label"] is False
    assert complete(ENTRY | {"outputs": YOLO, "nms": None, "score_threshold": 0.3})["nms"] is None


def test_a_complete_one_is_left_alone():
    found = complete(ENTRY | {"outputs": YOLO})
    assert complete(found) == found


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"input": {}}, "the key `size` is missing in `input`; add it."),
        (
            {"input": {"size": [640]}},
            "`input.size` is a list, which does not fit: Height and width of the file's input",
        ),
        ({"input": {"size": [1, 2], "resise": "corner"}}, "no key `resise` in `input`; did you mean `resize`?"),
        ({"input": {"size": [1, 2], "std": [1, 0, 1]}}, "entry 2 of `input.std` is 0, and must be more than 0."),
        ({"input": {"size": [1, 2], "padding": 300}}, "`input.padding` is 300, and must be at most 255."),
        ({"outputs": {}}, "the key `kind` is missing in `outputs`; add it."),
        ({"outputs": {"kind": "yolov5"}}, "`outputs.kind` is 'yolov5', and must be one of ssd, detr, yolo"),
        ({"outputs": {"kind": "yolo"}}, "the key `objectness` is missing in `outputs`; add it."),
        ({"outputs": YOLO | {"stride": [8]}}, "there is no key `stride` in `outputs`; did you mean `strides`?"),
        ({"outputs": {"kind": "ssd", "logits": 0}}, "there is no key `logits` in `outputs`; known are kind, boxes, "),
        ({"classes": {"ids": "coco80"}}, "`classes.ids` is 'coco80', which does not fit: One of identity, coco-80 and"),
        ({"classes": {"ids": [1, "dog"]}}, "entry 2 of `classes.ids` is 'dog', and must be a whole number."),
        ({"nms": {"iou": 65}}, "`nms.iou` is 65, and must be at most 1"),
        ({"max_detections": 0}, "`max_detections` is 0, and must be at least 1"),
    ],
)
def test_what_is_wrong_is_one_sentence_that_begins_with_the_place(change, reason):
    with pytest.raises(UserError) as fault:
        complete(ENTRY | change, "`detector` of ssd")
    assert str(fault.value).startswith("`detector` of ssd: ")
    assert reason in str(fault.value)


@pytest.mark.parametrize("missing", ["input", "outputs"])
def test_input_and_outputs_must_be_there(missing):
    with pytest.raises(UserError, match=f"the key `{missing}` is missing; add it"):
        complete({key: value for key, value in ENTRY.items() if key != missing})


def test_a_table_of_models_may_say_a_part_of_it_and_it_stays_a_part():
    """Families that know the rest would be overruled by defaults that nobody asked for."""
    rules = schema("models")
    model = {"family": "yolos", "licence": "Apache-2.0", "hub": "a/b", "detector": {"input": {"size": [320, 320]}}}
    check({"m": model}, rules, "config/models.yaml")
    assert with_defaults(model, rules["additionalProperties"])["detector"] == {"input": {"size": [320, 320]}}
    with pytest.raises(
        UserError, match=r"config/models\.yaml: there is no key `inputs` in `m\.detector`; did you mean"
    ):
        check({"m": model | {"detector": {"inputs": {}}}}, rules, "config/models.yaml")


def test_every_key_is_described():
    def walk(rules, path):
        for key, rule in rules.get("properties", {}).items():
            if isinstance(rule, dict):
                assert rule.get("description"), f"{path}.{key}"
                walk(rule, f"{path}.{key}")
        for form in rules.get("allOf", ()):
            walk(form["then"], path)

    walk(schema("models")["$defs"]["detector"], "detector")
