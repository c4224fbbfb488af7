"""Measuring, held against fakes whose truth is known: phases, rounds, energy, carbon, memory and spread."""

import math
import re
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from bitbudget.measuring import efficiency, energy, footprint, machine, memory, spread
from bitbudget.measuring.phases import Phases, PhaseTimer

# --- phases ---

VISION, PREFILL, DECODE, PREPARE = 0.05, 0.08, 0.02, 0.03


class Sleeper(nn.Module):
    """Takes known times; the first call of an answer encodes the image in two modules."""

    def __init__(self):
        super().__init__()
        self.tower, self.projector = Wait(VISION * 0.8), Wait(VISION * 0.2)

    def forward(self, first):
        if first:
            self.projector(self.tower(None))
        time.sleep(PREFILL if first else DECODE)

    def generate(self, inputs):
        for number in range(inputs["tokens"]):
            self(number == 0)


class Wait(nn.Module):
    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def forward(self, x):
        time.sleep(self.seconds)


def inputs_of(tokens):
    """An answer of so many tokens to a prompt of three, with one of padding."""
    return {"tokens": tokens, "attention_mask": torch.tensor([[0, 1, 1, 1]])}


def prepare():
    time.sleep(PREPARE)
    return inputs_of(6)


def hooks_of(model):
    return [hook for m in model.modules() for hook in (*m._forward_hooks, *m._forward_pre_hooks)]


def test_each_phase_takes_its_own_time_and_they_add_up():
    model = Sleeper()
    found = PhaseTimer(model, ("tower", "projector"), "cpu").time(prepare, model.generate)
    assert found.preprocessing == pytest.approx(PREPARE, abs=0.04)
    assert found.vision == pytest.approx(VISION, abs=0.04)
    assert found.prefill == pytest.approx(PREFILL, abs=0.04)
    assert found.decode == pytest.approx(5 * DECODE, abs=0.06)
    assert found.total == pytest.approx(found.preprocessing + found.vision + found.prefill + found.decode, rel=1e-6)
    assert found.decoded_tokens == 5, "the first token is the prefill's"
    assert found.decode_per_token == pytest.approx(found.decode / 5)
    assert found.prompt_tokens == 3, "padding is not read"
    assert found.prefill_rate == pytest.approx(3 / found.prefill)
    assert found.decode_rate == pytest.approx(5 / found.decode)


def test_a_model_that_does_not_see_has_no_vision_phase():
    model = Sleeper()
    found = PhaseTimer(model, (), "cpu").time(prepare, model.generate)
    assert found.vision == 0
    assert found.prefill == pytest.approx(VISION + PREFILL, abs=0.06)


class FakeEvent:
    """A CUDA event of a GPU that is never behind; like a real one it can be read only after a synchronisation."""

    synchronised = False

    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        FakeEvent.synchronised = False
        self.at = time.perf_counter()

    def elapsed_time(self, end):
        assert FakeEvent.synchronised, "read before the GPU had reached it"
        return 1000 * (end.at - self.at)


def test_on_a_gpu_events_are_read_after_the_answer_and_milliseconds_become_seconds(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: setattr(FakeEvent, "synchronised", True))
    model = Sleeper()
    found = PhaseTimer(model, ("tower", "projector"), "cuda").time(prepare, model.generate)
    assert found.vision == pytest.approx(VISION, abs=0.04)
    assert found.prefill == pytest.approx(PREFILL, abs=0.04)
    assert found.decode == pytest.approx(5 * DECODE, abs=0.06)
    assert found.total == pytest.approx(found.preprocessing + found.vision + found.prefill + found.decode, rel=1e-6)


@pytest.mark.parametrize(("running", "others"), [([], []), ([7, 8], [7, 8]), (None, None)])
def test_other_processes_on_the_gpu_are_recorded_and_unknown_is_not_none_of_them(monkeypatch, caplog, running, others):
    monkeypatch.setattr(machine, "other_gpu_processes", lambda: running)
    assert machine.circumstances("cuda")["other_gpu_processes"] == others
    assert ("other processes use the GPU" in caplog.text) == bool(running)


