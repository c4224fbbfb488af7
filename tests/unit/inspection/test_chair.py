"""Objects that captions name: the vocabulary, and CHAIR by hand."""

import json
from importlib.util import find_spec

import numpy as np
import pytest

from bitbudget.datasets import demo_scenes
from bitbudget.errors import UserError
from bitbudget.inspection import chair, objects, truth
from bitbudget.inspection.objects import Vocabulary, named_by_people, plural
from bitbudget.stats import paired

COCO = list(objects.NAMES)[:80]
VOCABULARY = Vocabulary(COCO)


def named(text, vocabulary=VOCABULARY):
    return [" or ".join(sorted(one)) for one in vocabulary.mentions(text)]


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ("Two hot dogs next to a teddy bear.", ["hot dog", "teddy bear"]),
        ("A dog and a bear", ["dog", "bear"]),
        ("A man at home plate swings a bat.", ["person", "baseball bat"]),
        ("the toilet seat is up", ["toilet"]),
        ("a roll of toilet paper", []),
        ("Women, children and sheep", ["person", "person", "sheep"]),
        ("knives, scissors and skis", ["knife", "scissors", "skis"]),
        ("A double-decker bus at a bus stop", ["bus"]),
        ("A man's dogs' bowls", ["person", "dog", "bowl"]),
        ("an orange cat in an orange shirt", ["cat"]),
        ("an orange on a table and two oranges.", ["orange", "dining table", "orange"]),
        ("a cat that is orange", ["cat"]),
        ("a black bike", ["bicycle or motorcycle"]),
        ("a baby elephant", ["elephant"]),
        ("a couple of pizzas on a table", ["pizza", "dining table"]),
        ("cups of coffee", ["cup"]),
        ("a DOG, dog; dog", ["dog", "dog", "dog"]),
        ("an empty street under a grey sky", []),
        ("", []),
    ],
)
def test_mentions(text, objects):
    assert named(text) == objects


def test_all_eighty_categories_are_known_by_their_name_and_plural():
    assert len(COCO) == 80
    for category in COCO:
        assert named(f"there is a {category} here" if category != "orange" else "an orange on it") == [category]
        assert named(f"many {plural(category)}") == [category]


@pytest.mark.skipif(not find_spec("inflect"), reason="inflect, which knows more plurals, is not there")
def test_plurals_are_those_of_a_library_of_english():
    import inflect

    ours_alone = {"cattle", "skis", "broccoli", "shears"}  # the library makes these plural once more
    either = {"gentleman": "gentlemen", "flamingo": "flamingos"}
    library = inflect.engine()
    names = {*objects.NAMES, *(name for names in objects.NAMES.values() for name in names)} - ours_alone
    assert {n: plural(n) for n in names if plural(n) != library.plural_noun(n)} == either


def test_categories_without_words_of_ours_are_found_by_their_own():
    vocabulary = Vocabulary(["fire alarm", "Fox", "dog"])
    assert named("two foxes and a puppy near fire alarms, and a cat", vocabulary) == ["Fox", "dog", "fire alarm"]


def test_digits_are_names_and_what_holds_no_word_is_left_out():
    vocabulary = Vocabulary(["7", "0", "t-shirt", "traffic_light", "\N{DOG FACE}", "!?", "_", "\u72d7", "+"])
    assert vocabulary.left_out == ("\N{DOG FACE}", "!?", "_", "+")
    assert named("a 7, two 7s and a 17", vocabulary) == ["7", "7"]
    assert named("0! a t-shirt on traffic lights, \u72d7 ?!", vocabulary) == ["0", "t-shirt", "traffic_light", "\u72d7"]


def test_names_that_only_a_dash_tells_apart_are_both_meant():
    assert named("a t shirt", Vocabulary(["t-shirt", "t shirt"])) == ["t shirt or t-shirt"]


def row(hallucinated, mentions):
    return chair.Row(mentions, ("dog",) * hallucinated)


ITEMS = [
    {"id": "1", "images": [{"id": "i1"}], "references": ["a man rides a bike", "somebody on a horse"]},
    {"id": "2", "images": [{"id": "i2"}], "references": ["an empty room"]},
    {"id": "3", "images": [{"id": "i3"}], "references": ["a table"]},
]
SHOWN = {"i1": {"person"}, "i2": {"chair", "tv"}, "i3": {"cup"}}


