"""The summary table: order, units, and absent values that stay absent; and the last lines of a run."""

import json

import pytest
import synthetic_study as synthetic

from bitbudget import records as made
from bitbudget.config.run import summary_lines
from bitbudget.errors import UserError
from bitbudget.judging import summary
from bitbudget.telling import record
from bitbudget.tracks import lambada

MODELS, PRECISIONS, CONDITIONS = ["one", "two"], ["float16", "int8-language", "rtn-2"], ["zero-shot"]
SPEC = synthetic.spec(MODELS, PRECISIONS, CONDITIONS)


@pytest.fixture
def records():
    return synthetic.study(MODELS, PRECISIONS, CONDITIONS)


def test_rows_are_in_the_studys_order_whatever_the_order_of_the_records(records):
    table = summary.summarize(SPEC, *(part[::-1] for part in records))
    assert list(zip(table["model"], table["precision"], strict=True)) == [(m, p) for m in MODELS for p in PRECISIONS]
    assert table["baseline"].tolist() == [True, False, False] * 2


def test_values_carry_their_units(records):
    records[1][0]["metrics"]["energy_per_item"]["scope"] = "the fake"
    row = summary.summarize(SPEC, *records).iloc[0]
    metrics = records[1][0]["metrics"]
    assert row["CIDEr"] == 0.931
    assert row["CIDEr_ci_low"] < row["CIDEr"] < row["CIDEr_ci_high"]
    assert row["n_items"] == 200
    assert row["size_on_disk_MiB"] == pytest.approx(row["size_on_disk_MB"] * 1e6 / 1048576)
    assert row["peak_memory_MiB"] == pytest.approx(row["peak_memory_MB"] * 1e6 / 1048576)
    assert row["latency_median_s"] == sorted(metrics["latency"]["raw"])[3]
    assert (row["latency_median_ci_low_s"], row["latency_median_ci_high_s"]) == tuple(metrics["latency"]["ci"])
    assert row["latency_mean_s"] == metrics["latency"]["mean"]
    assert [row["latency_mean_ci_low_s"], row["latency_mean_ci_high_s"]] == metrics["latency"]["mean_ci"]
    assert row["energy_net_per_item_J"] == metrics["energy_per_item"]["net"]
    assert row.isna()[["METEOR_ci_low", "METEOR_ci_high"]].all()
    assert (row["device"], row["threads"], row["hardware"]) == ("cpu", 2, "Abacus 9")
    assert row["latency_p95_s"] == metrics["latency"]["p95"]
    assert row["carbon_per_1000_items_g"] == pytest.approx(1000 * metrics["carbon_per_item"]["value"])
    assert row["throughput_batch_8_items_per_s"] == metrics["throughput_8"]["value"]
    assert row["peak_memory_kind"] == "resident set"
    assert (row["energy_source"], row["energy_how"]) == ("codecarbon", "estimated")
    assert (row["energy_scope"], row["energy_batch_size"]) == ("the fake", 8)
    assert row.isna()["simulated"]
    assert row["bits_per_weight"] == 16
    assert row["checkpoint_hash"] == synthetic.HASH


def test_energy_by_part_and_electricity_have_their_units(records):
    metrics = records[1][0]["metrics"]
    for name, value, unit in (
        ("energy_preprocessing", 0.5, "J"), ("energy_vision_prefill", 2.5, "J"), ("energy_decode", 6.0, "J"),
        ("idle_power", 21.5, "W"), ("electricity_per_item", 3e-6, "kWh"),
    ):  # fmt: skip
        metrics[name] = made.metric(value, unit, higher_is_better=False, n=3)
    table = summary.summarize(SPEC, *records)
    row = table.iloc[0]
    assert (row["energy_preprocessing_J"], row["energy_vision_prefill_J"], row["energy_decode_J"]) == (0.5, 2.5, 6.0)
    assert "energy_prefill_J" not in table.columns, "of a model that sees the two are one"
    assert row["idle_power_W"] == 21.5
    assert row["kwh_per_1000_items"] == pytest.approx(0.003)
    assert row["kwh_per_million_requests"] == pytest.approx(3.0)
    assert row["carbon_per_million_requests_kg"] == pytest.approx(row["carbon_per_1000_items_g"])
    assert row["carbon_per_million_requests_kg"] == pytest.approx(1000 * metrics["carbon_per_item"]["value"])
    assert not {"energy_invoke_J", "energy_postprocessing_J"} & set(table.columns)
    assert table.iloc[1].isna()[["kwh_per_1000_items", "energy_decode_J", "idle_power_W"]].all()