def test_answers_do_not_run_into_each_other():
    model = Sleeper()
    timer = PhaseTimer(model, ("tower", "projector"), "cpu")
    timer.time(lambda: inputs_of(4), model.generate)
    assert timer.time(lambda: inputs_of(3), model.generate).decoded_tokens == 2


@pytest.mark.parametrize("where", ["prepare", "generate", "inside a module"])
def test_hooks_are_gone_also_after_a_crash(where):
    model = Sleeper()
    timer = PhaseTimer(model, ("tower",), "cpu")

    def crash(*_):
        raise RuntimeError("out of memory")

    if where == "inside a module":
        model.tower.forward = crash
    with pytest.raises(RuntimeError, match="out of memory"):
        timer.time(
            crash if where == "prepare" else lambda: inputs_of(2), crash if where == "generate" else model.generate
        )
    assert hooks_of(model) == []


def test_a_real_model_is_timed_in_its_phases(tmp_path):
    """Exactly the tokens that were asked for, and the vision tower is called once, in the prefill."""
    import tiny_models as tiny

    from bitbudget import checkpoint, generation

    model = checkpoint.load_original(tiny.llava(tmp_path), tiny.LLAVA, "float32")
    processor = generation.load_processor(tmp_path)
    how = generation.decoding(model, processor, 7, 7)
    timer = PhaseTimer(model, tiny.LLAVA.VISION_MODULES, "cpu")
    with torch.inference_mode():
        found = timer.time(
            lambda: tiny.inputs_of(tmp_path, tiny.LLAVA), lambda inputs: model.generate(**inputs, generation_config=how)
        )
    assert found.decoded_tokens == 6
    assert found.prompt_tokens == int(tiny.inputs_of(tmp_path, tiny.LLAVA)["attention_mask"].sum())
    assert len(timer._encoded) == 2
    assert min(found.preprocessing, found.vision, found.prefill, found.decode) > 0


# --- rounds ---


class FakeTimer:
    """Stands for a PhaseTimer; every answer takes `seconds` in all."""

    def __init__(self, seconds=0.002):
        self.seconds, self.answers, self.vision = seconds, 0, ["tower"]
        self.marks = SimpleNamespace(synchronise=lambda: None)

    def time(self, prepare, generate):
        generate(prepare())
        self.answers += 1
        return Phases(0.1, 0.2, 0.3, 0.4, 1.0 + self.answers, prompt_tokens=60, decoded_tokens=4)


class FakeSource:
    """`watts` of a machine whose windows are timed truly."""

    name, how, scope, least_seconds = "fake meter", "counter", "the fake", 0.01

    def __init__(self, watts=50.0):
        self.watts, self.windows = watts, []

    def start(self):
        self.began = time.perf_counter()

    def stop(self):
        seconds = time.perf_counter() - self.began
        self.windows.append(seconds)
        return energy.Energy(self.watts * seconds, seconds)


def subject_of(items=5, seconds=0.002, **plan):
    plan = {
        "warmup": 2, "min_iterations": 3, "min_seconds": 0.02, "batch_sizes": [1, 4], "repeats": 2, "new_tokens": 5,
    } | plan  # fmt: skip
    asked = []

    def prepare(numbers):
        asked.append(numbers)
        return numbers

    def generate(numbers):
        time.sleep(seconds * len(numbers))

    subject = efficiency.Efficiency(FakeTimer(), prepare, generate, items, plan, "cpu")
    subject.asked = asked
    return subject


def test_items_come_in_turn_and_from_the_first_again():
    subject = subject_of(items=3)
    subject.warm_up()
    assert [number for batch in subject.asked for number in batch] == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize(("least", "seconds"), [(8, 1e-9), (1, 0.06)])
def test_a_latency_round_reaches_both_its_number_and_its_seconds(least, seconds):
    subject = subject_of(min_iterations=least, min_seconds=seconds)
    began = time.perf_counter()
    found = len(subject.latency_round())
    assert time.perf_counter() - began >= seconds
    assert found == 8 if least == 8 else 2 < found <= 30


def test_a_throughput_round_has_two_batches_at_least_and_its_seconds():
    done, seconds = subject_of(min_seconds=1e-9).throughput_round(4)
    assert done == 8
    assert 0.016 <= seconds < 0.1
    done, seconds = subject_of(min_seconds=0.05).throughput_round(1)
    assert seconds >= 0.05
    assert 100 < done / seconds <= 500


