"""Pooling repeats: nothing is lost, what drifted shows, and what does not belong together is refused."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import measuring_fakes as fakes
import numpy as np
import pytest

from bitbudget import files, records
from bitbudget.errors import UserError
from bitbudget.measuring import disturbances, efficiency, pooling, quantities

CARBON = {"country": "AUT", "pue": 1.2, "intensity": 100}
SCRIPT = Path(__file__).parents[3] / "workflow" / "scripts" / "combine_measurements.py"


def measured(monkeypatch, repeat, slow=1.0, cold=1.0, peak=100.0, **first):
    """The metrics of one repeat in a world where decoding takes `slow` times as long."""
    world = fakes.World().patch(monkeypatch)
    subject = fakes.subject(world, repeat=repeat)
    whole = subject.generate
    subject.generate = lambda given: (whole(given), world.spend(len(given) * (slow - 1) * fakes.DECODE[0]))
    if first:
        subject.generate_first = lambda numbers: world.spend(*first["first"])
    found = efficiency.measure(subject, cold, fakes.Meter(world), "")
    monkeypatch.undo()
    found["peak_memory"] = records.metric(peak, "MB", higher_is_better=False, n=1, kind="resident set")
    found["size_on_disk"] = records.metric(6.0, "MB", higher_is_better=False, n=1, bytes=6_000_000)
    found["weights_in_memory"] = records.absent("nobody knows it.", "MB", higher_is_better=False)
    found["load_time"] = quantities.once([cold / 10], "s")
    return found


@pytest.fixture
def three(monkeypatch):
    paces = {1: (1.0, 1.3, 100.0), 2: (1.5, 1.1, 120.0), 3: (1.2, 1.2, 110.0)}
    return [fakes.record(measured(monkeypatch, k, *pace), k) for k, pace in paces.items()]


def test_raw_values_are_pooled_in_order_and_all_is_made_anew(three):
    _, body = pooling.pooled(three[::-1], CARBON)
    latency = body["metrics"]["latency"]
    raw = [value for one in three for value in one["metrics"]["latency"]["raw"]]
    assert latency["raw"] == raw and latency["n"] == len(raw)
    assert latency["value"] == pytest.approx(np.median(raw))
    assert latency["p95"] == pytest.approx(np.percentile(raw, 95))
    assert latency["mean"] == pytest.approx(np.mean(raw))
    assert latency["mean_ci"][0] < latency["mean"] < latency["mean_ci"][1]
    assert latency["by_repeat"] == pytest.approx([0.1, 0.135, 0.114])
    assert len(latency["drift"]) == 6
    assert body["metrics"]["decode_rate"]["by_repeat"] == pytest.approx([10.0] * 3)
    for name in ("throughput_1", "throughput_4", "token_rate_1", "token_rate_4"):
        found = body["metrics"][name]
        assert found["value"] == pytest.approx(np.mean(found["raw"])) and found["n"] == 6
        assert found["by_repeat"] == [one["metrics"][name]["value"] for one in three]
    assert body["metrics"].keys() == three[0]["metrics"].keys() | {"electricity_per_item", "carbon_per_item"}


def test_what_a_process_tells_once_is_kept_of_each(three):
    found = pooling.pooled(three, CARBON)[1]["metrics"]
    assert (found["latency_cold"]["value"], found["latency_cold"]["raw"]) == (1.2, [1.3, 1.1, 1.2])
    assert found["load_time"]["raw"] == pytest.approx([0.13, 0.11, 0.12])
    assert (found["peak_memory"]["value"], found["peak_memory"]["raw"]) == (120.0, [100.0, 120.0, 110.0])
    assert found["peak_memory"]["kind"] == "resident set"
    assert found["size_on_disk"] == three[0]["metrics"]["size_on_disk"]
    assert found["weights_in_memory"]["absent"] == "nobody knows it."


def test_energy_and_what_is_made_of_it(three):
    found = pooling.pooled(three, CARBON)[1]["metrics"]
    energy = found["energy_per_item"]
    assert energy == found["energy_per_item_1"]
    assert energy["value"] == pytest.approx(np.mean(energy["raw"])) and energy["n"] == 6
    assert energy["net"] == pytest.approx(np.mean(energy["net_raw"])) == pytest.approx(2.55)
    assert len(energy["window_seconds"]) == 6
    assert (energy["source"], energy["how"], energy["scope"]) == ("fake meter", "counter", "the fake")
    assert found["idle_power"]["raw"] == pytest.approx([7.0] * 6)
    decode = found["energy_decode"]
    assert decode["value"] == pytest.approx(energy["value"] - found["energy_first_token"]["value"])
    assert (decode["how"], decode["n"], decode["batch_size"]) == ("counter, by difference", 6, 1)
    assert decode["raw"] == [value for one in three for value in one["metrics"]["energy_decode"]["raw"]]
    assert decode["ci"][0] < decode["value"] < decode["ci"][1]
    assert decode["by_repeat"] == pytest.approx([one["metrics"]["energy_decode"]["value"] for one in three])
    assert found["electricity_per_item"]["value"] == pytest.approx(energy["value"] / 3.6e6 * 1.2)
    assert found["carbon_per_item"]["value"] == pytest.approx(energy["value"] / 3.6e6 * 1.2 * 100)
    assert found["carbon_per_item"]["source"] == "given in the study"


def test_a_difference_that_one_repeat_lost_is_made_of_all_windows(monkeypatch, three):
    """Were the repeats without a difference above zero left out, the rest would tell too much."""
    lost = measured(monkeypatch, 4, first=(0.12, 3.0))
    assert "absent" in lost["energy_decode"]
    firsts = [one["metrics"]["energy_first_token"]["value"] for one in three] + [lost["energy_first_token"]["value"]]
    some = three[0]["metrics"], lost
    for all_ in ([*(one["metrics"] for one in three), lost], [lost, *(one["metrics"] for one in three)]):
        found = pooling.metrics(all_)
        decode = found["energy_decode"]
        assert (len(decode["raw"]), len(decode["by_repeat"])) == (8, 4)
        assert min(decode["by_repeat"]) == np.mean(lost["energy_decode"]["raw"]) < 0
        assert decode["value"] == pytest.approx(found["energy_per_item"]["value"] - np.mean(firsts))
        assert decode["ci"][0] > 0, "clear all the same"
    decode = pooling.metrics(some)["energy_decode"]
    assert "value" not in decode and len(decode["raw"]) == 4, "two repeats that do not agree tell nothing"
    assert len(decode["by_repeat"]) == 2


def test_energy_that_the_first_repeat_lost_is_that_of_the_others(monkeypatch, three):
    reason = "the fake slept; wake it."
    names = [name for name in three[0]["metrics"] if name.startswith("energy_") or name == "idle_power"]
    whole = pooling.pooled(three[1:], CARBON)[1]["metrics"]
    for name in names:
        unit = three[0]["metrics"][name]["unit"]
        gone = records.absent(reason, unit, higher_is_better=False)
        made_of = three[0]["metrics"][name].get("difference")
        three[0]["metrics"][name] = gone | ({"difference": made_of} if made_of else {})
    found = pooling.pooled(three, CARBON)[1]["metrics"]
    for name in names:
        assert found[name] == whole[name] | {"absent_in_repeats": 1}, name
    assert found["energy_per_item"]["batch_size"] == 1
    assert found["carbon_per_item"]["value"] == whole["carbon_per_item"]["value"]


def test_energy_that_every_repeat_lost_says_why(three):
    for one in three:
        for name in one["metrics"]:
            if name.startswith("energy_") or name == "idle_power":
                one["metrics"][name] = records.absent("the fake slept; wake it.", "J", higher_is_better=False)
    found = pooling.pooled(three, CARBON)[1]["metrics"]
    assert found["energy_per_item"]["absent"] == found["idle_power"]["absent"] == "the fake slept; wake it."


def test_intervals_of_times_and_rates_hold_what_each_repeat_found_alone():
    """Three processes of 20 calls each, of which one ran slower as a whole: an interval over 60 calls is too narrow."""
    paces = (1.0, 1.01, 1.5)
    calls = [[pace + 0.001 * k for k in range(20)] for pace in paces]
    found = pooling.metrics(
        [
            {
                "latency": quantities.seconds(raw, drift=[0.0]),
                "decode_rate": quantities.rate([1 / one for one in raw], "tokens/s"),
                "throughput_1": quantities.throughput([1 / raw[0]] * 5, "items/s"),
            }
            for raw in calls
        ]
    )
    alone = quantities.seconds([one for raw in calls for one in raw])
    medians = [np.median(raw) for raw in calls]
    assert alone["ci"][1] < medians[2], "as it was"
    assert found["latency"]["value"] == alone["value"]
    assert found["latency"]["ci"] == pytest.approx([min(medians[0], alone["ci"][0]), medians[2]])
    low, high = found["latency"]["mean_ci"]
    assert low <= np.mean(calls[0]) and high == pytest.approx(np.mean(calls[2]))
    for name in ("decode_rate", "throughput_1"):
        low, high = found[name]["ci"]
        assert low <= min(found[name]["by_repeat"]) and max(found[name]["by_repeat"]) <= high
    assert found["throughput_1"]["ci"][0] == pytest.approx(1 / 1.5)


def test_one_repeat_is_pooled_to_itself(three):
    metrics = three[0]["metrics"]
    found = json.loads(json.dumps(pooling.pooled(three[:1], CARBON)[1]["metrics"]))
    for name, one in json.loads(json.dumps(metrics)).items():
        assert {key: found[name].get(key) for key in one} == one, name


def test_a_metric_that_one_repeat_lacks_says_so(three):
    three[1]["metrics"]["throughput_4"] = records.absent("it was lost that day.", "items/s", higher_is_better=True)
    found = pooling.pooled(three, CARBON)[1]["metrics"]["throughput_4"]
    assert (found["n"], found["absent_in_repeats"]) == (4, 1)


def test_each_repeat_keeps_when_and_under_what_it_measured(three):
    three[1]["circumstances"]["load_before"] = 0.7
    _, body = pooling.pooled(three, CARBON)
    assert [one["repeat"] for one in body["repeats"]] == [1, 2, 3]
    assert [one["started"] for one in body["repeats"]] == [one["started"] for one in three]
    assert body["repeats"][1]["circumstances"]["load_before"] == 0.7
    assert body["repeats"][2]["provenance"]["packages"] == {"torch": "2.13.0"}
    assert (body["circumstances"]["device"], body["circumstances"]["threads"]) == ("cpu", 1)
    assert "load_before" not in body["circumstances"]
    assert body["remarks"] == [
        "the median latency differs between the repeats by more than 10 %: 100.0, 135.0, 114.0 ms."
    ]


def test_what_may_have_disturbed_a_repeat_is_said(three):
    three[0]["circumstances"] |= {"load_before": 3.2, "other_gpu_processes": [12, 13]}
    three[1]["circumstances"] |= {"other_gpu_processes_after": [14], "warm_up": {"settled": False}}
    three[2]["circumstances"]["other_gpu_processes_after"] = None
    three[2]["metrics"]["latency"]["drift"] = [0.02, -0.25]
    three[2]["provenance"]["commit"] = "c0ffee+"
    body = pooling.pooled(three, CARBON)[1]
    assert body["disturbed"] == ["the machine was loaded", "other processes computed on the GPU"]
    assert body["remarks"][:-2] == [
        "repeat 1: the machine was loaded (3.2 jobs on 2 cores).",
        "repeat 1: other processes computed on the GPU before it measured (12, 13).",
        "repeat 2: other processes computed on the GPU after it measured (14).",
        "repeat 2: the timings had not settled when the warm-up ended.",
        "repeat 3: NVML did not tell which processes computed on the GPU after it measured.",
        "repeat 3: the second half of a round was slower or faster than the first (-25 %).",
    ]


@pytest.mark.parametrize(
    ("about", "reasons"),
    [
        ({"load_before": 2.5}, []),
        ({"load_before": 2.6}, [disturbances.LOADED]),
        ({"other_gpu_processes": [12]}, [disturbances.SHARED_GPU]),
        ({"other_gpu_processes_after": [12]}, [disturbances.SHARED_GPU]),
        ({"other_gpu_processes_after": None}, []),
        ({"warm_up": {"settled": False}}, []),
    ],
)
def test_one_disturbed_repeat_forbids_comparing_all(three, about, reasons):
    three[1]["circumstances"] |= about
    body = pooling.pooled(three, CARBON)[1]
    assert body["disturbed"] == disturbances.of_record(body) == reasons
    del body["disturbed"]  # as in a record of before
    assert disturbances.of_record(body) == reasons
    cells = disturbances.columns(body)
    assert cells["disturbed"] == ("; ".join(reasons) or None)
    assert cells["remarks"].endswith("100.0, 135.0, 114.0 ms.") and bool(reasons) <= ("repeat 2: " in cells["remarks"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"checkpoint_hash": "c" * 64}, "with different checkpoints, so they"),
        ({"subset_hash": "c" * 64}, "with different subsets, so they"),
        ({"provenance": {"packages": {"torch": "3.0"}}}, "with different packages (torch: 2.13.0 and 3.0), so they"),
        ({"provenance": {"hardware": {"cpu": "Slate"}}}, "with different hardware (cpu: Abacus 9 and Slate), so they"),
        ({"circumstances": {"threads": 2}}, "with different numbers of threads (1 and 2), so they"),
        ({"circumstances": {"device": "cuda"}}, "with different devices (cpu and cuda), so they"),
        (
            {"circumstances": {"gpu": {"name": "H9", "uuid": "GPU-b"}}},
            "with different GPUs (uuid: GPU-a and GPU-b), so they",
        ),
        ({"plan": {"items": 9}}, "with different plans (`measure` in the study) (items: None and 9), so they"),
    ],
)
def test_repeats_that_were_not_measured_alike_are_refused(three, change, said):
    for one in three:
        one["circumstances"]["gpu"] = {"name": "H9", "uuid": "GPU-a"}
    other = copy.deepcopy(three[1])
    for name, value in change.items():
        if name == "provenance":
            for part, inner in value.items():
                other[name][part] |= inner
        elif isinstance(value, dict):
            other[name] |= value
        else:
            other[name] = value
    with pytest.raises(UserError) as refused:
        pooling.pooled([three[0], other, three[2]], CARBON)
    assert str(refused.value) == (
        f"repeats 1 and 2 in results/s/m/p/zero-shot/measurements were measured {said} cannot be pooled: delete that "
        "folder and measure again."
    )


def test_repeats_whose_energy_is_of_other_things_are_refused(three):
    """One repeat without any does not hide that: what it lacks is counted as absent."""
    for name, one in three[0]["metrics"].items():
        if "source" in one:
            three[0]["metrics"][name] = records.absent("the fake slept; wake it.", one["unit"], higher_is_better=False)
    for one in three[2]["metrics"].values():
        if "source" in one:
            one |= {"source": "codecarbon", "how": "estimated"}
    with pytest.raises(UserError) as refused:
        pooling.pooled(three, CARBON)
    assert str(refused.value) == (
        "repeats 2 and 3 in results/s/m/p/zero-shot/measurements were measured with different energy sources "
        "(source: fake meter and codecarbon, how: counter and estimated), so they cannot be pooled: delete that folder "
        "and measure again."
    )


def test_repeats_of_another_precision_or_given_twice_are_refused(three):
    with pytest.raises(UserError, match=r"repeat 1 of results/s/m/p/zero-shot/measurements is given twice"):
        pooling.pooled([three[0], three[0]], CARBON)
    three[1]["precision"] = "q"
    with pytest.raises(UserError, match=r"the repeats are of s / m / p / zero-shot and s / m / q / zero-shot"):
        pooling.pooled(three, CARBON)


def combined(tmp_path, *repeats):
    paths = []
    for one in repeats:
        paths.append(tmp_path / f"repeat-{one['repeat']}.json")
        paths[-1].write_text(json.dumps(one))
    out = tmp_path / "measurements.json"
    done = subprocess.run(
        [sys.executable, SCRIPT, "--repeats", *paths, "--spec", json.dumps({"carbon": CARBON}), "--out", out],
        capture_output=True,
        text=True,
        timeout=600,
    )
    return done, out


def test_the_script_writes_the_record_that_all_else_reads(tmp_path, three):
    for one in three:
        records._validator("measurement_repeat").validate(one)
    done, out = combined(tmp_path, *three)
    assert done.returncode == 0, done.stderr
    record = files.read_json(out)
    records._validator("measurements").validate(record)
    assert (record["record"], record["checkpoint_hash"]) == ("measurements", "a" * 64)
    assert "repeat" not in record and "plan" not in record
    assert "remark: the median latency differs" in done.stderr and "pooled 3 repeats" in done.stderr


def test_the_script_refuses_in_one_sentence(tmp_path, three):
    three[2]["subset_hash"] = "c" * 64
    done, out = combined(tmp_path, *three)
    assert done.returncode == 1 and not out.exists()
    assert done.stderr.startswith("error: repeats 1 and 3 in results/s/m/p/zero-shot/measurements")


def test_a_simulated_precision_goes_through_unchanged(tmp_path):
    reason = "rtn-3 is simulated: its values are rounded, but stored and multiplied as floats."
    gone = {
        name: records.absent(reason, unit, higher_is_better=False)
        for name, unit in (("latency", "s"), ("energy_per_item", "J"))
    }
    one = fakes.record(gone)
    one["circumstances"] = {}
    done, out = combined(tmp_path, one)
    assert done.returncode == 0, done.stderr
    record = files.read_json(out)
    made = {name: record["metrics"].pop(name) for name in ("electricity_per_item", "carbon_per_item")}
    assert record["metrics"] == gone
    assert all(reason in one["absent"] for one in made.values())
    assert (record["circumstances"], record["remarks"]) == ({}, [])
