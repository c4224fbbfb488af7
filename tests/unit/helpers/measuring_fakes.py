"""A world whose truth is known, for measuring: a clock that only waiting moves, work that waits, and a meter.

The machine draws `IDLE` watts whatever it does, and each piece of work costs its own joules on top.
"""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

from bitbudget.measuring import efficiency, energy
from bitbudget.measuring.phases import Phases

IDLE = 7.0  # W
# One item, alone or in a batch: seconds, and joules above the idle power.
PREPARE, FIRST, DECODE = (0.01, 0.05), (0.02, 0.4), (0.07, 2.1)
PLAN = {
    "warmup": 2, "min_iterations": 3, "min_seconds": 2.0, "batch_sizes": [1, 4], "rounds": 2, "new_tokens": 5,
    "busy_gpu": "refuse",
}  # fmt: skip


class World:
    """The clock in seconds, and the joules used until now."""

    def __init__(self):
        self.clock, self.joules, self.idle = 100.0, 0.0, IDLE

    def spend(self, seconds, joules=0.0):
        self.clock += seconds
        self.joules += self.idle * seconds + joules

    def patch(self, monkeypatch):
        """Let this thread read and move the world's clock; any other thread of the process keeps the real one."""
        mine, counter, sleep = threading.get_ident(), time.perf_counter, time.sleep
        here = lambda: threading.get_ident() == mine  # noqa: E731
        monkeypatch.setattr(time, "perf_counter", lambda: self.clock if here() else counter())
        monkeypatch.setattr(time, "sleep", lambda seconds: (self.spend if here() else sleep)(seconds))
        return self


class Meter:
    """Counts the world's joules."""

    name, how, scope, least_seconds = "fake meter", "counter", "the fake", 1.0

    def __init__(self, world):
        self.world, self.windows = world, []

    def start(self):
        self.began, self.joules = self.world.clock, self.world.joules

    def stop(self):
        used = energy.Energy(self.world.joules - self.joules, self.world.clock - self.began)
        self.windows.append(used)
        return used


class Timer:
    """Stands for a PhaseTimer."""

    def __init__(self, world):
        self.world, self.vision = world, ["tower"]
        self.marks = SimpleNamespace(synchronise=lambda: None)

    def time(self, prepare, generate):
        began = self.world.clock
        given = prepare()
        prepared = self.world.clock
        generate(given)
        total = self.world.clock - began
        return Phases(prepared - began, 0.2, 0.3, 0.4, total, prompt_tokens=60, decoded_tokens=4)


def subject(world, items=5, repeat=1, **plan):
    """An Efficiency whose work costs what stands above; `asked` collects the items' numbers."""
    asked = []

    def prepare(numbers):
        asked.append(numbers)
        world.spend(*(len(numbers) * part for part in PREPARE))
        return numbers

    def first(numbers):
        world.spend(*(len(numbers) * part for part in FIRST))

    def generate(numbers):
        first(numbers)
        world.spend(*(len(numbers) * part for part in DECODE))

    made = efficiency.Efficiency(Timer(world), prepare, generate, first, items, PLAN | plan, "cpu", repeat)
    made.asked = asked
    return made


def record(metrics, repeat=1, **circumstances):
    """A record of one repeat around these metrics."""
    about = {
        "load_before": 0.1, "load_after": 0.9, "cores": 2, "device": "cpu", "threads": 1, "other_gpu_processes": [],
        "warm_up": {"calls": 8, "seconds": 0.8, "settled": True, "raw": [0.1] * 8},
    }  # fmt: skip
    return {
        "record": "measurement_repeat", "study": "s", "model": "m", "precision": "p", "condition": "zero-shot",
        "seed": 53, "checkpoint_hash": "a" * 64, "subset_hash": "b" * 64, "repeat": repeat, "plan": PLAN,
        "started": f"2026-01-01T00:0{repeat}:00+0000", "finished": f"2026-01-01T00:0{repeat}:50+0000",
        "metrics": metrics, "circumstances": about | circumstances,
        "provenance": {
            "packages": {"torch": "2.13.0"}, "commit": "c0ffee", "finished": "x", "seconds": 50.0,
            "hardware": {"system": "Linux", "cpu": "Abacus 9", "cores": 2, "memory_mib": 1, "threads": 1, "gpus": []},
        },
    }  # fmt: skip