def test_everything_is_measured_as_often_as_asked():
    subject, source = subject_of(), FakeSource()
    found = efficiency.measure(subject, 9.0, source, "")
    assert found["latency_cold"]["value"] == 9.0
    assert found["latency"]["n"] == len(found["latency"]["raw"]) >= 6
    assert found["latency"]["value"] == pytest.approx(np.median(found["latency"]["raw"]))
    assert found["latency"]["p95"] == pytest.approx(np.percentile(found["latency"]["raw"], 95))
    assert found["latency"]["mean"] == pytest.approx(np.mean(found["latency"]["raw"]))
    assert found["latency"]["ci"][0] <= found["latency"]["value"] <= found["latency"]["ci"][1]
    assert found["latency"]["mean_ci"][0] < found["latency"]["mean"] < found["latency"]["mean_ci"][1]
    assert found["decode_per_token"]["value"] == pytest.approx(0.1)
    assert found["latency_vision"]["value"] == 0.2
    assert {name for name in found if name.startswith("throughput")} == {"throughput_1", "throughput_4"}
    assert found["throughput_4"]["n"] == 2
    assert found["throughput_4"]["higher_is_better"]
    assert {name for name in found if name.startswith("token_rate")} == {"token_rate_1", "token_rate_4"}
    assert len(source.windows) == 5  # the idle one, and two rounds of two batch sizes


def test_tokens_a_second_of_reading_of_writing_and_of_whole_batches():
    found = efficiency.measure(subject_of(), 9.0, None, "there is no meter; buy one.")
    for name, rate in (("prefill_rate", 60 / 0.3), ("decode_rate", 4 / 0.4)):
        metric = found[name]
        assert metric["value"] == pytest.approx(rate)
        assert metric["n"] == len(metric["raw"]) >= 6
        assert metric["ci"] == pytest.approx([rate, rate])
        assert (metric["unit"], metric["higher_is_better"]) == ("tokens/s", True)
    for size in (1, 4):
        metric, items = found[f"token_rate_{size}"], found[f"throughput_{size}"]
        assert metric["raw"] == pytest.approx([5 * rate for rate in items["raw"]])
        assert metric["value"] == pytest.approx(5 * items["value"])
        assert metric["ci"] == pytest.approx([5 * end for end in items["ci"]])
        assert (metric["unit"], metric["higher_is_better"], metric["n"]) == ("tokens/s", True, 2)


def test_a_model_without_vision_modules_has_no_time_of_vision():
    subject = subject_of()
    assert "latency_vision" in efficiency.measure(subject, 9.0, None, "there is no meter; buy one.")
    subject.timer.vision = []
    found = efficiency.measure(subject, 9.0, None, "there is no meter; buy one.")
    assert "latency_vision" not in found
    assert {"latency", "latency_prefill", "latency_decode"} <= found.keys()


def test_energy_of_an_item_is_power_over_throughput():
    found = efficiency.measure(subject_of(), 1.0, FakeSource(watts=50), "")
    for size in (1, 4):
        metric = found[f"energy_per_item_{size}"]
        assert metric["value"] == pytest.approx(50 / found[f"throughput_{size}"]["value"], rel=0.3)
        assert (metric["batch_size"], metric["source"], metric["how"]) == (size, "fake meter", "counter")
    assert found["energy_per_item"] == found["energy_per_item_1"]


class Idling(FakeSource):
    """Draws 20 W while idle and 50 W under load; the first window is the idle one."""

    def stop(self):
        used = super().stop()
        return energy.Energy((20 if len(self.windows) == 1 else 50) * used.seconds, used.seconds)


def test_net_energy_is_what_the_work_adds_to_the_idle_power():
    found = efficiency.measure(subject_of(), 1.0, Idling(), "")["energy_per_item_4"]
    assert found["idle_watts"] == pytest.approx(20)
    assert found["net"] == pytest.approx(found["value"] * 30 / 50)


class Patient(FakeSource):
    least_seconds = 5.0


class Dead(FakeSource):
    def stop(self):
        return energy.Energy(0.0, super().stop().seconds)


