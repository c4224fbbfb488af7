"""Energy against a meter whose truth is known: by item and by part, gross and net, and where there is none."""

import measuring_fakes as fakes
import pytest
from measuring_fakes import DECODE, FIRST, IDLE, PREPARE

from bitbudget.measuring import efficiency, energy, footprint, quantities

# What a part took, by window; a difference has no window of its own.
SECONDS = {"preprocessing": PREPARE[0], "first_token": PREPARE[0] + FIRST[0]}
SECONDS["per_item"] = SECONDS["first_token"] + DECODE[0]
JOULES = {"preprocessing": PREPARE[1], "first_token": PREPARE[1] + FIRST[1]}
JOULES["per_item"] = JOULES["first_token"] + DECODE[1]
DIFFERENCES = {"vision_prefill": ("first_token", "preprocessing"), "decode": ("per_item", "first_token")}


@pytest.fixture
def world(monkeypatch):
    return fakes.World().patch(monkeypatch)


def test_energy_is_the_truth_gross_and_net_by_item_and_by_part(world):
    found = efficiency.measure(fakes.subject(world), 1.0, fakes.Meter(world), "")
    assert found["idle_power"]["raw"] == pytest.approx([IDLE, IDLE])
    assert (found["idle_power"]["unit"], found["idle_power"]["how"]) == ("W", "counter")
    for name in ("per_item", "preprocessing", "first_token"):
        metric = found[f"energy_{name}"]
        assert metric["net"] == pytest.approx(JOULES[name])
        assert metric["value"] == pytest.approx(JOULES[name] + IDLE * SECONDS[name])
        assert (metric["batch_size"], metric["source"], metric["how"]) == (1, "fake meter", "counter")
        assert metric["scope"] == "the fake"
        assert metric["n"] == len(metric["raw"]) == len(metric["net_raw"]) == 2, "one window a round"
        assert min(metric["window_seconds"]) >= fakes.PLAN["min_seconds"]
    for name, (whole, part) in DIFFERENCES.items():
        metric = found[f"energy_{name}"]
        assert metric["net"] == pytest.approx(JOULES[whole] - JOULES[part])
        assert metric["value"] == pytest.approx(metric["net"] + IDLE * (SECONDS[whole] - SECONDS[part]))
        assert (metric["how"], metric["batch_size"]) == ("counter, by difference", 1)
        assert metric["difference"] == [f"energy_{whole}", f"energy_{part}"]
        assert metric["n"] == len(metric["raw"]) == len(metric["net_raw"]) == 2
    assert found["energy_per_item"] == found["energy_per_item_1"]
    assert found["energy_per_item_4"]["batch_size"] == 4
    parts = sum(found[f"energy_{name}"]["value"] for name in ("preprocessing", "vision_prefill", "decode"))
    assert "energy_prefill" not in found
    assert parts == pytest.approx(found["energy_per_item"]["value"])


def test_net_takes_off_the_mean_of_the_idle_power_before_and_after(world):
    class Warming(fakes.Meter):
        """The machine draws 7 W in the first window, and 11 W while idle in the last."""

        def start(self):
            super().start()
            world.idle = 11.0 if len(self.windows) == 9 else IDLE

    found = efficiency.measure(fakes.subject(world), 1.0, Warming(world), "")
    assert found["idle_power"]["raw"] == pytest.approx([7.0, 11.0])
    assert found["idle_power"]["value"] == found["energy_per_item"]["idle_watts"] == pytest.approx(9.0)
    assert found["energy_per_item"]["net"] == pytest.approx(JOULES["per_item"] - 2.0 * SECONDS["per_item"])


class Patient(fakes.Meter):
    least_seconds = 5.0


class Dead(fakes.Meter):
    def stop(self):
        return energy.Energy(0.0, super().stop().seconds)


def test_a_window_without_energy_takes_its_own_metric_alone(world):
    class Once(fakes.Meter):
        def stop(self):
            used = super().stop()
            return energy.Energy(0.0, used.seconds) if len(self.windows) == 3 else used

    found = efficiency.measure(fakes.subject(world), 1.0, Once(world), "")
    assert found["energy_per_item_4"]["absent"].startswith("the fake meter counted no energy in a window of 2.0 s")
    assert found["energy_per_item_1"]["value"] > 0


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (Patient, "windows of 2 s are too short for the fake meter, which needs 5 s; raise measure.min_seconds"),
        (Dead, "the fake meter counted no energy in a window of 1.1 s"),
        (None, "there is no meter; buy one."),
    ],
)
def test_energy_that_means_nothing_is_absent_with_the_reason(world, source, reason):
    meter = source(world) if source else None
    found = efficiency.measure(fakes.subject(world), 1.0, meter, "" if source else reason)
    parts = ("preprocessing", "first_token", "vision_prefill", "decode")
    for name in ("per_item", "per_item_1", "per_item_4", *parts):
        assert "value" not in found[f"energy_{name}"]
        assert found[f"energy_{name}"]["absent"].startswith(reason)
    assert found["throughput_1"]["value"] > 0
    assert found["idle_power"]["absent"].startswith(reason)
    for made in (
        footprint.carbon(found["energy_per_item"], "AUT", 1.2),
        footprint.electricity(found["energy_per_item"], 1.2),
    ):
        assert found["energy_per_item"]["absent"] in made["absent"]
    if meter is None or source is Patient:
        assert world.clock < 130, "no window was opened, and nobody waited"


def test_a_model_that_only_reads_has_a_prefill_of_its_own(world):
    subject = fakes.subject(world)
    subject.timer.vision = []
    found = efficiency.measure(subject, 1.0, fakes.Meter(world), "")
    assert found["energy_prefill"]["net"] == pytest.approx(FIRST[1])
    assert "energy_vision_prefill" not in found