def test_golden():
    """Rohrbach et al. 2018, section 2.1, by hand: 3 of 7 mentions, and 2 of 3 captions."""
    texts = {
        "1": "A man and a dog on a horse",  # the horse is in a reference only; the dog is nowhere
        "2": "A chair, a computer and two cats with a cat",  # a computer may be the tv
        "3": "Nothing at all",
    }
    there = chair.there_to_name(VOCABULARY, truth.Truth(tuple(COCO), SHOWN, "x"), ITEMS)
    assert there["1"] == {"person", "bicycle", "motorcycle", "horse"}
    rows = chair.rows_of(VOCABULARY, there, ITEMS, texts)
    assert [one.counts for one in rows] == [(1, 3, 1), (2, 4, 1), (0, 0, 0)]
    assert rows[1].hallucinated == ("cat", "cat")
    metrics = chair.Group.of([rows], ["1", "2", "3"], 1).metrics(0)
    assert metrics["chair_i"]["value"] == pytest.approx(3 / 7) and metrics["chair_s"]["value"] == pytest.approx(2 / 3)
    assert (metrics["chair_i"]["count"], metrics["chair_i"]["of"]) == (3, 7)
    assert "ci" not in metrics["chair_i"], "three captions have no interval"


def test_references_name_objects_too():
    assert named_by_people(VOCABULARY, ["a bike", "two dogs"]) == {"bicycle", "motorcycle", "dog"}


def test_no_mention_is_absent_and_not_zero():
    group = chair.Group.of([[row(0, 1)] * 12, [row(0, 0)] * 12], [str(i) for i in range(12)], 1)
    absent = group.metrics(1)["chair_i"]
    assert "value" not in absent and "no caption names" in absent["absent"]
    assert group.metrics(1)["chair_s"]["value"] == 0
    assert "no caption names" in group.differences(1)["chair_i"]["absent"]


def group_of(*rows):
    return chair.Group.of(rows, [str(i) for i in range(len(rows[0]))], 1)


def test_captions_that_hardly_name_an_object_have_no_interval_and_no_test():
    """A model that collapsed: nine captions that name something among two hundred are no sample of what it makes up."""
    base = [row(int(i % 10 == 0), 3) for i in range(200)]
    collapsed = [row(1, 2)] * 9 + [row(0, 0)] * 191
    group = group_of(base, collapsed)
    metric = group.metrics(1)["chair_i"]
    assert metric["value"] == 0.5 and "ci" not in metric and "only 9 of 200 captions" in metric["note"]
    found = group.differences(1)
    assert "value" not in found["chair_i"] and "only 9 of 200 captions of one of the two" in found["chair_i"]["absent"]
    assert found["chair_s"]["p_value"] < 0.1, "whether a caption makes something up is known of all"
    assert "ci" in group_of(base, [row(1, 2)] * 5 + [row(0, 2)] * 5 + [row(0, 0)] * 190).metrics(1)["chair_i"]


def test_naming_less_is_no_change_by_itself():
    """Four captions make something up; that a hundred others name one object less must not make them sixteen."""
    base = [row(0, 3)] * 104
    other = [row(1, 3)] * 4 + [row(0, 2)] * 100
    found = group_of(base, other).differences(1)["chair_i"]
    assert found["units_changed"] == 4 and found["p_value"] == paired.by_signs_alone(4) > 0.05
    assert found["ci"][0] <= 0


def test_resamples_without_a_mention_are_left_out_and_counted():
    kept, note = chair._numbers(np.array([0.5, np.nan, 0.25]))
    assert list(kept) == [0.5, 0.25] and note.startswith("1 of 3 resamples are left out")
    assert chair._numbers(np.array([0.5]))[1] is None


@pytest.mark.parametrize(("rows", "share"), [([row(0, 2)] * 30, 0), ([row(2, 2)] * 30, 1)])
def test_none_or_all_have_no_interval_without_width(rows, share):
    metrics = group_of(rows).metrics(0)
    assert metrics["chair_i"]["value"] == metrics["chair_s"]["value"] == share
    assert "ci" not in metrics["chair_i"] and "all resamples are alike" in metrics["chair_i"]["note"]
    upper = 1 - 0.025 ** (1 / 30)  # Clopper & Pearson at none of 30
    assert metrics["chair_s"]["ci"] == pytest.approx([0, upper] if share == 0 else [1 - upper, 1])
    assert "Clopper" in metrics["chair_s"]["note"]


