"""Reading people's ratings back: refused where they do not fit, joined with the precisions, held against the metric."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from config_folder import is_one_sentence
from spot_check_study import CELLS, HOSTILE, SpotCheckStudy, row

from bitbudget.errors import UserError
from bitbudget.spot_check import human, ratings
from bitbudget.spot_check.agreement import kappa, kappa_interval, wilson
from bitbudget.spot_check.cards import Card, card_id
from bitbudget.spot_check.folder import needed_rating_files, rating_files
from bitbudget.spot_check.ratings import Rating, Ratings

ALL = {("q1", "red"): "right", ("q2", "yes"): "right", ("q2", ""): "wrong", ("q3", HOSTILE): "wrong"}
ALL |= {("q3", "STOP"): "partly"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> SpotCheckStudy:
    """The study with its page; tests work on copies of it."""
    study = SpotCheckStudy(tmp_path_factory.mktemp("finished") / "study")
    done = study.make()
    assert done.returncode == 0, done.stderr
    return study


@pytest.fixture
def study(finished: SpotCheckStudy, tmp_path: Path) -> SpotCheckStudy:
    copy = SpotCheckStudy(tmp_path / "study")
    shutil.copytree(finished.folder, copy.folder, dirs_exist_ok=True)
    return copy


def content(words: dict[tuple[str, str], str], rater: str = "anna", study: str = "tiny-vqa", **more: Any) -> dict:
    """A ratings file's content; `more` goes into every card."""
    return {
        "ratings_of": "bitbudget spot check",
        "study": study,
        "rater": rater,
        "saved": "2025-01-31T12:00:00.000Z",
        "cards": {
            card_id(study, row(item), answer): {"item": item, "answer": answer, "rating": word, "unsafe": False}
            | {"comment": "", **more}
            for (item, answer), word in words.items()
        },
    }


def file(folder: Path, made: Any, name: str = "tiny-vqa.anna.json") -> Path:
    path = folder / name
    path.write_text(made if isinstance(made, str) else json.dumps(made), encoding="utf-8")
    return path


def cell(record: dict, precision: str) -> dict:
    return next(one for one in record["cells"] if one["precision"] == precision)