def test_a_pooled_record_was_measured_where_its_repeats_were(records):
    """What pools the repeats may run elsewhere, and sees no GPU."""
    for one in records[1]:
        there = one["provenance"] | {"hardware": {"cpu": "Abacus 9", "gpus": [{"name": "H200"}]}}
        one["repeats"] = [{"repeat": 1, "provenance": there}]
        one["provenance"] = {"hardware": {"cpu": "Slate", "gpus": []}}
    assert summary.summarize(SPEC, *records).iloc[0]["hardware"] == "Abacus 9 + H200"


def test_of_several_gpus_the_one_that_was_used_is_named(records):
    first, second = records[1][:2]
    for one, name in ((first, "H200"), (second, "T4")):
        one["provenance"] = {"hardware": {"cpu": "Abacus 9", "gpus": [{"name": "H200"}, {"name": "T4"}]}}
        one["circumstances"] = {"device": "cuda", "threads": 2, "gpu": {"name": name, "uuid": "GPU-a"}}
    table = summary.summarize(SPEC, *records)
    assert table["hardware"].tolist()[:2] == ["Abacus 9 + H200", "Abacus 9 + T4"]
    assert "measured on Abacus 9 + T4, cuda, 2 threads where" in table["notes"][1]


def test_absent_values_are_empty_cells_with_their_reason_and_never_zero(records, tmp_path):
    table = summary.summarize(SPEC, *records)
    row = table.iloc[2]
    simulated = synthetic.SIMULATED.format("rtn-2")
    assert row.isna()[["device", "threads", "hardware"]].all()
    for column in ("SPICE", "size_on_disk_MB", "latency_median_s", "energy_per_item_J", "bits_per_weight"):
        assert row.isna()[column], column
    assert row["simulated"] == "rtn-2"
    assert row["notes"].startswith(f"SPICE: {synthetic.NO_SPICE} | size_on_disk, weights_in_memory")
    assert row["notes"].count(simulated) == 1
    table.to_csv(tmp_path / "summary.csv", index=False)
    cells = (tmp_path / "summary.csv").read_text().splitlines()[3].split(",")
    assert cells[table.columns.get_loc("size_on_disk_MB")] == ""


def test_values_that_older_records_lack_are_empty_cells(records):
    first = records[1][0]
    del first["circumstances"], first["provenance"], first["metrics"]["latency"]["mean_ci"]
    del first["metrics"]["energy_per_item"]["net"]
    table = summary.summarize(SPEC, *records)
    columns = ["device", "threads", "hardware", "energy_net_per_item_J", "energy_scope", "latency_mean_ci_low_s"]
    assert table.iloc[0].isna()[columns].all()
    assert "not comparable" not in "".join(table["notes"])


def test_rows_measured_elsewhere_than_their_baseline_say_so(records):
    threads, machine = records[1][1], records[1][4]
    threads["circumstances"] = {"device": "cpu", "threads": 1}
    machine["provenance"] = {"hardware": {"cpu": "Abacus 9", "gpus": [{"name": "H200"}, {"name": "H200"}]}}
    machine["circumstances"] = {"device": "cuda", "threads": 2}
    notes = summary.summarize(SPEC, *records)["notes"].tolist()
    assert notes[1].endswith(
        "measured on Abacus 9, cpu, 1 thread where the baseline was measured on Abacus 9, cpu, 2 threads: "
        "speed, memory and energy are not comparable"
    )
    assert "measured on Abacus 9 + H200, cuda, 2 threads where" in notes[4]
    assert [i for i, note in enumerate(notes) if "not comparable" in note] == [1, 4]


