"""The reader of the VQA v2 format, and the folder of one's own questions that is read through it."""

import copy
import json

import pytest
from PIL import Image

from bitbudget.config.validate import check
from bitbudget.datasets import local_vqa, vqa_format, with_defaults
from bitbudget.errors import UserError

TEN = ["net", "net", "Net.", "", "tennis net", "net", "a net", "net", "net", "net"]
GOOD_QUESTIONS = {
    "info": {"version": "2.0"},
    "data_subtype": "val2014",
    "questions": [
        {"image_id": 458752, "question": "What is  this photo taken looking through?", "question_id": 458752000},
        {"image_id": 262146, "question": "Is the sky blue?", "question_id": 262146001, "hue": 3},
        {"image_id": 458752, "question": "What position is this man playing?", "question_id": 458752001},
    ],
}
GOOD_ANNOTATIONS = {
    "annotations": [
        {
            "question_type": kind,
            "multiple_choice_answer": "net",
            "answers": [{"answer": a, "answer_confidence": "yes", "answer_id": n} for n, a in enumerate(TEN, 1)],
            "image_id": image,
            "answer_type": answer_type,
            "question_id": key,
        }
        for key, image, kind, answer_type in (
            (262146001, 262146, "is the", "yes/no"),
            (458752000, 458752, "what is this", "other"),
            (458752001, 458752, "what", "other"),
        )
    ]
}


def good():
    return copy.deepcopy(GOOD_QUESTIONS), copy.deepcopy(GOOD_ANNOTATIONS)


def read(tmp_path, questions, annotations, **given):
    paths = tmp_path / "asked.json", tmp_path / "answered.json"
    for path, content in zip(paths, (questions, annotations), strict=True):
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return vqa_format.read_questions(*paths, lambda question: f"{question['image_id']}.jpg", **given)


def test_questions_keep_their_order_their_texts_and_all_ten_answers(tmp_path):
    found = read(tmp_path, *good(), keep=("hue", "nothing"))
    assert [item.id for item in found] == ["458752000", "262146001", "458752001"]
    first, second, third = found
    assert first.question == "What is  this photo taken looking through?"
    assert first.references == tuple(TEN)
    assert first.extra == {"question_type": "what is this", "answer_type": "other"}
    assert second.extra == {"question_type": "is the", "answer_type": "yes/no", "hue": 3}
    assert first.images == third.images and first.images[0].id == "458752"


def test_both_lists_may_stand_in_one_file_and_types_may_be_missing(tmp_path):
    questions, annotations = good()
    for annotation in annotations["annotations"]:
        del annotation["question_type"], annotation["answer_type"]
        annotation["answers"] = TEN  # plain texts
    path = tmp_path / "both.json"
    path.write_text(json.dumps(questions | annotations))
    found = vqa_format.read_questions(path, path, lambda question: f"{question['image_id']}.jpg")
    assert found[0].references == tuple(TEN) and found[0].extra == {}


def asked(change):
    return lambda q, a: change(q["questions"])


def answered(change):
    return lambda q, a: change(a["annotations"])


