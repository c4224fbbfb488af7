"""Measuring a detector, held against a fake whose phases take known times."""

import time
from pathlib import Path

import numpy as np
import pytest

from bitbudget.detection.answers import Picture
from bitbudget.measuring.detector import DetectorSubject, measure
from bitbudget.measuring.energy import Energy

PREPARE, INVOKE, DECODE = 0.004, 0.01, 0.002
PLAN = {"warmup": 2, "min_iterations": 6, "min_seconds": 0.02, "batch_sizes": [1], "rounds": 2}


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
    found = subject.warm_up()
    assert subject.detector.seen[:3] == ["0.png", "1.png", "2.png"]
    assert len(subject.detector.seen) == found.calls + 1 >= 9, "settled, and once more for the batch size"
    assert subject.throughput_round(1)[0] >= 2


def test_each_repeat_begins_at_another_image(subject):
    later = DetectorSubject(subject.detector, subject.pictures, {0: 1}, PLAN, repeat=2)
    later.cold()
    assert subject.detector.seen == ["1.png"]


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
    assert found["idle_power"]["value"] == pytest.approx(50)


def test_energy_of_each_part_of_an_answer(subject):
    """At 50 W whatever is done, a part costs as much as it takes long; the last part is what remains."""
    found = measure(subject, 3.0, Meter(), "")
    assert found["energy_preprocessing"]["value"] == pytest.approx(50 * PREPARE, rel=0.4)
    assert found["energy_invoke"]["value"] == pytest.approx(50 * INVOKE, rel=0.4)
    rest = found["energy_postprocessing"]
    assert rest["difference"] == ["energy_per_item", "energy_preprocessing", "energy_invoke"]
    parts = [found[f"energy_{name}"] for name in ("preprocessing", "invoke")]
    assert rest.get("value", 0) == pytest.approx(
        max(0, found["energy_per_item"]["value"] - sum(part["value"] for part in parts))
    )


def test_without_a_meter_energy_is_absent_with_the_reason(subject):
    found = measure(subject, 3.0, None, "there is no meter; buy one.")
    assert found["energy_per_item"] == {
        "absent": "there is no meter; buy one.", "unit": "J", "higher_is_better": False,
    }  # fmt: skip
    assert found["throughput_1"]["value"] > 0