def test_what_disturbed_the_measuring_stands_in_its_row(records, tmp_path):
    one, old = records[1][1], records[1][2]
    one |= {"remarks": ["repeat 1: the machine was loaded (9.0 jobs on 2 cores).", "They differ."]}
    one |= {"disturbed": ["the machine was loaded"]}
    records[0][1]["remarks"] = ["the scores look wrong"]
    old["repeats"] = [{"circumstances": {"load_before": 9.0, "cores": 2, "other_gpu_processes": [7]}}]
    summary.summarize(SPEC, *records).to_csv(tmp_path / "summary.csv", index=False)
    rows = {row["precision"]: row for row in record.read_summary(tmp_path / "summary.csv") if row["model"] == "one"}
    assert [(row["remarks"], row["disturbed"]) for row in rows.values()] == [
        (None, None),
        (
            "repeat 1: the machine was loaded (9.0 jobs on 2 cores). | They differ. | the scores look wrong",
            "the machine was loaded",
        ),
        (None, "the machine was loaded; other processes computed on the GPU"),
    ]


def test_rates_of_tokens_and_kernels_have_columns():
    precisions = ["bfloat16", "gptq-4", "rtn-4"]
    scores, measurements, audits = synthetic.study(["m"], precisions, CONDITIONS, track="lambada")
    audits[1]["layers"][0]["kernel"] = "another.Kernel"
    table = summary.summarize(
        synthetic.spec(["m"], precisions, CONDITIONS, track="lambada"), scores, measurements, audits
    )
    metrics = measurements[1]["metrics"]
    row = table.iloc[1]
    assert row["prefill_tokens_per_s"] == metrics["prefill_rate"]["value"]
    assert row["decode_tokens_per_s"] == metrics["decode_rate"]["value"]
    assert row["tokens_per_s_batch_8"] == metrics["token_rate_8"]["value"]
    assert row["throughput_batch_8_items_per_s"] == metrics["throughput_8"]["value"]
    names = [name for name in table.columns if "_per_s" in name and "batch" in name]
    assert "energy_prefill_J" in table and "energy_vision_prefill_J" not in table
    rates = ("throughput_batch_1{}_items_per_s", "throughput_batch_8{}_items_per_s", "tokens_per_s_batch_1{}",
             "tokens_per_s_batch_8{}")  # fmt: skip
    assert names == [rate.format(end) for rate in rates for end in ("", "_ci_low", "_ci_high")]
    assert [row["tokens_per_s_batch_8_ci_low"], row["tokens_per_s_batch_8_ci_high"]] == metrics["token_rate_8"]["ci"]
    assert table["kernels"].tolist()[1:] == [
        "another.Kernel, gptqmodel.TorchLinear",
        "bitbudget.models.formats.Rounded",
    ]
    assert "latency_vision_s" not in table and table.iloc[0].isna()["kernels"]
    assert table.iloc[2].isna()[[*names, "prefill_tokens_per_s"]].all()
    assert table["notes"].iloc[0] == "relative_logit_error: this is the baseline."
    start = list(table.columns).index("n_items")
    names = [name for name in table.columns[start:] if name in lambada.METRICS]
    assert names == ["top_1", "top_5", "top_10", "last_word_accuracy", "perplexity", "loss", "relative_logit_error"]


