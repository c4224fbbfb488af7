"""What a runtime itself counts of an answer, beside what passed outside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

AGREE, LEAST = 0.1, 0.005  # shares, and seconds, within which the two are alike


def compare(timer: Any, model: Any, prepare: Callable[[], Any], generate: Callable[[Any], Any]) -> dict[str, Any]:
    """Seconds of prefill and decode of one answer, by `model.own_times` and by the `PhaseTimer`."""
    found = []
    own = model.own_times(lambda: found.append(timer.time(prepare, generate)))
    [outside] = found
    return {
        "prefill": {"own": own.prompt_seconds, "outside": outside.prefill},
        "decode": {"own": own.decode_seconds, "outside": outside.decode},
    }


def remarks(name: str, times: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Sentences on the phases of which the two do not agree."""
    return [
        f"{name}: of {phase} the runtime itself counts {1000 * one['own']:.0f} ms where {1000 * one['outside']:.0f} ms "
        "passed outside it."
        for phase, one in times.items()
        if abs(one["outside"] - one["own"]) > max(AGREE * one["outside"], LEAST)
    ]
