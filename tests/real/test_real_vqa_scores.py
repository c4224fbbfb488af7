"""Real VQA v2 answers: the formula and the normalisation against the official evaluation's steps on them."""

import json
import random
from pathlib import Path

import pytest

from bitbudget.metrics import short_answers
from bitbudget.tracks import vqa

QUESTIONS = Path(__file__).parents[3] / "shared" / "real" / "vqa" / "vqav2_on_coco_mini.json"

pytestmark = pytest.mark.skipif(
    not QUESTIONS.is_file(), reason=f"{QUESTIONS} is not there: the real files stand beside the checkout of the project"
)


@pytest.fixture(scope="module")
def annotations():
    return json.loads(QUESTIONS.read_text())["annotations"]


def given(annotation):
    return [one["answer"] for one in annotation["answers"]]


def left_one_out(answer, references):
    """The official formula, annotator by annotator, on answers that are normalised already."""
    accuracies = []
    for left_out in range(len(references)):
        others = references[:left_out] + references[left_out + 1 :]
        accuracies.append(min(1, others.count(answer) / 3))
    return sum(accuracies) / len(accuracies)


def test_accuracy_is_the_official_average_and_not_the_short_formula(annotations):
    official, short = [], []
    for annotation in annotations:
        for answer in sorted(set(given(annotation))):
            if not short_answers.normalise(answer):
                continue
            expected = left_one_out(answer, given(annotation))
            assert short_answers.vqa_accuracy(answer, given(annotation)) == pytest.approx(expected), answer
            official.append(expected)
            short.append(min(1, given(annotation).count(answer) / 3))
    assert all(one <= other for one, other in zip(official, short, strict=True))
    assert sum(official) < sum(short)


def test_published_answers_are_normalised_already(annotations):
    """So it makes no difference here that references are normalised also where annotators agree."""
    answers = [answer for annotation in annotations for answer in given(annotation)]
    assert len(answers) == 390
    assert [answer for answer in answers if short_answers.normalise(answer) != answer] == ["["]


def test_the_scores_of_a_run_on_real_questions(annotations):
    items = [
        {"id": str(one["question_id"]), "images": [{"id": str(one["image_id"])}], "references": given(one)}
        | {"extra": {name: one[name] for name in ("question_type", "answer_type")}}
        for one in annotations
    ]
    best = {str(one["question_id"]): one["multiple_choice_answer"].capitalize() + "." for one in annotations}
    metrics, rows = vqa.score(items, best, 1)
    expected = [left_one_out(one["multiple_choice_answer"], given(one)) for one in annotations]
    assert [row["vqa_accuracy"] for row in rows] == pytest.approx(expected)
    assert metrics["vqa_accuracy"]["value"] == pytest.approx(0.98718, abs=1e-5)
    assert metrics["exact_match"]["value"] == 1
    counts = {name: metric["n"] for name, metric in vqa.breakdown(items, rows, 1)["answer_type"].items()}
    assert counts == {"number": 17, "yes/no": 12, "other": 10}
    # One annotator against the other nine: what people themselves reach, below the best answer.
    drawn = {str(one["question_id"]): random.Random(i).choice(given(one)) for i, one in enumerate(annotations)}
    assert vqa.score(items, drawn, 1)[0]["vqa_accuracy"]["value"] < metrics["vqa_accuracy"]["value"]
    words, blind = vqa.blind_answers(items, 1)
    assert "to 'how many'" in words
    assert vqa.score(items, blind, 1)[0]["vqa_accuracy"]["value"] < 0.6