FAULTS = {
    r"asked\.json .* needs the list `questions`": lambda q, a: q.pop("questions"),
    r"answered\.json .* needs the list `annotations`": lambda q, a: a.pop("annotations"),
    r"answered\.json .* needs the list `annotations`\.": lambda q, a: a.update(annotations={}),
    r"asked\.json: questions\[1\] is not an object": asked(lambda q: q.__setitem__(1, "Is the sky blue?")),
    r"asked\.json: questions\[1\] has no `question_id`": asked(lambda q: q[1].pop("question_id")),
    r"asked\.json: questions\[2\] has no `image_id`": asked(lambda q: q[2].pop("image_id")),
    r"asked\.json: questions\[0\] has no `question`": asked(lambda q: q[0].pop("question")),
    r"asked\.json: questions\[0\] has None as its `image_id`": asked(lambda q: q[0].update(image_id=None)),
    r"asked\.json: questions\[0\] has 1\.5 as its `question_id`": asked(lambda q: q[0].update(question_id=1.5)),
    r"asked\.json: questions\[0\] has True as its `question_id`": asked(lambda q: q[0].update(question_id=True)),
    r"asked\.json has the question id 458752000 twice": asked(lambda q: q.append(dict(q[0]))),
    r"asked\.json: question 262146001 has no text as its `question`": asked(lambda q: q[1].update(question=" \n")),
    r"asked\.json: question 262146001 has no text as its `question`; ": asked(lambda q: q[1].update(question=["Is?"])),
    r"asked\.json: question 262146001 has no annotation in .*answered\.json": answered(lambda a: a.pop(0)),
    r"answered\.json has an annotation of question 458752001, which .*asked\.json does not": asked(lambda q: q.pop()),
    r"question 262146001 is about the image 262147, but .* about 262146": asked(lambda q: q[1].update(image_id=262147)),
    r"answered\.json has two annotations of the question 262146001": answered(lambda a: a.append(dict(a[0]))),
    r"answered\.json: annotations\[0\] has no `answers`": answered(lambda a: a[0].pop("answers")),
    r"annotation of question 262146001 has 9 answers; give exactly 10": answered(lambda a: a[0]["answers"].pop()),
    r"annotation of question 262146001 has no answer; give exactly 10": answered(lambda a: a[0].update(answers=[])),
    r"annotation of question 262146001 has 11 answers": answered(lambda a: a[0]["answers"].append({"answer": "x"})),
    r"annotation of question 262146001 has str as its `answers`": answered(lambda a: a[0].update(answers="yes")),
    r"annotation of question 262146001 has \{.*\} as answers\[3\]": answered(
        lambda a: a[0]["answers"].__setitem__(3, {"answer_id": 4})
    ),
    r"annotation of question 262146001 has \{'answer': 4\} as answers\[3\]": answered(
        lambda a: a[0]["answers"].__setitem__(3, {"answer": 4})
    ),
    r"question 262146001 has no text as its `answer_type`": answered(lambda a: a[0].update(answer_type=7)),
    r"asked\.json asks no question": lambda q, a: (q["questions"].clear(), a["annotations"].clear()),
    r"asked\.json has the image id '\.\./7', which cannot be a file's name": lambda q, a: [
        entry.update(image_id="../7") for entry in (q["questions"][1], a["annotations"][0])
    ],
}


@pytest.mark.parametrize("sentence", FAULTS)
def test_faults_are_one_sentence_with_the_file_and_the_entry(tmp_path, sentence):
    questions, annotations = good()
    FAULTS[sentence](questions, annotations)
    with pytest.raises(UserError, match=sentence) as fault:
        read(tmp_path, questions, annotations)
    assert "\n" not in str(fault.value) and str(fault.value).endswith(".")


def test_cut_off_file_is_named(tmp_path):
    questions, annotations = good()
    with pytest.raises(UserError, match=r"answered\.json is not valid JSON"):
        read(tmp_path, questions, json.dumps(annotations)[:-30])


def test_number_and_text_that_look_alike_are_different_ids(tmp_path):
    questions, annotations = good()
    annotations["annotations"][0]["question_id"] = "262146001"
    with pytest.raises(UserError, match="question 262146001 has no annotation"):
        read(tmp_path, questions, annotations)
    questions["questions"][2]["question_id"] = "262146001"
    annotations["annotations"][0]["question_id"] = 262146001
    annotations["annotations"][2]["question_id"] = "262146001"
    with pytest.raises(UserError, match="item id '262146001' twice"):
        read(tmp_path, questions, annotations)


def test_one_answer_is_enough_where_the_set_has_no_ten(tmp_path):
    questions, annotations = good()
    annotations["annotations"][0]["answers"] = [{"answer": "yes"}]
    found = read(tmp_path, questions, annotations, answers=None)
    assert found[1].references == ("yes",) and len(found[0].references) == 10
    annotations["annotations"][0]["answers"] = []
    with pytest.raises(UserError, match="has no answer; give at least one"):
        read(tmp_path, questions, annotations, answers=None)


# ---- local-vqa


