"""score.py as a rule runs it: strict about its input, and its record and per-item file."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from asked import asked
from safetensors.numpy import save_file

import additions

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"
IDENTITY = {"study": "s", "model": "m", "precision": "p", "condition": "zero-shot", "seed": 3} | {
    "checkpoint_hash": "b" * 64,
    "subset_hash": "c" * 64,
}
SPEC = {"track": "captioning", "primary": "CIDEr", "seed": 3}
EMPTY_TABLE = bytes.fromhex("1f8b08000000000000ff03000000000000000000")  # gzip of nothing: METEOR without paraphrases
CAPTIONS = ["a small red circle above a blue square", "two green triangles", "a large yellow star on the left"]


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def study(tmp_path):
    """Three items, of which the third's image was skipped, and the right predictions for the others."""
    items = [
        {"id": f"i{k}", "images": [{"id": f"img{k}", "source": "x"}], "question": None, "references": [text, "a shape"]}
        | {"extra": {}}
        for k, text in enumerate(CAPTIONS)
    ]
    lines(tmp_path / "items.jsonl", items)
    skipped = [{"id": "img2", "reason": "cannot be decoded"}]
    (tmp_path / "images.json").write_text(json.dumps({"skipped": skipped}))
    (tmp_path / "predictions.json").write_text(json.dumps({"record": "predictions", **IDENTITY}))
    lines(tmp_path / "predictions.jsonl", predictions())
    return tmp_path


def predictions():
    about = {"prompt_tokens": 4, "new_tokens": 5, "finish": "stop"}
    return [{"id": "i0", "text": "A red circle.", **about}, {"id": "i1", "text": "", **about}]


def run_blind(folder, *more):
    command = [
        sys.executable, SCRIPTS / "score_blind.py", "--subset", "subset.json", "--items", "items.jsonl",
        "--images", "images.json", "--spec", asked("score_blind", {"study": "s", **SPEC}), "--out", "blind.json", *more,
    ]  # fmt: skip
    return subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False)


def run(folder, *more):
    command = [
        sys.executable, SCRIPTS / "score.py", "--items", "items.jsonl", "--images", "images.json",
        "--predictions", "predictions.jsonl", "--record", "predictions.json",
        "--spec", asked("score", SPEC), "--out", "scores.json", "--out-items", "item_scores.jsonl", *more,
    ]  # fmt: skip
    return subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False)


def both(folder, spec):
    """score and score_blind, one after the other."""
    yield run(folder, "--spec", asked("score", spec))
    yield run_blind(folder, "--spec", asked("score_blind", spec))