def test_a_detectors_columns_are_those_of_its_phases_and_name_its_delegate():
    precisions = ["litert-float32", "litert-int8-full"]
    found = synthetic.study(["m"], precisions, CONDITIONS, track="detection")
    table = summary.summarize(synthetic.spec(["m"], precisions, CONDITIONS, track="detection"), *found)
    metrics = found[1][1]["metrics"]
    row = table.iloc[1]
    assert row["AP"] == synthetic.DETECTORS["litert-int8-full"][1]
    for phase in ("preprocessing", "invoke", "postprocessing"):
        assert row[f"latency_{phase}_s"] == metrics[f"latency_{phase}"]["value"]
    assert row["load_time_s"] == metrics["load_time"]["value"]
    assert table["delegate"].tolist() == ["XNNPACK 231/233 operators", "XNNPACK 180/233 operators"]
    assert row["kernels"] == "FULLY_CONNECTED in XNNPACK"
    assert row["bits_per_weight"] == pytest.approx(8.1, rel=0.01)
    assert not [name for name in table.columns if "token" in name or "vision" in name or "decode" in name]
    assert {"energy_preprocessing_J", "energy_invoke_J", "energy_postprocessing_J"} <= set(table.columns)
    assert "energy_prefill_J" not in table.columns
    assert row.isna()["weights_in_memory_MB"]
    assert row["notes"] == f"AP_small, AR_small: {synthetic.NO_SMALL} | weights_in_memory: {synthetic.NO_WEIGHTS}"


def test_columns_of_a_detector_are_not_there_for_other_models(records):
    columns = set(summary.summarize(SPEC, *records).columns)
    assert {"latency_vision_s", "latency_prefill_s", "latency_decode_s", "decode_per_token_s"} <= columns
    assert not {"latency_invoke_s", "latency_postprocessing_s", "load_time_s", "delegate"} & columns


def test_scores_of_different_subsets_are_refused(records):
    records[0][3]["subset_hash"] = "d" * 64
    with pytest.raises(UserError, match="different subsets"):
        summary.summarize(SPEC, *records)


def test_missing_doubled_and_mismatched_records_are_sentences(records):
    scores, measurements, audits = records
    with pytest.raises(UserError, match="no scores record of one / float16 / zero-shot"):
        summary.summarize(SPEC, scores[1:], measurements, audits)
    with pytest.raises(UserError, match="two audit records are of one / float16"):
        summary.summarize(SPEC, scores, measurements, [*audits, audits[0]])
    measurements[0]["checkpoint_hash"] = "d" * 64
    with pytest.raises(UserError, match="different checkpoints"):
        summary.summarize(SPEC, scores, measurements, audits)


ASKED = synthetic.spec(["one"], PRECISIONS[:2], ["zero-shot", "4-shot"], track="vqa") | {"spot_check": 25}


@pytest.fixture
def answered():
    return synthetic.study(["one"], PRECISIONS[:2], ["zero-shot", "4-shot"], track="vqa")


def rating(precision, condition, accuracy):
    about = {"higher_is_better": True, "n": 25}
    metrics = {
        "human_accuracy": made.metric(accuracy, "share", ci=(accuracy - 0.1, accuracy + 0.1), **about),
        "human_agreement": made.metric(0.84, "share", **about),
    }
    return {"model": "one", "precision": precision, "condition": condition, "metrics": metrics}


def test_columns_are_those_of_the_metrics_that_were_computed(answered):
    table = summary.summarize(ASKED | {"spot_check": 0}, *answered)
    assert list(table["condition"]) == ["zero-shot"] * 2 + ["4-shot"] * 2
    assert list(table["precision"]) == PRECISIONS[:2] * 2
    start = list(table.columns).index("n_items")
    assert list(table.columns)[start : start + 7] == [
        "n_items", "vqa_accuracy", "vqa_accuracy_ci_low", "vqa_accuracy_ci_high",
        "exact_match", "exact_match_ci_low", "exact_match_ci_high",
    ]  # fmt: skip
    assert not any(name.startswith(("human", "anls", "relaxed", "CIDEr")) for name in table.columns)
    assert table["n_items"].tolist() == [400] * 4