@pytest.mark.parametrize(
    ("source", "no_source", "reason"),
    [
        (Patient(), "", r"a window of 0\.0 s is too short for the fake meter, which needs 5 s; raise measure\.min_sec"),
        (Dead(), "", r"the fake meter counted no energy in a window of 0\.0 s"),
        (None, "there is no meter; buy one.", r"there is no meter; buy one\."),
    ],
)
def test_energy_that_means_nothing_is_absent_with_the_reason(source, no_source, reason):
    found = efficiency.measure(subject_of(), 1.0, source, no_source)
    for name in ("energy_per_item", "energy_per_item_1", "energy_per_item_4"):
        assert "value" not in found[name]
        assert re.match(reason, found[name]["absent"])
    assert found["throughput_1"]["value"] > 0
    grams = footprint.carbon(found["energy_per_item"], "AUT", 1.2)
    assert found["energy_per_item"]["absent"] in grams["absent"]


# --- carbon ---


def test_carbon_is_that_of_patterson_et_al(monkeypatch):
    """kWh = hours x processors x mean power x PUE; tCO2e = MWh x intensity: 3 h of 2 at 250 W, 1000 items."""
    monkeypatch.setattr(energy, "carbon_intensity", lambda country: (110.0, "a table"))
    hours, processors, kilowatts, pue, items = 3, 2, 0.250, 1.2, 1000
    tonnes = hours * processors * kilowatts * pue / 1000 * (110.0 / 1000)  # MWh x tCO2e a MWh
    joules = hours * 3600 * processors * kilowatts * 1000 / items
    metric = {"value": joules, "n": 3, "how": "counter"}
    found = footprint.carbon(metric, "AUT", pue)
    assert found["value"] == pytest.approx(tonnes * 1e6 / items)
    assert found["unit"] == "g CO2e"
    assert (found["grams_per_kwh"], found["pue"], found["country"], found["source"]) == (110.0, 1.2, "AUT", "a table")


def test_an_unknown_country_has_no_carbon_figure():
    found = footprint.carbon({"value": 1.0, "n": 1, "how": "counter"}, "XXX", 1.0)
    assert found["absent"].startswith("no carbon intensity is known for XXX")


def test_carbon_intensities_are_plausible():
    pytest.importorskip("codecarbon")
    low, high = energy.carbon_intensity("SWE"), energy.carbon_intensity("POL")
    assert 5 < low[0] < 100 < high[0] < 1500
    assert "codecarbon" in low[1]


# --- sources of energy ---


def zone(root, name, label, microjoules, largest=10**9):
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{label}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{largest}\n")


def test_rapl_sums_its_packages_and_nothing_twice(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 1_000_000)
    zone(tmp_path, "intel-rapl:1", "package-1", 5_000_000)
    zone(tmp_path, "intel-rapl:2", "psys", 7_000_000)
    source = energy.RaplCounter(tmp_path)
    source.start()
    for name, microjoules in (("0", 3_500_000), ("0:0", 9_000_000), ("1", 5_250_000), ("2", 90_000_000)):
        (tmp_path / f"intel-rapl:{name}" / "energy_uj").write_text(str(microjoules))
    time.sleep(0.01)
    found = source.stop()
    assert found.joules == pytest.approx(2.5 + 0.25)
    assert 0.01 <= found.seconds < 0.5


def test_rapl_counters_that_wrap_around(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 900_000, largest=1_000_000)
    source = energy.RaplCounter(tmp_path)
    source.start()
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("50000")
    assert source.stop().joules == pytest.approx(0.15)


def test_without_rapl_zones_there_is_no_rapl(tmp_path):
    with pytest.raises(OSError, match="no RAPL package zones"):
        energy.RaplCounter(tmp_path)


class FakeNvml:
    """Two GPUs whose order is not torch's; the counters are in millijoules."""

    def __init__(self):
        self.millijoules = {"GPU-aaa": 0, "GPU-bbb": 5_000}

    def nvmlInit(self):
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return self.millijoules[handle]


@pytest.fixture
def gpu(monkeypatch):
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="bbb"))
    return fake