def test_scores_and_item_scores(study):
    made = subprocess.run(
        [sys.executable, SCRIPTS / "filter_paraphrases.py", "--items", "items.jsonl", "--out", "table.gz"],
        cwd=study,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    done = run(study, "--paraphrases", "table.gz")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    record = json.loads((study / "scores.json").read_text())
    assert {key: record[key] for key in IDENTITY} == IDENTITY
    assert record["primary"] == "CIDEr"
    assert list(record["metrics"]) == [
        "CIDEr", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "METEOR", "SPICE",
    ]  # fmt: skip
    cider = record["metrics"]["CIDEr"]
    assert cider["n"] == 2
    assert cider["ci"][0] <= cider["value"] <= cider["ci"][1]
    rows = [json.loads(line) for line in (study / "item_scores.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["i0", "i1"]
    assert rows[0]["bleu"]["correct"][0] == 3
    assert (rows[0]["CIDEr"] + rows[1]["CIDEr"]) / 2 == pytest.approx(cider["value"])


def test_one_item_has_no_cider_and_no_interval(study):
    """Its words weigh nothing: coco-caption's 0, with an interval of no width, would be a made-up number."""
    (study / "none.gz").write_bytes(EMPTY_TABLE)
    for name in ("items.jsonl", "predictions.jsonl"):
        (study / name).write_text((study / name).read_text().splitlines()[0] + "\n")
    done = run(study, "--paraphrases", "none.gz")
    assert done.returncode == 0, done.stderr
    record = json.loads((study / "scores.json").read_text())
    assert "of a single item every word weighs nothing" in record["metrics"]["CIDEr"]["absent"]
    assert record["metrics"]["BLEU-1"]["value"] > 0 and record["metrics"]["ROUGE-L"]["n"] == 1
    assert not any("ci" in metric for metric in record["metrics"].values())
    (row,) = map(json.loads, (study / "item_scores.jsonl").read_text().splitlines())
    assert "CIDEr" not in row and row["id"] == "i0"
    (study / "subset.json").write_text(json.dumps({"subset_hash": "c" * 64}))
    done = run_blind(study, "--paraphrases", "none.gz")
    assert done.returncode == 0 and "the floor: CIDEr is absent (CIDEr weights words" in done.stderr


def test_the_blind_score_is_of_the_items_that_were_to_be_predicted(study):
    (study / "subset.json").write_text(json.dumps({"subset_hash": "c" * 64}))
    (study / "none.gz").write_bytes(EMPTY_TABLE)
    done = run_blind(study, "--paraphrases", "none.gz")
    assert done.returncode == 0, done.stderr
    record = json.loads((study / "blind.json").read_text())
    assert record["text"] in {*CAPTIONS[:2], "a shape"}  # none of the item whose image was skipped
    assert {metric["n"] for metric in record["metrics"].values() if "value" in metric} == {2}


@pytest.mark.parametrize("script", ["score", "score_blind"])
def test_a_track_that_uses_no_paraphrases_is_given_none(study, script):
    """A track is one new file and one line of the registry."""
    (study / "plain_track.py").write_text(additions.TRACK)
    (study / "subset.json").write_text(json.dumps({"subset_hash": "c" * 64}))
    (study / "run.py").write_text(
        f"import runpy, sys; sys.path[:0] = [{str(SCRIPTS)!r}, '.']\n"
        "from bitbudget import registry; registry.TRACKS['plain'] = 'plain_track'\n"
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command = {
        "score": ["--predictions", "predictions.jsonl", "--record", "predictions.json", "--out-items", "rows.jsonl"],
        "score_blind": ["--subset", "subset.json"],
    }[script]
    spec = ["--spec", asked(script, {"study": "s", "track": "plain", "primary": "recall", "seed": 3})]
    shared = ["--items", "items.jsonl", "--images", "images.json", "--out", "out.json"]
    done = subprocess.run(
        [sys.executable, "run.py", SCRIPTS / f"{script}.py", *command, *shared, *spec],
        cwd=study,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "recall" in done.stderr
    record = json.loads((study / "out.json").read_text())
    assert record["metrics"]["recall"]["n"] == 2
    assert "breakdown" not in record


QUESTIONS = [
    ("q1", "a", "how many", ["2"] * 9 + ["3"]),
    ("q2", "a", "how many", ["3"] * 10),
    ("q3", "b", "is the", ["yes"] * 7 + ["no"] * 3),
]


def test_questions_are_scored_by_the_studys_metric_with_a_breakdown_and_a_floor(study):
    lines(
        study / "items.jsonl",
        [
            {"id": key, "images": [{"id": image, "source": "x"}], "question": "?", "references": answers}
            | {"extra": {"question_type": kind, "answer_type": "yes/no" if kind == "is the" else "number"}}
            for key, image, kind, answers in QUESTIONS
        ],
    )
    lines(
        study / "predictions.jsonl",
        [{"id": "q1", "text": "Two."}, {"id": "q2", "text": "4"}, {"id": "q3", "text": "No"}],
    )
    (study / "subset.json").write_text(json.dumps({"subset_hash": "c" * 64}))
    spec = {"study": "s", "track": "vqa", "primary": "vqa_accuracy", "seed": 3}
    for done in both(study, spec):
        assert done.returncode == 0, done.stderr
    record = json.loads((study / "scores.json").read_text())
    assert record["primary"] == "vqa_accuracy"
    assert record["metrics"]["vqa_accuracy"]["value"] == pytest.approx((1 + 0 + 0.9) / 3)
    assert record["breakdown"]["answer_type"]["number"]["value"] == 0.5
    assert record["breakdown"]["question_type"]["is the"]["n"] == 1
    rows = [json.loads(line) for line in (study / "item_scores.jsonl").read_text().splitlines()]
    assert rows[0] == {"id": "q1", "image": "a", "vqa_accuracy": 1.0, "exact_match": 1.0, "answer": "2"}
    floor = json.loads((study / "blind.json").read_text())
    assert floor["text"] == "'3' to every question"  # three questions tell no types apart
    assert floor["metrics"]["vqa_accuracy"]["value"] == pytest.approx((0.3 + 1 + 0) / 3)
    assert floor["breakdown"]["answer_type"]["yes/no"]["value"] == 0


WORDS = ["mat", "her", "mat"]
LAST_WORDS = {"track": "lambada", "primary": "top_1", "seed": 3, "top_k": [1, 20]}


@pytest.fixture
def passages(study):
    """Three passages with the rows of their last words, and two precisions' logits; there is no record of images."""
    (study / "images.json").unlink()
    (study / "subset.json").write_text(json.dumps({"subset_hash": "c" * 64}))
    about = {"images": [], "question": "The cat sat on the", "extra": {}}
    lines(study / "items.jsonl", [{"id": f"{k}", "references": [word], **about} for k, word in enumerate(WORDS)])
    rows = [(1, True, -0.25), (7, False, -3.0), (30, False, -5.0)]
    lines(
        study / "predictions.jsonl",
        [
            {"id": f"{k}", "text": "mat", "rank": rank, "greedy": greedy, "logprob": logprob}
            | {"target_tokens": k + 1, "prompt_tokens": 6}
            for k, (rank, greedy, logprob) in enumerate(rows)
        ],
    )
    base = np.eye(3, 8, dtype=np.float32)
    save_file({"logits": base}, study / "base.safetensors")
    save_file({"logits": 1.5 * base}, study / "own.safetensors")
    save_file({"logits": np.eye(2, 8, dtype=np.float32)}, study / "fewer.safetensors")
    return study


def run_last_words(folder, *more, script="score"):
    shared = ["--items", "items.jsonl", "--spec", asked(script, {"study": "s", **LAST_WORDS})]
    own = {
        "score": [
            "--predictions", "predictions.jsonl", "--record", "predictions.json", "--out", "scores.json",
            "--out-items", "item_scores.jsonl",
        ],
        "score_blind": ["--subset", "subset.json", "--out", "blind.json"],
    }[script]  # fmt: skip
    command = [sys.executable, SCRIPTS / f"{script}.py", *shared, *own, *more]
    return subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False)


def test_last_words_are_scored_without_a_record_of_images(passages):
    done = run_last_words(passages, "--logits", "own.safetensors", "--baseline-logits", "base.safetensors")
    assert done.returncode == 0, done.stderr
    record = json.loads((passages / "scores.json").read_text())
    values = {name: metric["value"] for name, metric in record["metrics"].items()}
    assert values == pytest.approx(
        {"top_1": 1 / 3, "top_20": 2 / 3, "last_word_accuracy": 1 / 3, "perplexity": np.exp(2.75), "loss": 2.75}
        | {"relative_logit_error": 0.5}
    )
    assert list(record["breakdown"]["target_tokens"]) == ["1", "2", "3+"]
    rows = [json.loads(line) for line in (passages / "item_scores.jsonl").read_text().splitlines()]
    assert [(row["id"], row["top_20"], row["loss"]) for row in rows] == [("0", 1, 0.25), ("1", 1, 3.0), ("2", 0, 5.0)]


def test_the_baselines_own_logits_are_compared_with_nothing(passages):
    done = run_last_words(passages, "--logits", "base.safetensors")
    assert done.returncode == 0, done.stderr
    error = json.loads((passages / "scores.json").read_text())["metrics"]["relative_logit_error"]
    assert "this is the baseline" in error["absent"]


def test_logits_of_other_passages_are_one_sentence(passages):
    done = run_last_words(passages, "--logits", "fewer.safetensors", "--baseline-logits", "base.safetensors")
    assert done.returncode == 1
    assert "fewer.safetensors holds the logits of 2 passages over 8 tokens, and base.safetensors those" in done.stderr
    assert "Traceback" not in done.stderr and not (passages / "scores.json").exists()


def test_a_last_word_that_was_not_predicted_is_one_sentence(passages):
    lines(passages / "predictions.jsonl", [{"id": "0", "text": "mat", "rank": 1, "greedy": True, "logprob": -1.0}])
    done = run_last_words(passages)
    assert done.returncode == 1
    assert "has no prediction for item '1' (2 of 3 items are missing)" in done.stderr


def test_the_floor_of_last_words_is_their_frequency(passages):
    done = run_last_words(passages, script="score_blind")
    assert done.returncode == 0, done.stderr
    assert "the floor: top_1 0.667 by the 2 different last words of 3 passages" in done.stderr
    record = json.loads((passages / "blind.json").read_text())
    assert record["metrics"]["top_1"]["value"] == 2 / 3 and record["metrics"]["top_20"]["value"] == 1
    assert "no model was asked" in record["metrics"]["relative_logit_error"]["absent"]
    assert "breakdown" not in record


FINDING = {"track": "detection", "primary": "AP", "seed": 3}
BOX = [100.0, 50.0, 200.0, 100.0]


@pytest.fixture
def pictures(study):
    """Three pictures of one object each, of which the third's was skipped; the first's object was found."""
    found = {"category_id": 3, "bbox": BOX, "area": 2e4, "iscrowd": 0}
    lines(
        study / "items.jsonl",
        [
            {"id": f"img{k}", "images": [{"id": f"img{k}", "source": "x"}], "question": None, "references": []}
            | {"extra": {"width": 640, "height": 480, "objects": [found]}}
            for k in range(3)
        ],
    )
    right = [{"category_id": 3, "bbox": BOX, "score": 0.9}]
    lines(study / "predictions.jsonl", [{"id": "img0", "detections": right}, {"id": "img1", "detections": []}])
    (study / "subset.json").write_text(json.dumps({"subset_hash": "c" * 64}))
    return study


def test_boxes_are_scored_and_so_is_their_floor(pictures):
    for done in both(pictures, {"study": "s", **FINDING}):
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
    metrics = json.loads((pictures / "scores.json").read_text())["metrics"]
    assert metrics["AR_100"]["value"] == 0.5 and metrics["AR_100"]["n"] == 2
    assert "no object is small" in metrics["AP_small"]["absent"]
    rows = [json.loads(line) for line in (pictures / "item_scores.jsonl").read_text().splitlines()]
    assert [(row["id"], row["objects"], row["found"], row["wrong"]) for row in rows] == [
        ("img0", 1, 1, 0),
        ("img1", 1, 0, 0),
    ]
    floor = json.loads((pictures / "blind.json").read_text())
    assert floor["text"].startswith("the best constant box of the one category")
    assert floor["metrics"]["AP"]["value"] == pytest.approx(1)  # both objects are at the same place


@pytest.mark.parametrize("row", [{"id": "img1"}, {"id": "img1", "detections": None}, {"id": "img1", "text": "a dog"}])
def test_a_row_without_detections_is_one_sentence(pictures, row):
    lines(pictures / "predictions.jsonl", [{"id": "img0", "detections": []}, row])
    done = run(pictures, "--spec", asked("score", FINDING))
    assert done.returncode == 1
    assert "predictions.jsonl, line 2, has no \"detections\" for item 'img1'" in done.stderr
    assert "Traceback" not in done.stderr and not (pictures / "scores.json").exists()


def test_meteors_interval_is_that_of_the_corpus_value():
    """METEOR of each resample's summed statistics; the mean of the items is another number."""
    from bitbudget.metrics import captions
    from bitbudget.tracks import captioning

    rng = np.random.default_rng(1)
    rows, lengths = [], rng.integers(5, 20, 60)
    for length in lengths:
        matches = int(rng.integers(1, length))
        statistics = [int(length), int(length), 0, 0, matches, matches, *[0] * 14, matches, matches, matches]
        value = float(captions.meteor_from_statistics(np.array(statistics)))
        counts = {"correct": [1] * 4, "guess": [2] * 4, "test_length": 5, "reference_length": 5}
        others = dict.fromkeys(["CIDEr", *captions.BLEU_NAMES, "ROUGE-L"], 0.5)
        rows.append({"id": str(len(rows)), **others, "bleu": counts, "METEOR": value, "meteor": statistics})
    table = np.array([row["meteor"] for row in rows])
    corpus = dict.fromkeys(captioning.METRICS, 0.5) | {"SPICE": "SPICE is not here."}
    corpus["METEOR"] = float(captions.meteor_from_statistics(table.sum(axis=0)))
    low, high = captioning._metrics(corpus, rows, seed=3)["METEOR"]["ci"]
    drawn = table[rng.integers(0, 60, size=(4000, 60))].sum(axis=1)
    expected = np.quantile(captions.meteor_from_statistics(drawn), [0.025, 0.975])
    assert low < corpus["METEOR"] < high
    assert [low, high] == pytest.approx(expected, abs=0.01)
    del corpus["METEOR"]
    without = captioning._metrics(corpus | {"METEOR": "METEOR is not here."}, [*map(without_meteor, rows)], seed=3)
    assert without["METEOR"]["absent"] == "METEOR is not here."
    assert without["CIDEr"]["ci"] == [0.5, 0.5]


def without_meteor(row):
    return {key: value for key, value in row.items() if key.lower() != "meteor"}


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (predictions()[:1], "has no prediction for item 'i1' (1 of 2 items are missing)"),
        ([*predictions(), predictions()[0]], "line 3, predicts item 'i0' a second time"),
        ([*predictions(), {"id": "i9", "text": "x"}], "predicts item 'i9', which is not among the study's items"),
        ([*predictions(), {"id": "i2", "text": "x"}], "predicts item 'i2'"),
        ([{"id": "i0"}], "has no \"text\" for item 'i0'"),
    ],
)
def test_wrong_predictions_are_one_sentence(study, rows, sentence):
    lines(study / "predictions.jsonl", rows)
    done = run(study)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "predictions.jsonl" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (study / "scores.json").exists()


def test_no_item_left_is_one_sentence(study):
    (study / "images.json").write_text(json.dumps({"skipped": [{"id": f"img{k}", "reason": "r"} for k in range(3)]}))
    done = run(study)
    assert done.returncode == 1
    assert "no item whose images can be used" in done.stderr


def test_the_track_is_importable_without_heavy_libraries():
    code = (
        "import sys; import bitbudget.tracks.captioning as t; assert t.PRIMARY in t.METRICS and t.USES_PARAPHRASES;"
        "sys.exit(any(name in sys.modules for name in ('numpy', 'pandas', 'torch', 'pycocoevalcap')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, check=False).returncode == 0


def test_what_counts_of_an_answer_is_scored_and_told(study):
    """The answers themselves stay as they were written."""
    chatty = [row | {"text": f"Sure!\nAnswer: {row['text']}\nIs there more?"} for row in predictions()]
    lines(study / "predictions.jsonl", chatty)
    rules = {"regex": "Answer:.*", "strip_prefix": ["answer:"]}
    (study / "none.gz").write_bytes(EMPTY_TABLE)
    filtered = run(study, "--paraphrases", "none.gz", "--spec", asked("score", SPEC | {"answer": rules}))
    assert filtered.returncode == 0, filtered.stderr
    record = json.loads((study / "scores.json").read_text())
    rows = [json.loads(line) for line in (study / "item_scores.jsonl").read_text().splitlines()]
    assert record["answer"] == rules
    assert [row["answer"] for row in rows] == ["A red circle.", ""]
    lines(study / "predictions.jsonl", predictions())
    assert run(study, "--paraphrases", "none.gz").returncode == 0
    plain = json.loads((study / "scores.json").read_text())
    assert plain["metrics"]["CIDEr"] == record["metrics"]["CIDEr"] and "answer" not in plain