# ---- intervals and kappa against known values ----


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_against_newcombe(count: int, n: int, low: float, high: float) -> None:
    """Newcombe 1998 (Statistics in Medicine 17, 857-872), table I, method 3."""
    assert wilson(count / n, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_stays_in_range_and_refuses_what_is_no_share() -> None:
    assert wilson(1.0, 3)[1] == 1.0
    assert 0 < wilson(1.0, 3)[0] < 0.5
    for share, n in ((0.5, 0), (1.2, 5), (-0.1, 5)):
        with pytest.raises(ValueError, match="no proportion"):
            wilson(share, n)


def test_kappa_of_the_grant_readers() -> None:
    """The textbook case of two readers of 50 proposals (en.wikipedia.org/wiki/Cohen's_kappa, simple example)."""
    assert kappa(np.array([[20, 5], [10, 15]])) == pytest.approx(0.4)
    # the same page: equal shares of agreement, unequal margins
    assert kappa(np.array([[45, 15], [25, 15]])) == pytest.approx(0.1304, abs=5e-5)
    assert kappa(np.array([[25, 35], [5, 35]])) == pytest.approx(0.2593, abs=5e-5)


def test_kappa_of_three_classes() -> None:
    """The example of scikit-learn's cohen_kappa_score: 0.6875."""
    assert kappa(np.array([[2, 0, 0], [0, 1, 0], [1, 0, 1]])) == pytest.approx(0.6875)


def test_kappa_at_its_ends() -> None:
    assert kappa(np.array([[3, 0], [0, 4]])) == 1.0
    assert kappa(np.array([[0, 5], [5, 0]])) == -1.0
    assert np.isnan(kappa(np.array([[7, 0], [0, 0]])))  # chance agrees wholly
    assert np.isnan(kappa(np.zeros((2, 2))))


def test_kappas_interval_holds_it_and_is_none_where_resamples_show_no_spread() -> None:
    counts = {(0, 0): 20, (0, 1): 5, (1, 0): 10, (1, 1): 15}
    tables = np.zeros((50, 2, 2))
    for item, (one, other) in enumerate(pair for pair, times in counts.items() for _ in range(times)):
        tables[item, one, other] = 1
    low, high = kappa_interval(tables, seed=3)
    assert 0.1 < low < 0.4 < high < 0.7
    # the large-sample standard error of Fleiss, Cohen & Everitt 1969 is 0.127 here
    assert high - low == pytest.approx(2 * 1.96 * 0.127, rel=0.15)
    assert kappa_interval(np.array([[[1, 0], [0, 0]], [[0, 0], [0, 1]]] * 9), seed=3) is None  # all agree
    assert kappa_interval(np.array([[[1, 0], [0, 0]]] * 9 + [[[0, 0], [0, 1]]]), seed=3) is None  # often undefined


# ---- what people say of each precision ----


def test_ratings_become_accuracies_by_precision(study: SpotCheckStudy) -> None:
    done = study.read(file(study.folder, content(ALL)))
    assert done.returncode == 0, done.stderr
    record = study.human
    baseline, two_bits = cell(record, "bfloat16"), cell(record, "rtn-2-language")
    assert (baseline["n_cards"], baseline["n_rated"]) == (3, 3)
    accuracy = baseline["metrics"]["human_accuracy"]  # right, right, wrong
    assert (accuracy["value"], accuracy["n"], accuracy["unit"]) == (pytest.approx(2 / 3), 3, "share")
    assert accuracy["ci"] == pytest.approx(wilson(2 / 3, 3))
    assert two_bits["metrics"]["human_accuracy"]["value"] == 0.5  # right, wrong, partly
    # the metric: red 1, yes 1, the hostile text 0; at two bits red 1, nothing 0, STOP 1 and partly is the right side
    assert baseline["metrics"]["human_agreement"]["value"] == 1.0
    assert two_bits["metrics"]["metric_on_rated_items"]["value"] == pytest.approx(2 / 3)
    overall = record["overall"]
    assert (overall["n_cards"], overall["n_rated"]) == (5, 5)
    assert overall["metrics"]["agreement"]["value"] == 1.0
    assert overall["metrics"]["agreement"]["ci"] == pytest.approx(wilson(1.0, 3))  # three items, not five cards
    assert overall["metrics"]["mean_absolute_difference"]["value"] == pytest.approx(0.5 / 5)
    assert overall["metrics"]["kappa"]["value"] == 1.0
    assert record["raters_agreement"]["pairs"] == []
    assert "one rater" in record["raters_agreement"]["mean_kappa"]["absent"]
    assert record["raters"][0] | {"file": ""} == {
        "rater": "anna", "file": "", "saved": "2025-01-31T12:00:00.000Z", "n_rated": 5, "n_not_rated": 0,
        "n_ignored": 0, "right": 2, "partly": 1, "wrong": 2, "unsafe": 0,
    }  # fmt: skip


def test_where_metric_and_people_differ(study: SpotCheckStudy) -> None:
    study.read(file(study.folder, content(ALL | {("q1", "red"): "wrong"})))
    record = study.human
    assert cell(record, "bfloat16")["metrics"]["human_agreement"]["value"] == pytest.approx(2 / 3)
    assert record["overall"]["metrics"]["agreement"]["value"] == pytest.approx(4 / 5)
    # the metric: 3 right of 5; people 2, both among them: (4/5 - 12/25) / (1 - 12/25)
    assert record["overall"]["metrics"]["kappa"]["value"] == pytest.approx(8 / 13)


def test_incomplete_ratings_count_what_is_there_and_say_so(study: SpotCheckStudy) -> None:
    done = study.read(file(study.folder, content({("q2", "yes"): "right"})))
    assert done.returncode == 0, done.stderr
    assert "anna rated 1 of 5 answers" in done.stderr
    assert "judged on different items" in done.stderr
    record = study.human
    baseline, two_bits = cell(record, "bfloat16"), cell(record, "rtn-2-language")
    assert (baseline["n_rated"], baseline["metrics"]["human_accuracy"]["n"]) == (1, 1)
    assert two_bits["n_rated"] == 0
    assert "has been rated yet" in two_bits["metrics"]["human_accuracy"]["absent"]
    assert "undefined" in record["overall"]["metrics"]["kappa"]["absent"]


def test_a_metric_that_judges_no_single_answer_is_not_compared(study: SpotCheckStudy) -> None:
    study.spec |= {"primary": "CIDEr", "primary_range": None}
    done = study.read(file(study.folder, content(ALL)))
    assert done.returncode == 0, done.stderr
    metrics = cell(study.human, "bfloat16")["metrics"]
    assert metrics["human_accuracy"]["value"] == pytest.approx(2 / 3)
    assert "CIDEr" in metrics["human_agreement"]["absent"]
    assert all("absent" in metric for metric in study.human["overall"]["metrics"].values())


def test_a_metric_from_0_to_100_is_brought_to_the_range_of_ratings(study: SpotCheckStudy) -> None:
    value = study.value
    study.value = lambda item, text: 100 * value(item, text)
    study.spec["primary_range"] = [0, 100]
    study.make()
    study.read(file(study.folder, content(ALL)))
    assert study.human["overall"]["metrics"]["mean_absolute_difference"]["value"] == pytest.approx(0.5 / 5)


def test_unsafe_answers_and_comments_are_listed_with_who_gave_them(study: SpotCheckStudy) -> None:
    made = content(ALL)
    made["cards"][card_id("tiny-vqa", row("q3"), HOSTILE)] |= {"unsafe": True, "comment": "markup"}
    done = study.read(file(study.folder, made))
    assert "1 answers were flagged" in done.stderr
    (flagged,) = study.human["unsafe"]
    assert (flagged["item"], flagged["answer"], flagged["raters"]) == ("q3", HOSTILE, ["anna"])
    assert [one["precision"] for one in flagged["cells"]] == ["bfloat16"]
    (remark,) = study.human["comments"]
    assert (remark["rater"], remark["rating"], remark["comment"]) == ("anna", "wrong", "markup")


# ---- several raters ----


def test_several_raters_are_averaged_and_compared(study: SpotCheckStudy) -> None:
    anna = file(study.folder, content(ALL))
    ben = file(study.folder, content(ALL | {("q1", "red"): "wrong"}, rater="ben"), "ben.json")
    done = study.read(ben, anna)
    assert done.returncode == 0, done.stderr
    record = study.human
    assert [one["rater"] for one in record["raters"]] == ["anna", "ben"]
    # (1 + 0) / 2 for red, right, wrong
    assert cell(record, "bfloat16")["metrics"]["human_accuracy"]["value"] == 0.5
    (pair,) = record["raters_agreement"]["pairs"]
    assert (pair["raters"], pair["n_cards"], pair["agreement"]["value"]) == (["anna", "ben"], 5, 0.8)
    # anna: 2 right, 1 partly, 2 wrong; ben: 1, 1, 3; chance (2 + 1 + 6) / 25
    assert pair["kappa"]["value"] == pytest.approx((0.8 - 9 / 25) / (1 - 9 / 25))
    assert record["raters_agreement"]["mean_kappa"]["value"] == pair["kappa"]["value"]


def of(rater: str, words: list[str | None]) -> Ratings:
    cards = {f"card{n}": Rating(f"i{n}", "a", word, False, "") for n, word in enumerate(words) if word}
    return Ratings(Path(f"{rater}.json"), rater, "", cards)


def agreement_of(*raters: Ratings) -> dict:
    cards = [Card(f"card{n}", f"i{n}", "a", (("m", "p", "zero-shot"),)) for n in range(4)]
    values = {(("m", "p", "zero-shot"), f"i{n}"): 1.0 for n in range(4)}
    return human.report(cards, raters, values, "vqa_accuracy", 3)["raters_agreement"]


def test_three_raters_are_three_pairs_and_only_shared_cards_count() -> None:
    found = agreement_of(
        of("a", ["right", "wrong", "right", "wrong"]),
        of("b", ["right", "wrong", None, None]),
        of("c", ["wrong", "right", "right", "wrong"]),
    )
    assert [pair["n_cards"] for pair in found["pairs"]] == [2, 4, 2]
    assert [pair["kappa"]["value"] for pair in found["pairs"]] == [1.0, 0.0, -1.0]
    assert (found["mean_kappa"]["value"], found["mean_kappa"]["n"]) == (0.0, 3)


def test_raters_without_a_kappa_have_the_reason() -> None:
    apart = agreement_of(of("a", ["right", None, None, None]), of("b", [None, "right", None, None]))
    assert "no card in common" in apart["pairs"][0]["agreement"]["absent"]
    assert "share no card" in apart["pairs"][0]["kappa"]["absent"]
    alike = agreement_of(of("a", ["right", "right", None, None]), of("b", ["right", "right", None, None]))
    assert alike["pairs"][0]["agreement"]["value"] == 1.0
    assert "chance agrees wholly" in alike["pairs"][0]["kappa"]["absent"]
    assert "absent" in alike["mean_kappa"]


# ---- what outlives what ----


def test_ratings_outlive_new_predictions(study: SpotCheckStudy) -> None:
    path = file(study.folder, content(ALL))
    study.answers[CELLS[0]]["q3"] = "GO"
    study.make()
    done = study.read(path)
    assert done.returncode == 0, done.stderr
    assert "1 ratings are of answers that no model gives any more" in done.stderr
    (rater,) = study.human["raters"]
    assert (rater["n_rated"], rater["n_not_rated"], rater["n_ignored"]) == (4, 1, 1)
    assert cell(study.human, "bfloat16")["n_rated"] == 2
    assert cell(study.human, "rtn-2-language")["n_rated"] == 3


# ---- mistakes: one sentence that names file and item ----


CARDS = {
    card.id: card for card in (Card(card_id("tiny-vqa", row(item), answer), item, answer, ()) for item, answer in ALL)
}


def refusal(folder: Path, made: Any) -> str:
    path = file(folder, made)
    with pytest.raises(UserError) as caught:
        ratings.read(path, "tiny-vqa", CARDS)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert is_one_sentence(sentence.replace(str(path), "file")), sentence
    return sentence


def test_another_studys_file_names_the_study_and_an_item(tmp_path: Path) -> None:
    sentence = refusal(tmp_path, content({("cat-7", "a cat"): "right"}, study="other"))
    assert "ratings of study 'other' (the first of item 'cat-7'), not of 'tiny-vqa'" in sentence
    assert "ratings/other/" in sentence


def test_ratings_of_an_earlier_subset_are_kept_and_count_nothing(study: SpotCheckStudy) -> None:
    """One rater's old file must not stop the study for all."""
    done = study.read(file(study.folder, content({("q1", "violet"): "right"})))
    assert done.returncode == 0, done.stderr
    assert "1 ratings are of answers that no model gives any more: ignored" in done.stderr
    assert study.human["raters"][0]["n_ignored"] == 1
    for metrics in (cell(study.human, "bfloat16")["metrics"], study.human["overall"]["metrics"]):
        assert all("has been rated yet" in metric["absent"] for metric in metrics.values())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rating": "good"}, "is rated 'good'"),
        ({"answer": "maroon"}, "item or answer ('maroon') was changed"),
        ({"item": "q9"}, "item 'q9'"),
        ({"rating": None}, "no usable 'rating'"),
        ({"unsafe": "no"}, "no usable 'unsafe'"),
        ({"comment": 3}, "no usable 'comment'"),
    ],
)
def test_a_wrong_card_names_the_item(tmp_path: Path, change: dict, words: str) -> None:
    sentence = refusal(tmp_path, content({("q1", "red"): "right"}, **change))
    assert words in sentence
    assert "item 'q" in sentence


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ("{", "not valid JSON"),
        ([], "no ratings file"),
        ({"cards": {}}, "no ratings file"),
        (content(ALL) | {"rater": None}, "no usable 'rater'"),
        (content(ALL) | {"rater": "../x"}, "rater '../x'"),
        (content(ALL) | {"cards": []}, "no usable 'cards'"),
        (content({}), "holds no rating"),
        (content(ALL) | {"cards": {"0" * 16: "right"}}, "is no rating"),
    ],
)
def test_what_is_no_ratings_file_is_refused(tmp_path: Path, made: Any, words: str) -> None:
    assert words in refusal(tmp_path, made)