def test_nvml_counts_the_gpu_that_torch_uses_in_joules(gpu):
    source, reason = energy.choose_source("cuda", "AUT")
    assert (type(source), reason) == (energy.NvmlCounter, "")
    source.start()
    gpu.millijoules = {"GPU-aaa": 10**9, "GPU-bbb": 8_250}
    assert source.stop().joules == pytest.approx(3.25)


def test_a_gpu_without_a_counter_gets_no_figure_and_no_estimate(gpu):
    gpu.millijoules = {}
    source, reason = energy.choose_source("cuda", "AUT")
    assert source is None
    assert reason.startswith("the GPU gives no energy counter")
    assert reason.endswith(".")


def test_a_cpu_takes_the_counter_before_the_estimate(tmp_path, monkeypatch):
    zone(tmp_path, "intel-rapl:0", "package-0", 1)
    real = energy.RaplCounter
    monkeypatch.setattr(energy, "RaplCounter", lambda: real(tmp_path))
    assert energy.choose_source("cpu", "AUT")[0].how == "counter"
    monkeypatch.setattr(energy, "RaplCounter", lambda: real(tmp_path / "nowhere"))
    monkeypatch.setattr(energy, "CodecarbonEstimate", lambda country: SimpleNamespace(how="estimated", country=country))
    assert energy.choose_source("cpu", "AUT")[0].how == "estimated"

    def absent(country):
        raise ImportError("codecarbon")

    monkeypatch.setattr(energy, "CodecarbonEstimate", absent)
    source, reason = energy.choose_source("cpu", "AUT")
    assert source is None
    assert "codecarbon is not installed" in reason


# --- memory ---


def test_peak_memory_on_a_cpu_sees_what_was_given_back():
    def work():
        block = np.ones(200 * 10**6 // 8)
        del block

    found = memory.peak_memory(work, "cpu")
    assert found["kind"] == "resident set"
    if "while it answered" in found["counted"]:
        assert found["value"] - found["before_MB"] == pytest.approx(200, rel=0.15)
        assert memory.peak_memory(lambda: None, "cpu")["value"] < found["value"] - 100
    else:
        assert found["value"] >= 200


def test_peak_memory_without_proc_comes_from_the_system(monkeypatch):
    monkeypatch.setattr(memory, "_status", lambda field: None)
    found = memory.peak_memory(lambda: None, "cpu")
    assert found["counted"] == "largest resident set of the process since it started"
    assert 50 < found["value"] < 50_000
    assert "before_MB" not in found


# --- spread ---


@pytest.mark.parametrize(
    ("values", "half"),
    [
        ([1.0, 3.0], 12.706 * math.sqrt(2) / math.sqrt(2)),
        ([1.0, 2.0, 3.0], 4.303 / math.sqrt(3)),
        ([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0], 2.365 * math.sqrt(32 / 7) / math.sqrt(8)),
    ],
)
def test_mean_interval_is_students(values, half):
    low, high = spread.mean_interval(values)
    assert low == pytest.approx(np.mean(values) - half)
    assert high == pytest.approx(np.mean(values) + half)


def test_mean_interval_of_many_is_normal_and_of_one_is_none():
    values = list(np.random.default_rng(0).normal(size=400))
    low, high = spread.mean_interval(values)
    assert high - low == pytest.approx(2 * 1.96 * np.std(values, ddof=1) / 20)
    assert spread.mean_interval([1.0]) is None
    assert spread.mean_interval([2.0, 2.0, 2.0]) == (2.0, 2.0)


def test_mean_interval_covers_the_truth_19_times_in_20():
    draws = np.random.default_rng(1).normal(size=(4000, 5))
    intervals = [spread.mean_interval(list(row)) for row in draws]
    assert np.mean([low < 0 < high for low, high in intervals]) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.95, 1.0])
def test_percentile_is_numpys(share):
    values = list(np.random.default_rng(2).normal(size=37))
    assert spread.percentile(values, share) == pytest.approx(np.percentile(values, 100 * share))
    assert spread.percentile([4.0], share) == 4.0


def test_circumstances_say_load_and_cores(monkeypatch, caplog):
    monkeypatch.setattr("os.getloadavg", lambda: (99.0, 0, 0))
    found = machine.circumstances("cpu")
    assert found["load_before"] == 99.0
    assert found["cores"] >= 1
    assert "timings will be slow" in caplog.text
