"""A detector in LiteRT: its file, what of it which kernels really run, and one picture's way through it.

LiteRT's Python interpreter hands a model to the XNNPACK delegate as far as that has kernels; the other operators run in
LiteRT's own. Nothing here imports torch, so that the memory of the process is that of LiteRT and the model.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from PIL import Image

from bitbudget import files, records
from bitbudget.errors import UserError, lacks_memory
from bitbudget.runtimes.litert.classes import WHERE
from bitbudget.runtimes.litert.decoding import Found, decode
from bitbudget.runtimes.litert.preprocessing import Placement, prepare
from bitbudget.system import verified

log = logging.getLogger("bitbudget")

MODEL, SPECIFICATION = "model.tflite", "detector.json"
MANIFEST, EXPORT = "checkpoint.json", "export.json"  # the records of a checkpoint, and of an exported detector
KERNELS = {"xnnpack": OpResolverType.BUILTIN, "builtin": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES}


def manifest(folder: Path) -> dict[str, Any]:
    """The record of a detector's checkpoint, whose files are held to it.

    Raises `UserError` where the folder holds no whole one, or one that has changed since it was made.
    """
    for name in (MANIFEST, SPECIFICATION, MODEL):
        if not (folder / name).exists():
            raise UserError(f"{folder} is not a whole checkpoint ({name} is missing): delete it and make it again.")
    made = records.read(folder / MANIFEST, ("files", "checkpoint_hash"))
    remedy = f"delete {folder} and run the same command again, which makes the checkpoint anew"
    for name, facts in made["files"].items():
        verified.hold(folder / name, facts, remedy)
    contents = {"files": made["files"], "detector": files.read_json(folder / SPECIFICATION)}
    if files.hash_of(contents) != made["checkpoint_hash"]:
        raise UserError(f"{folder} has changed since it was made ({MANIFEST} or {SPECIFICATION}): {remedy}.")
    return made


def threads_for(wanted: int | None) -> int:
    """How many threads to compute with: as wanted, else OMP_NUM_THREADS, else the cores this process may use."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if wanted is None and given.isdigit() and int(given):
        return int(given)
    return wanted or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


class Detector:
    """A checkpoint's model, ready to detect.

    `names` are what its outputs are called, in the file's order: by the file's signature where it has just one, else
    by tensor. `kernel` is `xnnpack` for LiteRT's default, or `builtin` for its own kernels alone. Raises `UserError`
    where the folder is no whole checkpoint, LiteRT cannot run the file, or its input is not as specified.
    """

    def __init__(self, folder: Path, threads: int, kernel: str = "xnnpack"):
        self.file = folder / MODEL
        self.spec: dict[str, Any] = files.read_json(folder / SPECIFICATION)
        if not self.file.exists():
            raise UserError(f"{self.file} does not exist: delete {folder} and make it again.")
        with _native_messages():
            try:
                self._interpreter = Interpreter(
                    os.fspath(self.file), num_threads=threads, experimental_op_resolver_type=KERNELS[kernel]
                )
                self._nodes = self._interpreter._get_ops_details()  # before any is delegated
                _fit_input(self._interpreter, self.spec["input"], self.file)
                self._interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as fault:
                if lacks_memory(fault):
                    raise
                raise UserError(_cannot_run(self.file, str(fault))) from None
        self._input = self._interpreter.get_input_details()[0]
        self._outputs = self._interpreter.get_output_details()
        self.names = _output_names(self._interpreter, self._outputs)

    def prepare(self, image: Path) -> tuple[np.ndarray, Placement]:
        """The model's input of a picture file, and where the picture lies in it.

        Raises `UserError` for a file that is no picture.
        """
        try:
            with Image.open(image) as picture:
                return prepare(picture.convert("RGB"), self.spec["input"])
        except Exception as fault:  # a decoder may raise any
            if lacks_memory(fault):
                raise
            raise UserError(
                f"the prepared image {image} cannot be read ({fault}): delete it and make it again."
            ) from None

    def invoke(self, given: np.ndarray) -> list[np.ndarray]:
        """The model's outputs in the file's order, as float32; `given` is what `prepare` makes.

        A quantized input or output is converted by its tensor's own scale and zero point.
        """
        self._interpreter.set_tensor(self._input["index"], quantized(given, self._input))
        self._interpreter.invoke()
        return [dequantized(self._interpreter.get_tensor(one["index"]), one) for one in self._outputs]

    def decode(
        self, outputs: list[np.ndarray], place: Placement, image: Path, width: int, height: int,
        labels: Collection[int] | None = None, threshold: float | None = None,
    ) -> Found:  # fmt: skip
        """Boxes x, y, w, h [n, 4], scores [n] and labels [n] in the original picture of that width and height, pixels.

        Only boxes of `labels` count where some are given, and those with a score above a higher `threshold` than the
        specification's. Raises `UserError` for outputs that do not fit the specification or are no numbers.
        """
        boxes, scores, found = decode(outputs, self.names, self.spec, str(self.file), str(image), labels, threshold)
        boxes = place.to_original(boxes, width, height)
        return np.concatenate([boxes[:, :2], np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)], axis=1), scores, found

    def detect(self, image: Path, width: int, height: int, labels: Collection[int] | None = None) -> Found:
        """What `decode` finds in a picture file whose original has that width and height in pixels."""
        given, place = self.prepare(image)
        return self.decode(self.invoke(given), place, image, width, height, labels)

    def unplaced(self, image: Path) -> Found:
        """What is found in a picture file, boxes x1, y1, x2, y2 as shares of the model's input, not clipped to it."""
        given, _ = self.prepare(image)
        return decode(self.invoke(given), self.names, self.spec, str(self.file), str(image))

    def delegated(self) -> set[int]:
        """Which operators of the file's main graph the delegate took, by their place in it."""
        return _delegated(self._nodes, self._interpreter._get_ops_details()[len(self._nodes) :])

    def delegates(self) -> dict[str, Any]:
        """What runs the model: `name` of the delegate (`none` where it took nothing), how many `operators` the file's
        main graph has, and how many of them it took (`delegated`)."""
        taken = len(self.delegated())
        return {"name": "XNNPACK" if taken else "none", "operators": len(self._nodes), "delegated": taken}

    def runs_in_words(self) -> str:
        """What runs the model, for a log."""
        found = self.delegates()
        others = ", the others in LiteRT's own kernels" if found["delegated"] < found["operators"] else ""
        return f"{found['delegated']} of {found['operators']} operators in XNNPACK{others}"