@pytest.mark.parametrize(("sizes", "size"), [([4, 1], 1), ([4, 2], 4), ([8], 8)])
def test_energy_is_that_of_batch_size_one_where_it_is_measured(world, sizes, size):
    asked = []
    subject = fakes.subject(world, batch_sizes=sizes)
    first = subject.generate_first
    subject.generate_first = lambda numbers: (asked.append(len(numbers)), first(numbers))
    found = efficiency.measure(subject, 1.0, fakes.Meter(world), "")
    for name in ("per_item", "preprocessing", "first_token", "decode"):
        assert found[f"energy_{name}"]["batch_size"] == size
    assert found["energy_per_item"] == found[f"energy_per_item_{size}"]
    assert set(asked) == {size}


def test_parts_are_measured_in_every_round_so_that_a_slow_minute_falls_on_all(world):
    class Warming(fakes.Meter):
        """From its sixth window on (the second round's first) the machine draws 3 W more, busy or not."""

        def start(self):
            super().start()
            world.idle = IDLE + 3.0 * (len(self.windows) >= 5)

    found = efficiency.measure(fakes.subject(world), 1.0, Warming(world), "")
    for name, (whole, part) in DIFFERENCES.items():
        seconds, joules = SECONDS[whole] - SECONDS[part], JOULES[whole] - JOULES[part]
        assert found[f"energy_{name}"]["raw"] == pytest.approx([joules + w * seconds for w in (IDLE, IDLE + 3.0)])


# --- differences ---

NAMES = ["energy_per_item", "energy_invoke"]


def remainder(raw, net_raw=None):
    about = {"difference": NAMES, "how": "estimated, by difference", "batch_size": 1}
    return quantities.remainder(raw, raw if net_raw is None else net_raw, about)


@pytest.mark.parametrize("raw", [[0.2], [0.2, 0.001], [0.2, 0.21, 0.19], [0.02, 0.21, 0.19, 0.2, 0.22, 0.2, -0.001]])
def test_a_difference_clearly_above_zero_has_a_value(raw):
    found = remainder(raw)
    assert (found["value"], found["n"], found["raw"]) == (pytest.approx(sum(raw) / len(raw)), len(raw), raw)
    assert ("ci" in found) == (len(raw) > 2)
    assert found["net"] == found["value"]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ([-0.02], "is -0.02 J, and"),
        ([0.0266, -0.0177], "is 0.0266 J and -0.0177 J, and"),
        ([0.0, 0.3], "is 0 J and 0.3 J, and"),
        ([0.1, 0.01, 0.02], "is 0.0433 J with a 95 % interval of -0.0792 to 0.166 J, and"),
    ],
)
def test_a_difference_that_may_be_nothing_is_absent_and_keeps_its_values(raw, said):
    found = remainder(raw)
    assert "value" not in found and "net" not in found
    assert found["absent"].startswith(f"energy_per_item less energy_invoke {said} no part of an answer takes less than")
    assert (found["raw"], found["net_raw"], found["batch_size"]) == (raw, raw, 1)


def test_a_net_difference_that_may_be_nothing_is_not_told():
    found = remainder([0.2, 0.21, 0.19], [-0.01, 0.02, 0.01])
    assert found["value"] == pytest.approx(0.2)
    assert "net" not in found and found["net_raw"] == [-0.01, 0.02, 0.01]
    assert found["net_absent"].startswith(
        "above the idle machine, energy_per_item less energy_invoke is 0.00667 J with"
    )


def test_a_first_token_dearer_than_the_whole_answer_leaves_nothing_for_decoding(world):
    subject = fakes.subject(world)
    subject.generate_first = lambda numbers: world.spend(0.5, 9.0)
    found = efficiency.measure(subject, 1.0, fakes.Meter(world), "")
    absent = found["energy_decode"]
    assert "value" not in absent and max(absent["raw"]) < 0
    assert absent["absent"].startswith("energy_per_item less energy_first_token is -")
    assert found["energy_vision_prefill"]["value"] > 0


# --- windows in which the source fails ---


class Flaky(fakes.Meter):
    """Fails in the window of this number, from 0 on, in one of three ways."""

    def __init__(self, world, number, way):
        super().__init__(world)
        self.number, self.way, self.begun = number, way, -1

    def start(self):
        self.begun += 1
        if self.begun == self.number and self.way == "start":
            raise RuntimeError("Unknown\nError")
        super().start()

    def stop(self):
        used = super().stop()
        if self.begun == self.number and self.way == "stop":
            raise RuntimeError("Unknown Error")
        if self.begun == self.number and self.way == "fault":
            return energy.Energy(0.0, used.seconds, "the fake slept; wake it.")
        return used


FAILED = "the fake meter failed in a window (Unknown Error); measure again."


@pytest.mark.parametrize(
    ("way", "reason"), [("start", FAILED), ("stop", FAILED), ("fault", "the fake slept; wake it.")]
)
def test_a_source_that_fails_once_loses_one_metric_with_its_own_reason(world, caplog, way, reason):
    found = efficiency.measure(fakes.subject(world), 1.0, Flaky(world, 2, way), "")
    assert found["energy_per_item_4"]["absent"] == reason
    assert found["energy_per_item_1"]["n"] == found["energy_first_token"]["n"] == 2
    assert reason in caplog.text


@pytest.mark.parametrize("number", [0, 9])
def test_one_window_of_idle_power_is_enough(world, number):
    found = efficiency.measure(fakes.subject(world), 1.0, Flaky(world, number, "stop"), "")
    assert found["idle_power"]["raw"] == pytest.approx([IDLE])
    assert found["energy_per_item"]["net"] == pytest.approx(JOULES["per_item"])
