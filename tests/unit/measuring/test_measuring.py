"""Measuring, held against fakes whose truth is known: phases, memory and spread."""

import math
import time

import measuring_fakes as fakes
import numpy as np
import pytest
import torch
from torch import nn

from bitbudget.measuring import memory, spread
from bitbudget.measuring.phases import PhaseTimer
from bitbudget.models.families import parts

# --- phases, on a clock of the test's own ---

VISION, PREFILL, DECODE, PREPARE = 0.05, 0.08, 0.02, 0.03


@pytest.fixture
def clock(monkeypatch):
    return fakes.World().patch(monkeypatch)


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


def test_each_phase_takes_its_own_time_and_they_add_up(clock):
    model = Sleeper()
    found = PhaseTimer(model, ("tower", "projector"), "cpu").time(prepare, model.generate)
    assert found.preprocessing == pytest.approx(PREPARE)
    assert found.vision == pytest.approx(VISION)
    assert found.prefill == pytest.approx(PREFILL)
    assert found.decode == pytest.approx(5 * DECODE)
    assert found.total == pytest.approx(found.preprocessing + found.vision + found.prefill + found.decode, rel=1e-6)
    assert found.decoded_tokens == 5, "the first token is the prefill's"
    assert found.decode_per_token == pytest.approx(found.decode / 5)
    assert found.prompt_tokens == 3, "padding is not read"
    assert found.prefill_rate == pytest.approx(3 / found.prefill)
    assert found.decode_rate == pytest.approx(5 / found.decode)


def test_a_model_that_does_not_see_has_no_vision_phase(clock):
    model = Sleeper()
    found = PhaseTimer(model, (), "cpu").time(prepare, model.generate)
    assert found.vision == 0
    assert found.prefill == pytest.approx(VISION + PREFILL)


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


def test_on_a_gpu_events_are_read_after_the_answer_and_milliseconds_become_seconds(monkeypatch, clock):
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: setattr(FakeEvent, "synchronised", True))
    model = Sleeper()
    found = PhaseTimer(model, ("tower", "projector"), "cuda").time(prepare, model.generate)
    assert found.vision == pytest.approx(VISION)
    assert found.prefill == pytest.approx(PREFILL)
    assert found.decode == pytest.approx(5 * DECODE)
    assert found.total == pytest.approx(found.preprocessing + found.vision + found.prefill + found.decode, rel=1e-6)


def test_answers_do_not_run_into_each_other(clock):
    model = Sleeper()
    timer = PhaseTimer(model, ("tower", "projector"), "cpu")
    timer.time(lambda: inputs_of(4), model.generate)
    assert timer.time(lambda: inputs_of(3), model.generate).decoded_tokens == 2


@pytest.mark.parametrize("where", ["prepare", "generate", "inside a module"])
def test_hooks_are_gone_also_after_a_crash(where, clock):
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

    from bitbudget.models import checkpoint
    from bitbudget.runtimes.transformers import generation

    model = checkpoint.load_original(tiny.llava(tmp_path), tiny.LLAVA, "float32")
    processor = generation.load_processor(tmp_path)
    how = generation.decoding(model, processor, 7, 7)
    timer = PhaseTimer(model, parts.vision_modules(tiny.LLAVA, model), "cpu")
    with torch.inference_mode():
        found = timer.time(
            lambda: tiny.inputs_of(tmp_path, tiny.LLAVA), lambda inputs: model.generate(**inputs, generation_config=how)
        )
    assert found.decoded_tokens == 6
    assert found.prompt_tokens == int(tiny.inputs_of(tmp_path, tiny.LLAVA)["attention_mask"].sum())
    assert len(timer._encoded) == 2
    assert min(found.preprocessing, found.vision, found.prefill, found.decode) > 0


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
        ([1.0, 2.0, 3.0], 4.303 / math.sqrt(3)),
        ([1.0, 2.0, 2.0, 3.0], 3.182 * math.sqrt(2 / 3) / math.sqrt(4)),
        ([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0], 2.365 * math.sqrt(32 / 7) / math.sqrt(8)),
    ],
)
def test_mean_interval_is_students(values, half):
    low, high = spread.mean_interval(values)
    assert low == pytest.approx(np.mean(values) - half)
    assert high == pytest.approx(np.mean(values) + half)


def test_mean_interval_of_many_is_normal_and_of_fewer_than_three_is_none():
    values = list(np.random.default_rng(0).normal(size=400))
    low, high = spread.mean_interval(values)
    assert high - low == pytest.approx(2 * 1.96 * np.std(values, ddof=1) / 20)
    assert spread.mean_interval([1.0]) is None and spread.mean_interval([1.0, 3.0]) is None
    thirty_one = list(range(31))
    low, high = spread.mean_interval(thirty_one)
    assert high - low == pytest.approx(2 * 2.042 * np.std(thirty_one, ddof=1) / math.sqrt(31)), "the table's last point"
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
