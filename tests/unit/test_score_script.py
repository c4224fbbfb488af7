"""score.py as a rule runs it: strict about its input, and its record and per-item file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
IDENTITY = {"study": "s", "model": "m", "precision": "p", "condition": "zero-shot", "seed": 3} | {
    "checkpoint_hash": "b" * 64,
    "subset_hash": "c" * 64,
}
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


def run(folder, *more):
    command = [
        sys.executable, SCRIPTS / "score.py", "--items", "items.jsonl", "--images", "images.json",
        "--predictions", "predictions.jsonl", "--record", "predictions.json",
        "--spec", '{"track": "captioning", "seed": 3}', "--out", "scores.json", "--out-items", "item_scores.jsonl",
        *more,
    ]  # fmt: skip
    return subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False)


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
    assert "no item whose images could be read" in done.stderr


def test_the_track_is_importable_without_heavy_libraries():
    code = (
        "import sys; import bitbudget.tracks.captioning as t; assert t.PRIMARY in t.METRICS and t.needs_images;"
        "sys.exit(any(name in sys.modules for name in ('numpy', 'pandas', 'torch', 'pycocoevalcap')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, check=False).returncode == 0