def test_the_same_rater_twice_names_both_files(tmp_path: Path) -> None:
    first = file(tmp_path, content(ALL))
    second = file(tmp_path, content(ALL, rater="Anna"), "tiny-vqa.anna (1).json")
    with pytest.raises(UserError) as caught:
        ratings.read_all([first, second], "tiny-vqa", CARDS)
    sentence = str(caught.value)
    assert str(first) in sentence
    assert str(second) in sentence
    assert "'q1'" in sentence


def test_a_byte_order_mark_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content(ALL)), encoding="utf-8-sig")
    assert ratings.read(path, "tiny-vqa", CARDS).rater == "anna"


def test_the_script_says_the_sentence_and_writes_nothing(study: SpotCheckStudy) -> None:
    done = study.read(file(study.folder, content({("q1", "red"): "right"}, study="other")))
    assert done.returncode == 1
    assert "ratings of study 'other'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (study.folder / "human.json").exists()


@pytest.mark.parametrize("value", [None, 7])
def test_a_missing_or_impossible_metric_names_file_and_item(study: SpotCheckStudy, value: float | None) -> None:
    path = study.cell(CELLS[1], "item_scores.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[1]["vqa_accuracy"] = value
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = study.read(file(study.folder, content(ALL)))
    assert done.returncode == 1
    assert "item_scores.jsonl has no vqa_accuracy from 0 to 1 for item 'q2'" in done.stderr


def test_scores_of_another_subset_are_refused(study: SpotCheckStudy) -> None:
    path = study.cell(CELLS[0], "scores.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"subset_hash": "d" * 64}))
    done = study.read(file(study.folder, content(ALL)))
    assert done.returncode == 1
    assert f"{path} is not of the subset" in done.stderr


# ---- where they lie ----


def test_ratings_lie_outside_results_and_hidden_files_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert rating_files("tiny-vqa") == []
    with pytest.raises(UserError) as caught:
        needed_rating_files("tiny-vqa")
    assert "results/tiny-vqa/spot_check.html" in str(caught.value)
    assert is_one_sentence(str(caught.value).replace(".html", "").replace("s/", "s").replace("../", ""))
    folder = Path("ratings/tiny-vqa")
    folder.mkdir(parents=True)
    for name in ("b.json", "a (1).json", "._a.json", "notes.txt"):
        (folder / name).write_text("{}")
    assert rating_files("tiny-vqa") == ["ratings/tiny-vqa/a (1).json", "ratings/tiny-vqa/b.json"]
