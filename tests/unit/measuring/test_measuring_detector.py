"""Measuring a detector, held against a fake whose phases take known times on a clock of the test's own."""

import time
from pathlib import Path

import measuring_fakes as fakes
import numpy as np
import pytest

from bitbudget.measuring.detector import DetectorSubject, measure
from bitbudget.runtimes.litert.answers import Picture

PREPARE, INVOKE, DECODE, EVALUATION = 0.004, 0.01, 0.002, 0.03
TOTAL = PREPARE + INVOKE + DECODE
PLAN = {"warmup": 2, "min_iterations": 6, "min_seconds": 1.5, "batch_sizes": [1], "rounds": 2}


class Sleeper:
    """Stands for a Detector; finds one box in every picture."""

    def __init__(self):
        self.seen, self.thresholds = [], []

    def prepare(self, path):
        self.seen.append(path.name)
        time.sleep(PREPARE)
        return "input", "place"

    def invoke(self, given):
        assert given == "input"
        time.sleep(INVOKE)
        return ["outputs"]

    def decode(self, outputs, place, path, width, height, labels, threshold):
        self.thresholds.append(threshold)
        assert (outputs, place, width, height, set(labels)) == (["outputs"], "place", 640, 480, {0})
        time.sleep(DECODE if threshold else EVALUATION)
        return np.zeros((1, 4)), np.ones(1), np.zeros(1, dtype=int)


@pytest.fixture
def world(monkeypatch):
    return fakes.World().patch(monkeypatch)


@pytest.fixture
def subject(world):
    pictures = [Picture(Path(f"{k}.png"), 640, 480) for k in range(3)]
    return DetectorSubject(Sleeper(), pictures, {0: 1}, PLAN, threshold=0.25)


def test_each_phase_takes_its_own_time_and_they_add_up(subject):
    found = subject.timed([0])
    assert found.preprocessing == pytest.approx(PREPARE)
    assert found.invoke == pytest.approx(INVOKE)
    assert found.postprocessing == pytest.approx(DECODE)
    assert found.total == found.preprocessing + found.invoke + found.postprocessing


def test_images_come_in_turn_one_by_one(subject):
    found = subject.warm_up()
    assert subject.detector.seen[:3] == ["0.png", "1.png", "2.png"]
    assert len(subject.detector.seen) == found.calls + 1 >= 9, "settled, and once more for the batch size"
    assert subject.throughput_round(1)[0] >= 2


def test_each_repeat_begins_at_another_image(subject):
    later = DetectorSubject(subject.detector, subject.pictures, {0: 1}, PLAN, repeat=2)
    later.cold()
    assert subject.detector.seen == ["1.png"]


def test_everything_is_measured_as_often_as_asked(subject, world):
    found = measure(subject, 3.0, fakes.Meter(world), "")
    assert {"latency", "latency_preprocessing", "latency_invoke", "latency_postprocessing"} <= found.keys()
    assert found["latency"]["n"] == len(found["latency"]["raw"]) == 2 * 94  # 1.5 s of 16 ms, twice
    assert found["latency"]["value"] == pytest.approx(TOTAL)
    assert found["latency_invoke"]["value"] == pytest.approx(INVOKE)
    assert found["latency_postprocessing_evaluation"]["value"] == pytest.approx(EVALUATION)
    assert subject.detector.thresholds[-6:] == [None] * 6, "apart, after all else was measured"
    assert set(subject.detector.thresholds[:-6]) == {0.25}
    assert found["latency_cold"]["value"] == 3.0
    assert found["throughput_1"]["n"] == 2
    assert found["throughput_1"]["value"] == pytest.approx(1 / TOTAL)
    assert found["energy_per_item"] == found["energy_per_item_1"]
    assert found["energy_per_item"]["value"] == pytest.approx(fakes.IDLE * TOTAL)
    assert found["energy_per_item"]["net"] == pytest.approx(0, abs=1e-6)
    assert found["idle_power"]["value"] == pytest.approx(fakes.IDLE)


def test_energy_of_each_part_of_an_answer(subject, world):
    """At one power whatever is done, a part costs as much as it takes long; the last part is what remains."""
    found = measure(subject, 3.0, fakes.Meter(world), "")
    for name, seconds in (("preprocessing", PREPARE), ("invoke", INVOKE), ("postprocessing", DECODE)):
        assert found[f"energy_{name}"]["value"] == pytest.approx(fakes.IDLE * seconds)
    rest = found["energy_postprocessing"]
    assert rest["difference"] == ["energy_per_item", "energy_preprocessing", "energy_invoke"]


def test_without_a_meter_energy_is_absent_with_the_reason(subject):
    found = measure(subject, 3.0, None, "there is no meter; buy one.")
    assert found["energy_per_item"] == {
        "absent": "there is no meter; buy one.", "unit": "J", "higher_is_better": False,
    }  # fmt: skip
    assert found["throughput_1"]["value"] > 0
