"""Worked examples: chosen once, the same for all, and never what is evaluated."""

import pytest

from bitbudget.errors import UserError
from bitbudget.items import shots
from bitbudget.items.item import ImageRef, Item
from bitbudget.items.shot_choice import choose


def item(number, image=None, answers=("red",) * 10, source=None):
    image = image or f"picture{number}"
    return Item(str(number), (ImageRef(image, source or f"{image}.jpg"),), "What?", tuple(answers))


TRAIN = [item(number) for number in range(100)]


def ids(chosen):
    return [one.id for one in chosen]


def test_conditions_say_how_many():
    assert [shots.number_of(c) for c in ("zero-shot", "1-shot", "4-shot", "16-shot")] == [0, 1, 4, 16]


def test_fewer_examples_are_the_first_of_more_and_the_order_of_the_file_does_not_matter():
    eight = ids(choose(TRAIN, [], 8, 53, "train"))
    assert ids(choose(TRAIN[::-1], [], 4, 53, "train")) == eight[:4]
    assert ids(choose(TRAIN, [], 8, 54, "train")) != eight


def test_examples_are_neither_evaluated_items_nor_show_their_images():
    first = choose(TRAIN, [], 4, 53, "train")
    same_item, same_image, same_source = (
        first[0],
        item(500, first[1].images[0].id),
        item(501, "x", source="picture7.jpg"),
    )
    others = choose(TRAIN, [same_item, same_image, same_source], 97, 53, "train")
    assert not {first[0].id, first[1].id, "7"} & set(ids(others))
    assert len(others) == 97, "only what is forbidden is left out"


def test_every_example_has_an_image_of_its_own():
    crowded = [item(number, f"picture{number // 5}") for number in range(100)]
    chosen = choose(crowded, [], 20, 53, "train")
    assert len({one.images[0].id for one in chosen}) == 20


def test_too_few_are_one_sentence():
    with pytest.raises(UserError, match=r"^the split 'train' has only 100 items for few-shot examples .* and 101 are"):
        choose(TRAIN, [], 101, 53, "the split 'train'")


def test_an_example_shows_the_most_common_answer():
    assert shots.answer_of(["maroon", "red", " red", "red"]) == "red"
    assert shots.answer_of([]) == ""
    unanswered = item(900, answers=())
    assert ids(choose([unanswered, TRAIN[0]], [], 1, 53, "train")) == ["0"]
