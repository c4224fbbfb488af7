"""The annotated real photographs go through a study of one's own images and boxes, with COCO's classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from checkouts import ONE_CORE, ROOT, copy_checkout, snakemake, write_study

REAL = ROOT.parent / "shared" / "real" / "coco_images"
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="the folder shared/real does not stand beside this checkout")
MODEL = """
coco-sized:
  local: untrained
  family: yolos
  licence: Apache-2.0
  detector: {input: {size: [128, 160]}, classes: {ids: identity}}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The copy after a study of the 25 photographs with an untrained YOLOS that has the 91 labels of the real ones."""
    from transformers import YolosConfig, YolosForObjectDetection
    from transformers.models.yolos.image_processing_pil_yolos import YolosImageProcessorPil

    checkout = copy_checkout(tmp_path_factory.mktemp("photographs"))
    config = YolosConfig(
        image_size=[128, 160],
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_detection_tokens=20,
        num_labels=91,
    )
    YolosForObjectDetection(config).save_pretrained(checkout / "untrained")
    YolosImageProcessorPil().save_pretrained(checkout / "untrained")
    with (checkout / "config/models.yaml").open("a") as table:
        table.write(MODEL)
    write_study(
        checkout,
        {
            "study": "photographs",
            "track": "detection",
            "dataset": {
                "name": "my-objects",
                "kind": "local-detection",
                "options": {
                    "images": str(REAL / "val2017"),
                    "annotations": str(REAL / "annotations" / "instances_val2017.json"),
                },
            },
            "images": {"max_side": 512},
            "models": ["coco-sized"],
            "precisions": ["litert-float32", "litert-int8"],
            "measure": {"items": 2, "min_iterations": 2, "min_seconds": 0.2, "repeats": 1},
        },
    )
    run = snakemake(checkout, *ONE_CORE, "--config", "study=photographs")
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    return checkout / "results" / "photographs"


def test_all_photographs_with_boxes_are_scored(finished: Path) -> None:
    subset = json.loads((finished / "subset.json").read_text())
    assert len(subset["ids"]) == 25
    assert len(subset["categories"]) == 80
    for precision in ("litert-float32", "litert-int8"):
        cell = finished / "coco-sized" / precision / "zero-shot"
        assert len((cell / "predictions.jsonl").read_text().splitlines()) == 25
        metrics = json.loads((cell / "scores.json").read_text())["metrics"]
        assert 0 <= metrics["AP"]["value"] < 0.1
        assert metrics["AP"]["n"] == 25


def test_no_answer_names_a_category_that_coco_does_not_have(finished: Path) -> None:
    known = {one["id"] for one in json.loads((finished / "subset.json").read_text())["categories"]}
    rows = (finished / "coco-sized/litert-float32/zero-shot/predictions.jsonl").read_text().splitlines()
    said = {found["category_id"] for row in rows for found in json.loads(row)["detections"]}
    assert said and said <= known


def test_the_pictures_are_there(finished: Path) -> None:
    assert (finished / "figures/detections.png").stat().st_size > 10_000
