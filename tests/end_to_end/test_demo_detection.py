"""A reduced detection study, from drawn scenes to table, plots and pictures: five formats of LiteRT."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import whole_run
import yaml
from PIL import Image

from checkouts import ONE_CORE, ROOT, copy_checkout, jobs_run, snakemake, write_study

PRECISIONS = ["litert-float32", "litert-float16", "litert-int8", "litert-int8-full", "litert-int4"]
STUDY = "results/reduced"
RUN = (*ONE_CORE, "--config", "study=reduced")
COSTS = ("size", "latency", "throughput", "memory", "energy", "quality")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The copy after a whole run."""
    made = copy_checkout(tmp_path_factory.mktemp("demo"))
    study = yaml.safe_load((ROOT / "config/studies/demo-detection.yaml").read_text())
    study |= {
        "study": "reduced",
        "precisions": PRECISIONS,
        "dataset": {"name": "few", "kind": "demo-boxes", "options": {"images": 80}},
    }
    study["dataset"]["subset"] = 60
    study["quantization"] = {"calibration": {"items": 16}}
    study["measure"] |= {"min_seconds": 0.3, "items": 4, "repeats": 2}
    write_study(made, study)
    run = snakemake(made, *RUN)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    return made


def record(checkout: Path, name: str) -> dict:
    return json.loads((checkout / STUDY / name).read_text())


def table(checkout: Path) -> dict[str, dict[str, str]]:
    """summary.csv by precision."""
    with (checkout / STUDY / "summary.csv").open(newline="") as file:
        return {row["precision"]: row for row in csv.DictReader(file)}


def test_the_run_ends_with_its_verdicts_and_measures_in_turn(checkout: Path) -> None:
    whole_run.check(checkout / STUDY, repeats=2)


def test_answers_and_scores_are_reproduced_to_the_last_digit(checkout: Path) -> None:
    run = snakemake(checkout, *ONE_CORE, "reproduce", "--config", "study=reduced")
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    found = record(checkout, "reproduction.json")
    assert found["identical"] and len(found["cells"]) == len(PRECISIONS) + 1  # and the noise floor
    assert not (checkout / "resources/.partial/reproduction/reduced").exists()


def test_the_demo_detector_finds_shapes_in_every_format(checkout: Path) -> None:
    found = {name: float(row["AP50"]) for name, row in table(checkout).items()}
    assert found["litert-float32"] > 0.5
    assert found["litert-float16"] == pytest.approx(found["litert-float32"], abs=0.005)
    assert found["litert-int8"] == pytest.approx(found["litert-float32"], abs=0.03)
    assert record(checkout, "blind.json")["metrics"]["AP50"]["value"] < 0.1
    assert all(value > 0.1 for value in found.values())


def test_fewer_bits_are_fewer_bytes_and_the_audit_says_which(checkout: Path) -> None:
    sizes = {name: float(row["size_on_disk_MB"]) for name, row in table(checkout).items()}
    assert sizes["litert-float32"] < 5
    order = ["litert-float32", "litert-float16", "litert-int8", "litert-int4"]
    assert [sizes[name] for name in order] == sorted((sizes[name] for name in order), reverse=True)
    assert sizes["litert-float16"] == pytest.approx(sizes["litert-float32"] / 2, rel=0.1)
    audit = record(checkout, "demo-detector/litert-int8/audit.json")
    kinds = {layer["found"] for layer in audit["layers"]}
    assert audit["passed"] and "litert-int8" in kinds
    assert audit["operators"]["FULLY_CONNECTED"] > 10
    errors = {
        name: max(record(checkout, f"demo-detector/{name}/audit.json")["output_errors"].values())
        for name in ("litert-float32", "litert-float16", "litert-int8", "litert-int4")
    }
    assert errors["litert-float32"] == 0 < errors["litert-float16"] < errors["litert-int8"] < errors["litert-int4"]


def test_an_image_is_timed_by_phase_and_the_delegate_is_named(checkout: Path) -> None:
    for name, row in table(checkout).items():
        measured = record(checkout, f"demo-detector/{name}/zero-shot/measurements.json")["metrics"]
        phases = [f"latency_{phase}" for phase in ("preprocessing", "invoke", "postprocessing")]
        assert min(float(row[f"{phase}_s"]) for phase in phases) > 0
        assert sum(measured[phase]["mean"] for phase in phases) == pytest.approx(measured["latency"]["mean"])
        assert float(row["latency_median_s"]) == pytest.approx(measured["latency"]["value"], rel=0.01)
        assert float(row["throughput_batch_1_items_per_s"]) > 0
        assert float(row["peak_memory_MB"]) > 10
        assert row["weights_in_memory_MB"] == "" and "LiteRT does not tell" in row["notes"]
    measured = record(checkout, "demo-detector/litert-float32/zero-shot/measurements.json")
    assert "XNNPACK" in measured["circumstances"]["delegate"]["name"]
    assert measured["circumstances"]["threads"] >= 1


def test_calibration_images_are_not_evaluated_and_only_full_integer_sees_them(checkout: Path) -> None:
    chosen = set(record(checkout, "calibration/calibration.json")["ids"])
    assert len(chosen) == 16
    assert not chosen & set(record(checkout, "subset.json")["ids"])
    assert "calibration" in record(checkout, "demo-detector/litert-int8-full/checkpoint/checkpoint.json")
    assert "calibration" not in record(checkout, "demo-detector/litert-int8/checkpoint/checkpoint.json")


def test_boxes_are_in_pixels_of_the_original(checkout: Path) -> None:
    images = record(checkout, "images.json")["images"]
    path = checkout / STUDY / "demo-detector/litert-float32/zero-shot/predictions.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == 60
    assert any(images[row["id"]]["source_size"] != images[row["id"]]["size"] for row in rows)
    for row in rows:
        width, height = images[row["id"]]["source_size"]
        for found in row["detections"]:
            x, y, w, h = found["bbox"]
            assert 0 <= x <= x + w <= width + 0.02 and 0 <= y <= y + h <= height + 0.02


def test_every_figure_is_there(checkout: Path) -> None:
    for name in (*COSTS, "detections"):
        assert (checkout / STUDY / f"figures/{name}.svg").stat().st_size > 1000
    with Image.open(checkout / STUDY / "figures/detections.png") as shown:
        assert min(shown.size) > 300


def test_one_lost_file_is_made_again_alone(checkout: Path) -> None:
    lost = f"{STUDY}/demo-detector/litert-int8/zero-shot/predictions.jsonl"
    before = (checkout / lost).read_text()
    (checkout / lost).unlink()
    run = snakemake(checkout, lost, *RUN)
    assert run.returncode == 0, run.stderr[-3000:]
    assert set(jobs_run(run.stdout + run.stderr)) == {"detect"}
    assert (checkout / lost).read_text() == before
