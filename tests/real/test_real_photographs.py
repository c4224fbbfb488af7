"""Real COCO photographs go through the same rules as a study of one's own images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from checkouts import ONE_CORE, ROOT, copy_checkout, snakemake, write_study

REAL = ROOT.parent / "shared" / "real" / "coco_images"
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="the folder shared/real does not stand beside this checkout")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The copy after a study of the fifty photographs in two precisions."""
    checkout = copy_checkout(tmp_path_factory.mktemp("photographs"))
    write_study(
        checkout,
        {
            "study": "photographs",
            "track": "captioning",
            "dataset": {
                "name": "my-photographs",
                "kind": "local-captions",
                "options": {
                    "images": str(REAL / "val2017"),
                    "annotations": str(REAL / "annotations" / "captions_val2017.json"),
                },
            },
            "images": {"max_side": 512},
            "models": ["demo-vlm"],
            "precisions": ["bfloat16", "int8-language-vision"],
            "generation": {"max_new_tokens": 16},
            "measure": {"items": 2, "min_iterations": 2, "min_seconds": 0.2, "new_tokens": 8, "repeats": 1},
        },
    )
    run = snakemake(checkout, *ONE_CORE, "--config", "study=photographs")
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    return checkout / "results" / "photographs"


def test_all_fifty_photographs_are_captioned_and_scored(finished):
    answers = (finished / "demo-vlm/bfloat16/zero-shot/predictions.jsonl").read_text().splitlines()
    assert len(answers) == 50
    scores = json.loads((finished / "demo-vlm/bfloat16/zero-shot/scores.json").read_text())
    assert scores["metrics"]["CIDEr"]["n"] == 50


def test_no_photograph_is_larger_than_asked(finished):
    images = json.loads((finished / "images.json").read_text())["images"]
    assert len(images) == 50
    assert max(max(entry["size"]) for entry in images.values()) == 512
