"""A reduced demo study from data to figures, in a copy of the checkout: what a newcomer's first run does."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import whole_run
import yaml

import warm
from checkouts import ONE_CORE, ROOT, copy_checkout, environment, jobs_run, snakemake, write_study

PRECISIONS = [
    "bfloat16", "int8-language", "int8-language-vision", "ort-int8-vision", "nf4-language", "torchao-int4-language",
]  # fmt: skip
SIMULATED = "rtn-2-language-vision"
CELL = "results/reduced/demo-vlm"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The copy after a whole run, with what the run printed."""
    checkout = copy_checkout(tmp_path_factory.mktemp("demo"))
    study = yaml.safe_load((ROOT / "config/studies/demo-captioning.yaml").read_text())
    study |= {"study": "reduced", "precisions": [*PRECISIONS, SIMULATED], "shard_size": 16, "batch_size": 16}
    study["dataset"]["subset"] = 48
    study["measure"] |= {"min_seconds": 0.5, "items": 4, "batch_sizes": [1, 4], "repeats": 1}
    write_study(checkout, study)
    run = snakemake(checkout, *ONE_CORE, "--config", "study=reduced", python=warm.python())
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    return checkout, run.stdout + run.stderr


@pytest.fixture(scope="module")
def table(finished: tuple[Path, str]) -> dict[str, dict[str, str]]:
    """summary.csv by precision."""
    with (finished[0] / "results/reduced/summary.csv").open(newline="") as file:
        return {row["precision"]: row for row in csv.DictReader(file)}


def record(checkout: Path, precision: str, name: str) -> dict:
    return json.loads((checkout / CELL / precision / name).read_text())


def test_every_file_of_the_path_grammar_is_there(finished):
    checkout, printed = finished
    study = checkout / "results/reduced"
    for name in (
        "study.resolved.yaml",
        "subset.json",
        "items.jsonl",
        "images.json",
        "summary.csv",
        "figures/quality.svg",
    ):
        assert (study / name).stat().st_size > 0, name
    for precision in (*PRECISIONS, SIMULATED):
        for name in (
            "audit.json",
            "zero-shot/measurements.json",
            "zero-shot/predictions.jsonl",
            "zero-shot/scores.json",
        ):
            assert (checkout / CELL / precision / name).stat().st_size > 0, (precision, name)
        assert (checkout / CELL / precision / "checkpoint/checkpoint.json").exists()
    assert "results/reduced/" in printed  # the run ends by saying where the results are


def test_every_log_was_written(finished):
    checkout, _ = finished
    logs = list((checkout / "logs").rglob("*.log"))
    assert len(logs) > 30
    silent = {p.parent.name for p in logs if not p.stat().st_size}
    assert silent <= {"fetch_images", "fetch_model", "resolve_study", "select_subset", "fetch_dataset", "plot_figures"}


def test_the_demo_model_sees(table):
    assert float(table["bfloat16"]["CIDEr"]) > 1.5


def test_eight_bits_are_close_to_the_baseline_and_two_bits_are_broken(table):
    baseline = float(table["bfloat16"]["CIDEr"])
    for precision in ("int8-language", "int8-language-vision", "ort-int8-vision"):
        assert float(table[precision]["CIDEr"]) > 0.9 * baseline
    assert float(table[SIMULATED]["CIDEr"]) < 0.6 * baseline


def test_sizes_fall_as_the_bits_do(table):
    size = {precision: float(table[precision]["size_on_disk_MB"]) for precision in PRECISIONS}
    assert size["bfloat16"] > size["int8-language"] > size["int8-language-vision"] > 0
    assert size["int8-language"] > size["nf4-language"]
    assert size["int8-language"] > size["torchao-int4-language"]


def test_a_simulated_precision_claims_no_cost(table):
    for column in ("size_on_disk_MB", "latency_median_s", "energy_per_item_J"):
        assert table[SIMULATED][column] == ""
    assert "simulated" in table[SIMULATED]["notes"]


