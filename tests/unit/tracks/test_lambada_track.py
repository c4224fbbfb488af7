"""Scoring last words: each metric from its definition, its interval, the breakdown, and the floor."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from bitbudget.errors import UserError
from bitbudget.stats import bootstrap
from bitbudget.tracks import captioning, lambada, vqa

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"


def item(number, word="mat"):
    return {"id": f"i{number}", "images": [], "question": "The cat sat on the", "references": [word], "extra": {}}


def row(rank=1, greedy=True, logprob=-0.5, **more):
    return {"text": "mat", "rank": rank, "greedy": greedy, "logprob": logprob, **more}


ROWS = [row(1, True, -0.1), row(1, False, -2.0), row(4, False, -3.0), row(5, False, -3.5), row(11, False, -8.0)]


def scored(rows=ROWS, **given):
    items = [item(number) for number in range(len(rows))]
    return lambada.score(items, {one["id"]: made for one, made in zip(items, rows, strict=True)}, seed=3, **given)


def test_every_metric_is_as_it_is_defined():
    metrics, per_item = scored()
    assert list(metrics) == [
        "top_1", "top_5", "top_10", "last_word_accuracy", "perplexity", "loss", "relative_logit_error",
    ]  # fmt: skip
    assert metrics["top_1"]["value"] == 2 / 5
    assert metrics["top_5"]["value"] == metrics["top_10"]["value"] == 4 / 5
    assert metrics["last_word_accuracy"]["value"] == 1 / 5  # the second begins right and goes on wrong
    assert metrics["loss"]["value"] == pytest.approx(16.6 / 5)
    # lm-evaluation-harness: exp(-mean of the words' log-likelihoods), however many tokens a word has
    assert metrics["perplexity"]["value"] == pytest.approx(math.exp(16.6 / 5))
    assert metrics["perplexity"]["higher_is_better"] is metrics["loss"]["higher_is_better"] is False
    assert {metric["n"] for metric in metrics.values() if "value" in metric} == {5}
    assert per_item[2] == {
        "id": "i2", "top_1": 0.0, "top_5": 1.0, "top_10": 1.0, "last_word_accuracy": 0.0, "loss": 3.0, "rank": 4,
        "text": "mat",
    }  # fmt: skip


def test_the_studys_numbers_of_places_are_computed_and_the_first_always():
    assert [name for name in scored(top_k=[20, 5])[0] if name.startswith("top")] == ["top_1", "top_5", "top_20"]
    assert scored(top_k=[1, 20])[0]["top_20"]["value"] == 1


def test_intervals_are_of_passages_and_the_perplexitys_is_exp_of_the_losss():
    rng = np.random.default_rng(5)
    ranks = rng.integers(1, 9, 200)
    rows = [row(int(rank), bool(rank == 1), -float(rank)) for rank in ranks]
    metrics = scored(rows)[0]
    draws = bootstrap.bootstrap_sums((ranks == 1).astype(float)[:, None], seed=3)[:, 0] / 200
    assert metrics["top_1"]["ci"] == pytest.approx(bootstrap.interval(draws))
    assert metrics["perplexity"]["ci"] == pytest.approx([math.exp(end) for end in metrics["loss"]["ci"]])
    low, high = metrics["loss"]["ci"]
    assert low < metrics["loss"]["value"] < high
    assert metrics == scored(rows)[0]  # the seed alone decides the draws


def test_few_passages_have_no_interval():
    assert all("ci" not in metric for metric in scored()[0].values())
    assert "ci" in scored(ROWS * 2)[0]["top_1"]


def test_a_loss_beyond_any_exponential_leaves_the_perplexity_out():
    metrics = scored([row(9, False, -900.0)] * 12)[0]
    assert "beyond any number" in metrics["perplexity"]["absent"]
    assert metrics["loss"]["value"] == 900


@pytest.mark.parametrize(
    "wrong",
    [
        {"rank": 0},
        {"rank": 1.0},
        {"rank": True},
        {"rank": None},
        {"greedy": 1},
        {"logprob": None},
        {"logprob": math.nan},
    ],
)
def test_a_row_without_what_is_needed_is_one_sentence(wrong):
    with pytest.raises(UserError, match=r"the prediction of item 'i1' has .* predict this precision again") as fault:
        scored([row(), row() | wrong])
    assert "\n" not in str(fault.value)


def test_the_breakdown_is_by_tokens_of_the_word():
    rows = [row(1 if n < 12 else 3, target_tokens=(1, 2, 3, 7)[n % 4]) for n in range(24)]
    items = [item(n) for n in range(24)]
    _, per_item = scored(rows)
    parts = lambada.breakdown(items, per_item, 3, primary="top_1")["target_tokens"]
    assert {name: (metric["n"], metric["value"], "ci" in metric) for name, metric in parts.items()} == {
        "1": (6, 0.5, False),
        "2": (6, 0.5, False),
        "3+": (12, 0.5, True),
    }
    assert lambada.breakdown(items[:2], scored(rows[:1] * 2)[1], 3)["target_tokens"].keys() == {"1"}
    parts = lambada.breakdown(items, per_item, 3, primary="perplexity")["target_tokens"]
    assert parts["1"]["value"] == pytest.approx(math.exp(0.5))


# ---- logits


def logits(path, values):
    save_file({"logits": np.asarray(values, dtype=np.float32)}, path)
    return path


def test_the_logit_error_is_of_logits_without_their_mean(tmp_path):
    rng = np.random.default_rng(2)
    base = rng.normal(size=(12, 40)).astype(np.float32)
    other = base + 0.1 * rng.normal(size=(12, 40)).astype(np.float32)
    given = {"baseline_logits": logits(tmp_path / "base", base)}
    found = scored(logits=logits(tmp_path / "other", other), **given)[0]["relative_logit_error"]
    a, b = (x.astype(float) - x.mean(axis=1, keepdims=True, dtype=float) for x in (other, base))
    expected = [np.sqrt(((p - q) ** 2).sum() / (q**2).sum()) for p, q in zip(a, b, strict=True)]
    assert found["value"] == pytest.approx(np.mean(expected))
    assert found["n"] == 12 and found["ci"][0] < found["value"] < found["ci"][1]
    shifted = scored(logits=logits(tmp_path / "shifted", base + 5), **given)[0]["relative_logit_error"]
    assert shifted["value"] == pytest.approx(0, abs=1e-5)  # no softmax sees a shift
    doubled = scored(logits=logits(tmp_path / "doubled", 2 * base), **given)[0]["relative_logit_error"]
    assert doubled["value"] == pytest.approx(1)


def test_without_anything_to_compare_the_logit_error_says_why(tmp_path):
    base = logits(tmp_path / "base", np.eye(3, 5))
    assert "this is the baseline" in scored(logits=base)[0]["relative_logit_error"]["absent"]
    assert "no model was asked" in scored()[0]["relative_logit_error"]["absent"]
    broken = logits(tmp_path / "broken", [[np.nan] * 5, [0, 1, 2, 3, 4], [np.inf] * 5])
    found = scored(logits=broken, baseline_logits=base)[0]["relative_logit_error"]
    assert "2 of 3 passages are not finite" in found["absent"]


def test_logits_that_do_not_belong_together_are_one_sentence(tmp_path):
    base = logits(tmp_path / "base", np.eye(3, 5))
    with pytest.raises(UserError, match=r"other holds the logits of 3 passages over 6 tokens, and .*base those of 3"):
        scored(logits=logits(tmp_path / "other", np.eye(3, 6)), baseline_logits=base)
    (tmp_path / "cut").write_bytes((tmp_path / "base").read_bytes()[:-4])
    save_file({"else": np.zeros((3, 5))}, tmp_path / "else")
    for name in ("cut", "else", "none"):
        with pytest.raises(UserError, match=f"{name} is no file of logits"):
            scored(logits=tmp_path / name, baseline_logits=base)
    with pytest.raises(UserError, match=r"holds logits of the shape \(4,\)"):
        scored(logits=logits(tmp_path / "flat", np.zeros(4)), baseline_logits=base)


# ---- the floor


def test_the_floor_guesses_by_frequency_and_of_equal_words_the_first_comes_first():
    words = ["him"] * 4 + ["her"] * 2 + ["Shane"] * 2 + ["signs"] * 2
    items = [item(n, word) for n, word in enumerate(words)]
    said, rows = lambada.blind_answers(items, 3)
    assert said.startswith("the 4 different last words of 10 passages by frequency: 'him' (4), 'her' (2)")
    assert [rows[f"i{n}"]["rank"] for n in range(10)] == [1] * 4 + [2] * 2 + [3] * 2 + [4] * 2
    assert [rows[f"i{n}"]["greedy"] for n in range(10)] == [True] * 4 + [False] * 6
    metrics, per_item = lambada.score(items, rows, 3, primary="top_1", top_k=[1, 5])
    assert metrics["top_1"]["value"] == metrics["last_word_accuracy"]["value"] == 0.4
    assert metrics["top_5"]["value"] == 1
    entropy = -(0.4 * math.log(0.4) + 3 * 0.2 * math.log(0.2))
    assert metrics["loss"]["value"] == pytest.approx(entropy)
    assert lambada.breakdown(items, per_item, 3) == {}  # words have no tokens


def test_words_that_are_all_different_leave_nothing_to_guess():
    items = [item(n, f"word{n}") for n in range(12)]
    said, rows = lambada.blind_answers(items, 3)
    assert [one["rank"] for one in rows.values()] == list(range(1, 13))
    assert sum(one["greedy"] for one in rows.values()) == 1
    assert lambada.score(items, rows, 3)[0]["top_1"]["value"] == pytest.approx(1 / 12)
    assert not said.endswith("…")


# ---- the module


def test_the_track_says_what_it_is():
    assert lambada.PRIMARY in lambada.METRICS and lambada.PROMPT is None
    assert (lambada.IMAGES, lambada.ROWS, lambada.LOGITS, lambada.FEW_SHOT) == (False, True, True, False)
    assert captioning.IMAGES and vqa.IMAGES
    assert all({"label", "unit", "higher_is_better"} <= about.keys() for about in lambada.METRICS.values())


def test_it_is_importable_without_heavy_libraries_and_scores_without_torch(tmp_path):
    base = logits(tmp_path / "base", np.eye(3, 5))
    heavy = "('numpy', 'pandas', 'torch', 'safetensors')"
    code = (
        "import sys; from pathlib import Path; import bitbudget.tracks.lambada as t\n"
        f"assert not any(name in sys.modules for name in {heavy})\n"
        "item = {'id': '1', 'references': ['a']}\n"
        "row = {'rank': 1, 'greedy': True, 'logprob': -1.0}\n"
        f"t.score([item], {{'1': row}}, 0, logits=Path({str(base)!r}), baseline_logits=Path({str(base)!r}))\n"
        "assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, check=False).returncode == 0
