"""What a cell of verdicts.json says of its costs and of what its items would have shown."""

from __future__ import annotations

import pytest

import made_results
from bitbudget import registry
from bitbudget.telling import costs as told
from bitbudget.telling import evidence, record

TIMES = "\N{MULTIPLICATION SIGN}"


@pytest.fixture
def rows(tmp_path):
    folder = made_results.build(tmp_path, track="detection", precisions=5)
    return record.read_summary(folder / "summary.csv")


def best(rows, cost):
    columns = told.columns(registry.module_of("track", "detection"), rows)
    return told.best(next(one for one in columns if one.cost.metric == cost), rows, rows[0])


def test_the_best_in_a_cost_is_named_where_it_is_clearly_better(rows):
    assert best(rows, "latency") == f"litert-int8-full has the lowest latency: 44.5 ms instead of 91.0 ms (0.49{TIMES})"
    assert best(rows, "throughput_1").startswith("litert-int8-full has the most images/s at batch size 1: 22.0 instead")
    slow = [rows[0], *({**row, "latency_median_s": 2 * rows[0]["latency_median_s"]} for row in rows[1:])]
    assert best(slow, "latency") == "no precision is clearly faster than litert-float32 (91.0 ms)"


def test_disturbed_timings_have_no_best_and_no_number(rows):
    disturbed = [{**row, "disturbed": "the machine was loaded"} for row in rows]
    assert best(disturbed, "latency") == "no precision's latency can be compared with litert-float32's"
    assert best(disturbed, "size_on_disk").startswith("litert-int8 has the smallest size on disk")


def test_what_the_items_would_have_shown_is_a_range_over_the_precisions(tmp_path):
    made = evidence.load(made_results.build(tmp_path, track="vqa", precisions=3))
    assert made.cell("model-1", "zero-shot")["detectable"] == (
        "400 questions would have shown a loss of 1.7 points of VQA accuracy with 80 % probability; a smaller one may "
        "go unseen"
    )
    alone = evidence.load(made_results.build(tmp_path / "alone", track="vqa", precisions=1))
    assert alone.cell("model-1", "zero-shot")["detectable"] == "nothing was compared"


@pytest.mark.parametrize(("track", "limit"), [("vqa", -3.49), ("detection", -0.02)])
def test_the_limit_is_a_difference_in_the_written_unit(tmp_path, track, limit):
    cell = evidence.load(made_results.build(tmp_path, track=track, precisions=3)).cell("model-1", "zero-shot")
    assert cell["limit"] == pytest.approx(limit, abs=0.01)


def test_a_cost_that_the_baseline_lacks_is_said_to_be_unmeasured(rows):
    rows[0] |= {"latency_median_s": None, "throughput_batch_1_items_per_s": None}
    assert best(rows, "latency") == "latency: not measured for litert-float32"
    assert best(rows, "throughput_1") == "images/s at batch size 1: not measured for litert-float32"