@pytest.fixture
def local(tmp_path):
    """Options of a folder with images that bear their COCO names, for one by `file_name`."""
    questions, annotations = good()
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for name in ("COCO_val2014_000000458752.jpg", "more/sky.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / "photos" / name)
    questions["questions"][1]["file_name"] = "more/sky.jpg"
    (tmp_path / "q.json").write_text(json.dumps(questions))
    (tmp_path / "a.json").write_text(json.dumps(annotations))
    own = {name: str(tmp_path / where) for name, where in (("images", "photos"), ("questions", "q.json"))}
    own |= {"annotations": str(tmp_path / "a.json"), "pattern": "COCO_val2014_{image_id:012d}.jpg"}
    return with_defaults(local_vqa, "local-vqa", own)


def test_local_vqa_keeps_copies_and_points_at_the_images(local, tmp_path):
    found = local_vqa.fetch(local, tmp_path / "out", tmp_path / "partial")
    assert found["licence"] is None and set(found["files"]) == {local_vqa.QUESTIONS, local_vqa.ANNOTATIONS}
    (tmp_path / "q.json").unlink()
    (tmp_path / "a.json").unlink()
    items = local_vqa.read_items(local, tmp_path / "out", "all")
    photo, sky = (str(tmp_path / "photos" / n) for n in ("COCO_val2014_000000458752.jpg", "more/sky.jpg"))
    assert [item.images[0].source for item in items] == [photo, sky, photo]


def test_local_vqa_revision_changes_with_either_file(local, tmp_path):
    first = local_vqa.fetch(local, tmp_path / "out", tmp_path / "partial")["revision"]
    path = tmp_path / "a.json"
    path.write_text(path.read_text().replace("tennis net", "a tennis net"))
    assert local_vqa.fetch(local, tmp_path / "out", tmp_path / "partial")["revision"] != first


def test_local_vqa_default_pattern_is_the_id(local, tmp_path):
    (tmp_path / "photos/COCO_val2014_000000458752.jpg").rename(tmp_path / "photos/458752.jpg")
    local["pattern"] = local_vqa.OPTIONS["pattern"]["default"]
    local_vqa.fetch(local, tmp_path / "out", tmp_path / "partial")
    assert local_vqa.read_items(local, tmp_path / "out", "all")[0].images[0].source.endswith("/photos/458752.jpg")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda f, o: (f / "photos/more/sky.jpg").unlink(),
            r"q\.json: question .* is about more/sky\.jpg, which is not in the ",
        ),
        (
            lambda f, o: o.update(pattern="{image_id}.jpg"),
            r"question .458752001. is about 458752\.jpg, which is not in the image folder",
        ),
        (lambda f, o: o.update(images=str(f / "gone")), r"image folder .*gone.* does not exist"),
        (lambda f, o: o.update(annotations=str(f / "gone.json")), r"gone\.json does not exist"),
        (
            lambda f, o: rename(f, "../sky.jpg"),
            r"question 262146001 has the file name '\.\./sky\.jpg'; use a path inside",
        ),
        (lambda f, o: rename(f, "/sky.jpg"), r"question 262146001 has the file name '/sky\.jpg'; use a path inside"),
        (lambda f, o: rename(f, 7), r"question 262146001 has the file name 7; use a path inside"),
    ],
)
def test_local_vqa_faults(local, tmp_path, change, sentence):
    change(tmp_path, local)
    with pytest.raises(UserError, match=sentence) as fault:
        local_vqa.fetch(local, tmp_path / "out", tmp_path / "partial")
    assert "\n" not in str(fault.value) and not (tmp_path / "out").exists()


def rename(folder, name):
    content = json.loads((folder / "q.json").read_text())
    content["questions"][1]["file_name"] = name
    (folder / "q.json").write_text(json.dumps(content))


def test_local_vqa_pattern_with_digits_needs_a_number(local, tmp_path):
    questions, annotations = good()
    for entry in (questions["questions"][1], annotations["annotations"][0]):
        entry["image_id"] = "sky"
    (tmp_path / "q.json").write_text(json.dumps(questions))
    (tmp_path / "a.json").write_text(json.dumps(annotations))
    with pytest.raises(
        UserError, match=r"question 262146001 has the image id 'sky', which is no number as the pattern"
    ):
        local_vqa.fetch(local, tmp_path / "out", tmp_path / "partial")


@pytest.mark.parametrize(
    "pattern", ["photo.jpg", "{image}.jpg", "{image_id!r}.jpg", "{image_id.real}", "{image_id:>9}"]
)
def test_local_vqa_refuses_patterns_that_mean_nothing(pattern):
    rules = {"properties": {"pattern": local_vqa.OPTIONS["pattern"]}}
    with pytest.raises(UserError, match="pattern"):
        check({"pattern": pattern}, rules, "a.yaml")
    check({"pattern": "val/COCO_{image_id:012d}.png"}, rules, "a.yaml")
