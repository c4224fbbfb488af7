"""What the parts of a latency are called for readers, in the order in which they happen."""

from __future__ import annotations

from types import ModuleType

from bitbudget import contracts

PHASES = {
    "latency_preprocessing": "preprocessing",
    "latency_vision": "vision encoding",
    "latency_prefill": "prefill",
    "latency_decode": "decode",
    "latency_invoke": "invoke (the model)",
    "latency_postprocessing": "post-processing",
}
NO_REASON = "not in the measurements of this run"


def phases_of(track: ModuleType) -> tuple[str, ...]:
    """The parts of an answer whose latency is measured in this track: its own, or those of a generated text."""
    vision = ("vision",) if track.IMAGES else ()  # a model that only reads has no such phase
    return contracts.of(track, "PHASES") or ("preprocessing", *vision, "prefill", "decode")