def test_captions_have_no_columns_for_people_and_all_for_metrics(records):
    columns = list(summary.summarize(SPEC, *records).columns)
    names = [name for name in columns if name in ("CIDEr", "BLEU-4", "ROUGE-L", "METEOR", "SPICE", "human_accuracy")]
    assert names == ["CIDEr", "BLEU-4", "ROUGE-L", "METEOR", "SPICE"]


def test_what_people_found_stands_beside_what_was_computed(answered):
    cells = [rating(p, c, a) for p, c, a in (("float16", "zero-shot", 0.8), ("int8-language", "4-shot", 0.6))]
    table = summary.summarize(ASKED, *answered, {"cells": cells})
    row = table.iloc[0]
    assert (row["human_accuracy"], row["human_agreement"], row["human_n"]) == (0.8, 0.84, 25)
    assert [row["human_accuracy_ci_low"], row["human_accuracy_ci_high"]] == pytest.approx([0.7, 0.9])
    assert table["human_n"].isna().tolist() == [False, True, True, False]
    assert row["notes"] == ""
    assert "nobody has rated these answers yet" in table.iloc[1]["notes"]


def test_a_spot_check_that_nobody_made_is_empty_and_says_where_to_make_it(answered, tmp_path):
    table = summary.summarize(ASKED, *answered)
    columns = [name for name in table.columns if name.startswith("human")]
    assert columns == [
        "human_accuracy", "human_accuracy_ci_low", "human_accuracy_ci_high", "human_agreement", "human_n",
    ]  # fmt: skip
    assert table[columns].isna().all(axis=None)
    assert (
        table["notes"]
        .str.startswith(
            "human_accuracy, human_agreement: nobody has rated these answers yet; "
            "results/synthetic/spot_check.html asks for it"
        )
        .all()
    )


def test_the_last_lines_name_the_studys_metric_and_its_conditions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results" / "charts"
    folder.mkdir(parents=True)
    (folder / "summary.csv").write_text(
        "model,precision,condition,relaxed_accuracy,size_on_disk_MB,throughput_batch_1_items_per_s,"
        "throughput_batch_16_items_per_s\n"
        "m,float16,zero-shot,0.51234,12.5,9.9,12.3456\nm,float16,4-shot,0.6,12.5,9.9,\n"
    )
    (folder / "blind.json").write_text(json.dumps({"metrics": {"relaxed_accuracy": {"value": 0.125}}}))
    study = {"track": "vqa", "primary": "relaxed_accuracy", "demo": False, "precisions": ["float16"]}
    study |= {"models": ["m"], "conditions": ["zero-shot", "4-shot"]}
    assert summary_lines({"charts": study}) == [
        "",
        "study charts: results/charts/",
        "  condition  precision  relaxed_accuracy    MB on disk  answers/s (batch 16)",
        "  zero-shot  float16              0.5123          12.5                 12.35",
        "  4-shot     float16                 0.6          12.5          not measured",
        "  (without looking)                0.125",
        "  table: results/charts/summary.csv   figures: results/charts/figures/",
    ]


def test_the_last_lines_of_a_study_without_a_rate_tell_the_latency(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results" / "boxes"
    folder.mkdir(parents=True)
    (folder / "summary.csv").write_text(
        "model,precision,condition,AP,size_on_disk_MB,latency_median_s\n"
        "m,litert-float32,zero-shot,0.40213,41.6,0.09103\nm,litert-int8,zero-shot,0.39,10.5,\n"
    )
    (folder / "blind.json").write_text(json.dumps({"metrics": {"AP": {"value": 0.0123}}}))
    study = {"track": "detection", "primary": "AP", "demo": True, "precisions": ["litert-float32", "litert-int8"]}
    study |= {"models": ["m"], "conditions": ["zero-shot"]}
    assert summary_lines({"boxes": study})[1:-1] == [
        "demo study boxes: results/boxes/",
        "  precision                 AP    MB on disk   latency (s)",
        "  litert-float32        0.4021          41.6       0.09103",
        "  litert-int8             0.39          10.5  not measured",
        "  (without looking)        0.0123",
    ]
