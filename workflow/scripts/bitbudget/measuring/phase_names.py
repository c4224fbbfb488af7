"""What the parts of a latency are called for readers, in the order in which they happen."""

from __future__ import annotations

PHASES = {
    "latency_preprocessing": "preprocessing",
    "latency_vision": "vision encoding",
    "latency_prefill": "prefill",
    "latency_decode": "decode",
    "latency_invoke": "invoke (the model)",
    "latency_postprocessing": "post-processing",
}
NO_REASON = "not in the measurements of this run"