def test_a_difference_that_all_resamples_share_has_the_interval_of_one_caption_more():
    limit = 1 - 0.025 ** (1 / 30)
    found = group_of([row(0, 2)] * 30, [row(2, 2)] * 30, [row(0, 2)] * 30)
    for metric in found.differences(1).values():
        assert metric["value"] == 1 and metric["p_value"] < 0.001
        assert metric["ci"] == pytest.approx([1 - 2 * limit, 1], abs=0.01)  # from one more that is not there, to 1
    for metric in found.differences(2).values():
        assert metric["p_value"] == 1 and metric["ci"] == pytest.approx([-limit, limit], rel=0.04)


def test_pairing_sees_what_unpaired_intervals_do_not():
    rng = np.random.default_rng(5)
    base = [row(int(one), 3) for one in rng.integers(0, 3, 400)]
    worse = [row(min(3, len(one.hallucinated) + (i % 25 == 0)), 3) for i, one in enumerate(base)]
    group = chair.Group.of([base, worse, base], [str(i) for i in range(400)], 1)
    before, after, found = group.metrics(0)["chair_i"], group.metrics(1)["chair_i"], group.differences(1)["chair_i"]
    assert before["ci"][1] > after["ci"][0], "apart they overlap"
    assert 0 < found["ci"][0] < found["value"] < found["ci"][1] and found["p_value"] < 0.01
    assert found["value"] == pytest.approx(after["value"] - before["value"])
    same = group.differences(2)["chair_i"]
    assert (same["value"], same["p_value"], same["units_changed"]) == (0, 1, 0)
    assert same["ci"] == pytest.approx([0.025 ** (1 / 400) - 1, 1 - 0.025 ** (1 / 400)], rel=0.04)


def test_captions_with_one_are_tested_by_mcnemar():
    base = [row(i < 20, 2) for i in range(100)]
    other = [row(5 <= i < 40, 2) for i in range(100)]  # 20 more, 5 fewer
    found = chair.Group.of([base, other], [str(i) for i in range(100)], 1).differences(1)["chair_s"]
    assert found["test"] == paired.MCNEMAR and found["p_value"] == pytest.approx(paired.mcnemar(20, 5))
    assert found["units_changed"] == 25 and found["value"] == pytest.approx(0.15)


def test_few_captions_give_no_difference_and_holm_counts_all_others():
    few = chair.Group.of([[row(0, 1)] * 3, [row(1, 1)] * 3], ["1", "2", "3"], 1).differences(1)
    assert "fewer than 10 captions" in few["chair_i"]["absent"]
    many = [{"metrics": {"chair_i": {"p_value": p}, "chair_s": few["chair_s"]}} for p in (0.01, 0.04)]
    chair.correct(many)
    assert [(one["metrics"]["chair_i"]["p_holm"], one["metrics"]["chair_i"]["family"]) for one in many] == [
        (0.02, 2),
        (0.04, 2),
    ]


def instances(path, ids):
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 9, "height": 9} for i in ids]
    box = {"id": 1, "image_id": ids[0], "category_id": 7, "bbox": [0, 0, 2, 2]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": [box], "categories": [{"id": 7, "name": "ring"}]}))


def test_what_images_show_is_read_where_it_is_known(tmp_path):
    assert demo_scenes.OBJECTS == demo_scenes.INSTANCES
    instances(tmp_path / "annotations/instances_val.json", [1, 2])
    known = truth.read("demo-scenes", tmp_path, "val", ["1", "2"], None)
    assert (known.categories, known.shown) == (("ring",), {"1": {"ring"}, "2": set()})
    assert truth.read("nocaps", tmp_path, "val", ["1"], None) is None
    assert truth.read("coco2017-captions", tmp_path, "val", ["1"], None) is None
    given = tmp_path / "annotations/instances_val.json"
    assert truth.read("nocaps", tmp_path, "val", ["1"], given).shown == {"1": {"ring"}}
    with pytest.raises(UserError, match=r"does not have the image '3' \(and 1 more\)"):
        truth.read("nocaps", tmp_path, "val", ["1", "3", "4"], given)


@pytest.mark.parametrize(
    ("kind", "track"),
    [
        ("coco2017-captions", "captioning"),
        ("nocaps", "captioning"),
        ("vqav2", "vqa"),
        ("demo-passages", "lambada"),
        ("demo-boxes", "detection"),
    ],
)
def test_the_reason_for_no_truth_is_a_sentence(kind, track):
    assert truth.why_none(kind, track).endswith(".")
