"""Opening an ONNX file with ONNX Runtime, and running it on tensors of torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as native

from bitbudget.errors import UserError

FAILURES = (native.Fail, native.InvalidArgument, native.InvalidGraph, native.RuntimeException, native.NotImplemented)
# By torch's device, in the order in which they are tried.
PROVIDERS = {"cpu": ("CPUExecutionProvider",), "cuda": ("CUDAExecutionProvider",)}


def name_of(place: int) -> str:
    """The name of an input in the file."""
    return f"input_{place}"


def providers(device: str) -> list[str]:
    """The execution providers for a device. Raises `UserError` where this build has none for it."""
    there = [name for name in PROVIDERS[device] if name in ort.get_available_providers()]
    if not there:
        raise UserError(
            f"this build of onnxruntime has no execution provider for {device} (it has "
            f"{', '.join(ort.get_available_providers())}): install onnxruntime-gpu, or set `device: cpu` in the study."
        )
    return there + ([] if device == "cpu" else ["CPUExecutionProvider"])


def _with_settings(names: Sequence[str]) -> list[Any]:
    """The providers as a session takes them: on a GPU float32 products are not shortened to TF32."""
    return [(name, {"use_tf32": 0}) if name == "CUDAExecutionProvider" else name for name in names]


def open_session(file: Path, device: str, threads: int, optimised: Path | None = None) -> ort.InferenceSession:
    """A session that computes in so many threads; `optimised`: where to write the graph that it really runs.

    Raises `UserError` where the file cannot be opened.
    """
    how = ort.SessionOptions()
    how.intra_op_num_threads, how.inter_op_num_threads = threads, 1
    how.log_severity_level = 4
    how.add_session_config_entry("session.intra_op.allow_spinning", "0")  # torch wants the cores next
    if optimised is not None:
        how.optimized_model_filepath = str(optimised)
    try:
        session = ort.InferenceSession(str(file), how, providers=_with_settings(providers(device)))
    except FAILURES as failure:
        raise UserError(
            f"ONNX Runtime cannot open {file} ({' '.join(str(failure).split())[:200]}): delete the checkpoint and make "
            "it again."
        ) from None
    if (started := session.get_providers()[0]) != (wanted := providers(device)[0]):
        raise UserError(
            f"ONNX Runtime could not start {wanted}, and would compute by {started}: install the CUDA libraries that "
            "it needs, or set `device: cpu` in the study."
        )
    return session


def run(session: ort.InferenceSession, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The file's outputs for its inputs, on the CPU; floats go in as float32 and come out so."""
    used = {place.name for place in session.get_inputs()}  # what nothing depends on is not in the file
    given = {name_of(n): as_array(value) for n, value in enumerate(tensors) if name_of(n) in used}
    return [torch.from_numpy(np.ascontiguousarray(one)) for one in session.run(None, given)]


def as_array(value: torch.Tensor) -> Any:
    """A tensor as the file takes it."""
    value = value.detach().cpu()
    return (value.float() if value.is_floating_point() else value).contiguous().numpy()