def quantized(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    """Floats as a tensor holds them: rounded to its scale and zero point and clipped, where it holds whole numbers."""
    if np.issubdtype(tensor["dtype"], np.floating):
        return values.astype(tensor["dtype"], copy=False)
    scale, zero_point = tensor["quantization"]
    limits = np.iinfo(tensor["dtype"])
    # a tensor of whole numbers without a scale takes the values themselves
    return np.clip(np.rint(values / (scale or 1)) + zero_point, limits.min, limits.max).astype(tensor["dtype"])


def dequantized(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    """A tensor's values as float32."""
    scale, zero_point = tensor["quantization"]
    if not scale or np.issubdtype(tensor["dtype"], np.floating):
        return values.astype(np.float32, copy=False)
    return (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def _fit_input(interpreter: Interpreter, spec: dict[str, Any], file: Path) -> None:
    """Hold the file's input against the specification's; one of open size gets the size that is specified."""
    details = interpreter.get_input_details()
    if len(details) != 1:
        listed = ", ".join(f"`{one['name']}` {_shown(one['shape'])}" for one in details)
        raise UserError(
            f"{file} has {len(details)} inputs ({listed}), and a detector here has one, the image: "
            "convert the model so that the image is its only input."
        )
    height, width = spec["size"]
    wanted = (1, height, width, 3) if spec["layout"] == "NHWC" else (1, 3, height, width)
    found, open_ = (tuple(int(n) for n in details[0][key]) for key in ("shape", "shape_signature"))
    if found == wanted:
        return
    if len(open_) == 4 and all(size in (-1, need) for size, need in zip(open_, wanted, strict=True)):
        interpreter.resize_tensor_input(details[0]["index"], wanted, strict=True)
        return
    remedy = "convert the model so that it takes one RGB image"
    if len(found) == 4 and found[0] == 1 and found[3] == 3:
        remedy = f"set `input.size: [{found[1]}, {found[2]}]` and `input.layout: NHWC` {WHERE}"
    elif len(found) == 4 and found[0] == 1 and found[1] == 3:
        remedy = f"set `input.size: [{found[2]}, {found[3]}]` and `input.layout: NCHW` {WHERE}"
    raise UserError(f"{file} takes an input {_shown(found)}, and its specification says {_shown(wanted)}: {remedy}.")


def _shown(shape: Any) -> str:
    return "x".join(str(int(size)) for size in shape)


def _cannot_run(file: Path, reason: str) -> str:
    """The sentence for a file that LiteRT refuses, from its own words."""
    missing = re.search(r"unresolved custom op: (\w+)|find op for builtin opcode '(\w+)'", reason)
    if missing or "Select TensorFlow op" in reason:
        node = re.search(r"Node number \d+ \((\w+)\)", reason)
        name = missing[1] or missing[2] if missing else node[1] if node else "of TensorFlow"
        return (
            f"LiteRT has no kernel for operator {name} of {file}: convert the model with LiteRT's own operators alone."
        )
    said = re.sub(r"\.(?=[A-Z])", ". ", " ".join(reason.split())).rstrip(".")
    if any(word in said for word in ("Flatbuffer", "mmap", "null/empty", "identifier")):
        return f"{file} is no whole .tflite file ({said}): delete it and make it again."
    return f"LiteRT cannot run {file} ({said}): convert the model again, or in another precision."


def _output_names(interpreter: Interpreter, outputs: list[dict[str, Any]]) -> list[str]:
    """What the outputs are called, in their order."""
    signatures = interpreter.get_signature_list()
    called: dict[int, str] = {}
    if len(signatures) == 1:
        runner = interpreter.get_signature_runner(next(iter(signatures)))
        called = {details["index"]: name for name, details in runner.get_output_details().items()}
    return [called.get(one["index"], one["name"]) for one in outputs]


def _delegated(nodes: list[dict[str, Any]], delegates: list[dict[str, Any]]) -> set[int]:
    """Which nodes a delegate runs.

    The interpreter goes on listing the nodes of the file, and after them one node for each part that a delegate took,
    with the tensors that go into and come out of it: the nodes between these are the part's.
    """
    makers = {int(tensor): node["index"] for node in nodes for tensor in node["outputs"]}
    inputs = {node["index"]: [int(tensor) for tensor in node["inputs"]] for node in nodes}
    taken: set[int] = set()
    for part in delegates:
        given = {int(tensor) for tensor in part["inputs"]}
        waiting = [int(tensor) for tensor in part["outputs"]]
        while waiting:
            tensor = waiting.pop()
            maker = makers.get(tensor)
            if tensor not in given and maker is not None and maker not in taken:
                taken.add(maker)
                waiting += inputs[maker]
    return taken


@contextmanager
def _native_messages() -> Iterator[None]:
    """Pass on what LiteRT's own code writes to standard error within the block, but for its notes."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            for line in caught.read().decode(errors="replace").splitlines():
                if not line.startswith("INFO:"):
                    log.warning("%s", line)
