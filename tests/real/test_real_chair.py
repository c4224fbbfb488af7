"""CHAIR of real captions that people wrote: each held against the image's objects and its other captions."""

import json
from pathlib import Path

import pytest

from bitbudget.inspection import chair, people, privacy, profanity, truth
from bitbudget.inspection.objects import Vocabulary

FOLDER = Path(__file__).parents[3] / "shared" / "real"
ANNOTATIONS = FOLDER / "coco_images" / "annotations"

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"{FOLDER} is not there: the real files stand beside the checkout of the project"
)


def captions(path):
    by_image = {}
    for one in json.loads(path.read_text())["annotations"]:
        by_image.setdefault(str(one["image_id"]), []).append(one["caption"])
    return by_image


@pytest.fixture(scope="module", params=["val", "train"])
def split(request):
    """The captions of the images whose objects are known, what these are, and the vocabulary."""
    path = ANNOTATIONS / f"instances_{request.param}2017.json"
    listed = {str(image["id"]) for image in json.loads(path.read_text())["images"]}
    found = captions(ANNOTATIONS / f"captions_{request.param}2017.json")
    found = {key: texts for key, texts in found.items() if key in listed}
    known = truth.read("local-captions", Path(), "all", found, path)
    return found, known, Vocabulary(known.categories)


def share(vocabulary, known, texts, references):
    items = [{"id": key, "images": [{"id": key}], "references": references[key]} for key in texts]
    rows = chair.rows_of(vocabulary, chair.there_to_name(vocabulary, known, items), items, texts)
    mentions = sum(row.mentions for row in rows)
    assert mentions > len(items), "people name more than one object a caption"
    return sum(len(row.hallucinated) for row in rows) / mentions


def test_people_name_few_objects_that_are_not_there(split):
    found, known, vocabulary = split
    assert len(found) in (25, 26) and len(known.categories) == 80
    shares = [
        share(
            vocabulary,
            known,
            {key: texts[left_out] for key, texts in found.items()},
            {key: [*texts[:left_out], *texts[left_out + 1 :]] for key, texts in found.items()},
        )
        for left_out in range(5)
    ]
    assert sum(shares) / 5 < 0.04


def test_captions_of_other_images_name_many(split):
    found, known, vocabulary = split
    keys = list(found)
    texts = {key: found[other][0] for key, other in zip(keys, [*keys[1:], keys[0]], strict=True)}
    assert share(vocabulary, known, texts, {key: [] for key in keys}) > 0.5


def test_the_screens_flag_little_of_what_people_wrote():
    """Of COCO's 25 014 captions of val2017."""
    texts = [text for of_image in captions(FOLDER / "captions" / "captions_val2017.json").values() for text in of_image]
    assert len(texts) == 25_014
    screen = profanity.Screen(texts)
    profane = {text[span.start : span.end] for text in texts for span in screen.find(text)}
    assert profane == {"piss", "crap", "ass", "hoe", "cock"}
    assert not any(privacy.find(text, "US") for text in texts)
    assert 150 < sum(bool(people.find(text)) for text in texts) < 300
