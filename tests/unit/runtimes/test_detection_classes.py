"""Labels to categories: by id, in COCO's order, by name or by list; and what cannot be said is said."""

import pytest

from bitbudget.errors import UserError
from bitbudget.runtimes.litert.classes import COCO_80, category_ids, number_of_labels, without_category

CATEGORIES = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}, {"id": 90, "name": "toothbrush"}]


def classes(ids="identity", offset=0, names=()):
    return {"ids": ids, "offset": offset, "names": list(names)}


def test_coco_has_80_categories_between_1_and_90():
    assert len(COCO_80) == 80
    assert (COCO_80[0], COCO_80[11], COCO_80[79]) == (1, 13, 90)
    # the places of well-known ids in the lists of 80 names that YOLO models come with
    assert [COCO_80.index(number) for number in (18, 44, 62, 72, 77)] == [16, 39, 56, 62, 67]


@pytest.mark.parametrize(
    ("given", "expected", "count"),
    [
        (classes(), {1: 1, 18: 18, 90: 90}, None),
        (classes(offset=1), {0: 1, 17: 18, 89: 90}, None),
        (classes(offset=-1), {2: 1, 19: 18, 91: 90}, None),
        (classes("coco-80"), {0: 1, 16: 18, 79: 90}, 80),
        (classes("coco-80", offset=-1), {1: 1, 17: 18, 80: 90}, 81),
        (classes("names", names=["Dog", "cat", "tooth_brush", "toothbrush"]), {0: 18, 3: 90}, 4),
        (classes("names", offset=1, names=["background", "dog", "person"]), {0: 18, 1: 1}, 2),
        (classes([90, 1, 1]), {0: 90, 1: 1, 2: 1}, 3),
    ],
)
def test_each_label_has_its_category_and_others_are_left_out(given, expected, count):
    assert category_ids(given, CATEGORIES) == expected
    assert number_of_labels(given) == count


def test_an_identity_with_an_offset_leaves_no_label_below_zero():
    assert category_ids(classes(offset=18), CATEGORIES) == {0: 18, 72: 90}


def test_names_that_no_category_has_are_told():
    assert without_category(classes("names", names=["dog", "dragon"]), CATEGORIES) == ["dragon"]
    assert without_category(classes(), CATEGORIES) == []


@pytest.mark.parametrize(
    ("given", "categories", "reason"),
    [
        (
            classes([1, 18, 19]),
            CATEGORIES,
            r"label 2 is category 19, which the data set does not have; .* are 1, 18, 90",
        ),
        (classes("names"), CATEGORIES, r"`classes\.names` .* has none; list"),
        (
            classes("names", names=["kite"]),
            CATEGORIES,
            r"as 'kite' is not: its categories are person, dog, toothbrush; name",
        ),
        (classes("coco-80"), [{"id": 200, "name": "square"}], r"\(ids coco-80, offset 0\).*category ids are 200"),
        (classes(offset=1000), CATEGORIES, r"\(ids identity, offset 1000\) of which the data set has no category"),
        (classes([5]), [{"id": k, "name": str(k)} for k in range(10, 40)], r"are 10, 11, 12, 13, 14, 15, …, 39\."),
    ],
)
def test_what_does_not_fit_is_one_sentence(given, categories, reason):
    with pytest.raises(UserError, match=reason) as fault:
        category_ids(given, categories)
    assert "config/models.yaml" in str(fault.value)
    assert "\n" not in str(fault.value)


def test_numbers_that_fit_by_chance_are_refused_where_no_name_fits():
    """A model of COCO on boxes of one's own: its first label is no scratch."""
    own = [{"id": 1, "name": "scratch"}, {"id": 2, "name": "dent"}]
    named = classes("identity", names=["N/A", "person", "bicycle"])
    with pytest.raises(UserError, match=r"makes 'scratch' of label 1, which the model calls 'person'.*`ids: names`"):
        category_ids(named, own)
    other = [{"id": 1, "name": "person"}, {"id": 2, "name": "push-bike"}]
    assert category_ids(named, other) == {1: 1, 2: 2}, "one name that fits shows that the numbers are meant so"
