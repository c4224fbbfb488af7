"""A reduced language study, from stories to the table: every kind of format, calibration, kernels and figures."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path

import pytest
import whole_run
import yaml

import warm
from checkouts import ONE_CORE, ROOT, copy_checkout, jobs_run, snakemake, write_study

if importlib.util.find_spec("gptqmodel") is None:
    pytest.skip("GPTQModel is not installed, whose installation needs a C compiler", allow_module_level=True)

PRECISIONS = ["bfloat16", "gguf-q8_0", "bnb-int8", "gptq-4", "gptq-2", "rtn-2"]
STUDY = "results/reduced"
RUN = (*ONE_CORE, "--config", "study=reduced")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The copy after a whole run."""
    made = copy_checkout(tmp_path_factory.mktemp("demo"))
    study = yaml.safe_load((ROOT / "config/studies/demo-lambada.yaml").read_text())
    study |= {"study": "reduced", "precisions": PRECISIONS}
    study["dataset"]["subset"] = 200
    study["measure"] |= {"min_seconds": 0.2, "items": 4, "batch_sizes": [1, 4], "repeats": 1}
    write_study(made, study)
    run = snakemake(made, *RUN, python=warm.python())
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    return made


def record(checkout: Path, name: str) -> dict:
    return json.loads((checkout / STUDY / name).read_text())


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def table(checkout: Path) -> dict[str, dict[str, str]]:
    """summary.csv by precision."""
    with (checkout / STUDY / "summary.csv").open(newline="") as file:
        return {row["precision"]: row for row in csv.DictReader(file)}


def test_the_run_ends_with_its_verdicts(checkout: Path) -> None:
    whole_run.check(checkout / STUDY)


def test_the_demo_model_reads_and_fewer_bits_cost_it_something(checkout: Path) -> None:
    floor = record(checkout, "blind.json")["metrics"]["top_1"]["value"]
    found = {name: float(row["top_1"]) for name, row in table(checkout).items()}
    assert floor < 0.1
    assert found["bfloat16"] > 0.6
    assert found["bnb-int8"] == pytest.approx(found["bfloat16"], abs=0.03)
    assert found["bfloat16"] > found["gptq-2"] > found["rtn-2"]


def test_loss_and_logits_move_before_accuracy_does(checkout: Path) -> None:
    rows = table(checkout)
    errors = [float(rows[name]["relative_logit_error"]) for name in ("bnb-int8", "gptq-4", "gptq-2", "rtn-2")]
    assert errors == sorted(errors)
    assert 0 < errors[0] < 0.1
    assert rows["bfloat16"]["relative_logit_error"] == ""
    assert float(rows["gptq-2"]["loss"]) > float(rows["bfloat16"]["loss"])


def test_calibration_texts_are_recorded_and_none_is_evaluated(checkout: Path) -> None:
    evaluated = {f"{item['question']} {item['references'][0]}" for item in lines(checkout / STUDY / "items.jsonl")}
    texts = {f"{row['question']} {row['references'][0]}" for row in lines(checkout / STUDY / "calibration.jsonl")}
    about = record(checkout, "calibration.json")
    assert len(texts) == about["n"] == 96
    assert not evaluated & texts
    used = record(checkout, "demo-lm/gptq-4/checkpoint/checkpoint.json")["calibration"]
    assert used["calibration_hash"] == about["calibration_hash"]


def test_packed_formats_are_smaller_and_name_their_kernel(checkout: Path) -> None:
    rows = table(checkout)
    sizes = [float(rows[name]["size_on_disk_MB"]) for name in ("bfloat16", "bnb-int8", "gptq-4", "gptq-2")]
    assert sizes == sorted(sizes, reverse=True)
    # the fastest for 4 bits that is exact here, and the one that takes all else
    assert any(name in rows["gptq-4"]["kernels"] for name in ("TorchFusedLinear", "TorchAtenLinear"))
    assert "TorchLinear" in rows["gptq-2"]["kernels"]
    assert rows["bfloat16"]["kernels"] == ""
    for name in ("bfloat16", "gptq-4"):
        assert float(rows[name]["decode_tokens_per_s"]) > 0
        assert float(rows[name]["prefill_tokens_per_s"]) > float(rows[name]["decode_tokens_per_s"])
        assert float(rows[name]["tokens_per_s_batch_4"]) > 0
    assert rows["rtn-2"]["decode_tokens_per_s"] == "" and "simulated" in rows["rtn-2"]["notes"]


def test_no_image_is_anywhere(checkout: Path) -> None:
    assert not list((checkout / STUDY).rglob("image*"))
    measured = record(checkout, "demo-lm/bfloat16/zero-shot/measurements.json")["metrics"]
    assert "latency_vision" not in measured


def test_one_lost_file_is_made_again_alone(checkout: Path) -> None:
    lost = f"{STUDY}/demo-lm/gptq-4/zero-shot/predictions.jsonl"
    before = (checkout / lost).read_text()
    (checkout / lost).unlink()
    run = snakemake(checkout, lost, *RUN)
    assert run.returncode == 0, run.stderr[-3000:]
    assert set(jobs_run(run.stdout + run.stderr)) == {"predict_last_words"}
    assert (checkout / lost).read_text() == before