def test_records_of_one_precision_name_the_same_checkpoint_and_items(finished):
    checkout, _ = finished
    made = record(checkout, "nf4-language", "checkpoint/checkpoint.json")["checkpoint_hash"]
    subset = json.loads((checkout / "results/reduced/subset.json").read_text())["subset_hash"]
    for name in ("zero-shot/measurements.json", "zero-shot/predictions.json", "zero-shot/scores.json"):
        found = record(checkout, "nf4-language", name)
        assert (found["checkpoint_hash"], found["subset_hash"]) == (made, subset)
    repeat = record(checkout, "nf4-language", "zero-shot/measurements/repeat-1.json")
    assert repeat["provenance"]["packages"]["torch"]


def test_the_run_ends_with_its_verdicts(finished):
    checkout, printed = finished
    whole_run.check(checkout / "results/reduced")
    assert "CIDEr against bfloat16, with 95 % intervals:" in printed
    assert f"{SIMULATED}  clear loss: " in printed
    assert "in full: results/reduced/verdicts.txt" in printed


def test_phases_of_the_latency_add_up(finished):
    metrics = record(finished[0], "bfloat16", "zero-shot/measurements.json")["metrics"]
    parts = [metrics[f"latency_{phase}"]["mean"] for phase in ("preprocessing", "vision", "prefill", "decode")]
    assert sum(parts) == pytest.approx(metrics["latency"]["mean"], rel=0.02)
    assert all(part > 0 for part in parts)


def test_a_second_run_has_nothing_to_do(finished):
    run = snakemake(finished[0], *ONE_CORE, "--config", "study=reduced")
    assert "Nothing to be done" in run.stdout + run.stderr


def test_a_deleted_result_named_as_target_is_rebuilt_alone(finished):
    checkout, _ = finished
    target = f"{CELL}/int8-language/zero-shot/scores.json"
    (checkout / target).unlink()
    run = snakemake(checkout, *ONE_CORE, "--config", "study=reduced", "--", target)
    assert run.returncode == 0
    assert jobs_run(run.stdout + run.stderr) == ["score"]


def test_a_killed_prediction_goes_on_from_its_last_shard(finished):
    checkout, _ = finished
    study, answers = checkout / "results/reduced", checkout / CELL / "bfloat16/zero-shot/predictions.jsonl"
    before = answers.read_text()
    answers.unlink()
    shards = checkout / "resources/.partial/predictions/reduced/demo-vlm/bfloat16/zero-shot"
    # The file is named as the target: a run whose final files are there makes no intermediate one again.
    arguments = [*ONE_CORE, "--config", "study=reduced", "--", str(answers.relative_to(checkout))]
    # The last picture is a pipe into which nobody writes: reading it takes until the run is killed. Large ones come
    # first, and those of one size in the items' order.
    shown = [json.loads(line)["images"][0]["id"] for line in (study / "items.jsonl").read_text().splitlines()]
    prepared = json.loads((study / "images.json").read_text())["images"]
    last = min(reversed(shown), key=lambda name: math.prod(prepared[name]["size"]))
    picture = study / prepared[last]["file"]
    picture.rename(picture.with_name("aside"))
    os.mkfifo(picture)
    command = [sys.executable, "-m", "snakemake", *arguments]
    run = subprocess.Popen(
        command, cwd=checkout, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 600
    while len(list(shards.rglob("[0-9]*.jsonl"))) < 2:
        assert run.poll() is None and time.monotonic() < deadline, "no shard was written before the run ended"
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    picture.unlink()
    picture.with_name("aside").rename(picture)
    kept = {path: path.stat().st_mtime_ns for path in shards.rglob("[0-9]*.jsonl")}
    assert len(kept) == 2 and not answers.exists()
    again = snakemake(checkout, *arguments)
    assert again.returncode == 0, again.stderr[-3000:]
    assert jobs_run(again.stdout + again.stderr) == ["predict"]
    assert answers.read_text() == before
    assert shards.exists()  # kept until Snakemake has accepted the answers, which are scored then
    target = f"{CELL}/bfloat16/zero-shot/scores.json"
    scored = snakemake(checkout, *ONE_CORE, "--config", "study=reduced", "--", target)
    assert jobs_run(scored.stdout + scored.stderr) == ["score"]
    assert not shards.exists()
