"""Measuring a detector, held against a fake whose phases take known times."""

import time
from pathlib import Path

import numpy as np
import pytest

from bitbudget.detection.answers import Picture
from bitbudget.measuring.detector import DetectorSubject, measure
from bitbudget.measuring.energy import Energy

PREPARE, INVOKE, DECODE = 0.004, 0.01, 0.002
PLAN = {"warmup": 2, "min_iterations": 6, "min_seconds": 0.02, "batch_sizes": [1], "repeats": 2}


class Sleeper:
    """Stands for a Detector; finds one box in every picture."""

    def __init__(self):
        self.seen = []

    def prepare(self, path):
        self.seen.append(path.name)
        time.sleep(PREPARE)
        return "input", "place"

    def invoke(self, given):
        assert given == "input"
        time.sleep(INVOKE)
        return ["outputs"]

    def decode(self, outputs, place, path, width, height, labels):
        assert (outputs, place, width, height, set(labels)) == (["outputs"], "place", 640, 480, {0})
        time.sleep(DECODE)
        return np.zeros((1, 4)), np.ones(1), np.zeros(1, dtype=int)


class Meter:
    """50 W of every window."""

    name, how, scope, least_seconds = "fake meter", "counter", "the fake", 0.01

    def start(self):
        self.began = time.perf_counter()

    def stop(self):
        seconds = time.perf_counter() - self.began
        return Energy(50 * seconds, seconds)


@pytest.fixture
def subject():
    pictures = [Picture(Path(f"{k}.png"), 640, 480) for k in range(3)]
    return DetectorSubject(Sleeper(), pictures, {0: 1}, PLAN)


def test_each_phase_takes_its_own_time_and_they_add_up(subject):
    found = subject.timed([0])
    assert found.preprocessing == pytest.approx(PREPARE, abs=0.03)
    assert found.invoke == pytest.approx(INVOKE, abs=0.03)
    assert found.postprocessing == pytest.approx(DECODE, abs=0.03)
    assert min(found.preprocessing / PREPARE, found.invoke / INVOKE, found.postprocessing / DECODE) >= 1
    assert found.total == found.preprocessing + found.invoke + found.postprocessing


def test_images_come_in_turn_one_by_one(subject):
    subject.warm_up()
    assert subject.detector.seen == ["0.png", "1.png", "2.png"]
    assert subject.throughput_round(1)[0] >= 2


def test_everything_is_measured_as_often_as_asked(subject):
    found = measure(subject, 3.0, Meter(), "")
    assert {"latency", "latency_preprocessing", "latency_invoke", "latency_postprocessing"} <= found.keys()
    assert found["latency"]["n"] == len(found["latency"]["raw"]) >= 12
    assert found["latency"]["value"] == pytest.approx(np.median(found["latency"]["raw"]))
    assert found["latency_invoke"]["value"] >= INVOKE
    assert found["latency_cold"]["value"] == 3.0
    assert found["throughput_1"]["n"] == 2
    assert found["throughput_1"]["value"] <= 1 / (PREPARE + INVOKE + DECODE)
    assert found["energy_per_item"] == found["energy_per_item_1"]
    assert found["energy_per_item"]["value"] == pytest.approx(50 / found["throughput_1"]["value"], rel=0.3)
    assert found["energy_per_item"]["net"] == pytest.approx(0, abs=1e-6)


def test_without_a_meter_energy_is_absent_with_the_reason(subject):
    found = measure(subject, 3.0, None, "there is no meter; buy one.")
    assert found["energy_per_item"] == {
        "absent": "there is no meter; buy one.", "unit": "J", "higher_is_better": False,
    }  # fmt: skip
    assert found["throughput_1"]["value"] > 0
