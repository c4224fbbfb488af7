"""What a number format is: how it makes a matrix, stores it, brings it back, and what it promises for it.

Every format is one object. Its description is read while the workflow is parsed, so a format's module imports torch and
its kernels only inside the methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from bitbudget.models.formats.pace import Timed

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    import torch
    from torch import nn

    from bitbudget.models.audit.audited import LayerAudit
    from bitbudget.models.formats.grid import Grid
    from bitbudget.models.streaming import Streamed
    from bitbudget.system.machine import Machine

# A group's format with its options: {"format": "bnb-int8", "threshold": 6.0}
FormatSpec = dict[str, Any]
# What a checkpoint stores for a layer, by the names below the layer's path.
State = dict[str, "torch.Tensor"]


@dataclass(frozen=True)
class Layer:
    """A linear layer of a model and what its group asks for."""

    path: str
    module: nn.Module
    group: str
    spec: FormatSpec


@dataclass
class Calibration:
    """What calibrated formats look at: the original model, and what reaches it with items that are not evaluated.

    `model` makes the original anew (a `Streamed`), in the dtype of its baseline, with weights read when asked for.
    `inputs` are its keyword arguments for each item by itself. `report` is empty, until quantizing fills in what it
    tells of itself: the tokens of all items, and for each layer what its method reports.
    """

    model: Callable[[], Any]
    inputs: Iterable[Mapping[str, torch.Tensor]]
    report: dict[str, Any] = field(default_factory=dict)


class Seen:
    """What reaches a layer with the calibration items: a tensor (..., in) for each item that does.

    Layers that the very same tensors reach, as queries, keys and values, share one object, and what is made of it.
    """

    def __init__(self, tensors: list[torch.Tensor]) -> None:
        self._tensors, self._made = tensors, {}

    def are(self, tensors: list[torch.Tensor]) -> bool:
        """Whether these are the very same tensors."""
        return [*map(id, tensors)] == [*map(id, self._tensors)]

    def shared(self, name: str, make: Callable[[list[torch.Tensor]], Any]) -> Any:
        """What `make` makes of the tensors; made once for all layers that they reach."""
        if name not in self._made:
            self._made[name] = make(self._tensors)
        return self._made[name]


@dataclass(frozen=True)
class Held:
    """What a layer's tensors stand for: stored integers `codes` (out, in) on a `grid`.

    Without a grid, `codes` are the values themselves. Where the scales were rounded too after the weights had been,
    `scale_error` (out, groups, 1) is the most by which that may have moved them. `factors` (in,) are what the inputs
    are multiplied with first, so that a weight is a value times its input's factor; None where there are none.
    """

    codes: torch.Tensor
    grid: Grid | None
    scale_error: torch.Tensor | None = None
    factors: torch.Tensor | None = None

    def values(self, part: slice = slice(None)) -> torch.Tensor:
        """What the integers of these rows stand for, (rows, in), in float32."""
        return self.codes[part].float() if self.grid is None else self.grid.rows(part).values(self.codes[part])

    def weights(self, part: slice = slice(None)) -> torch.Tensor:
        """The weights of these rows, (rows, in), in float32."""
        return self.values(part) if self.factors is None else self.values(part) * self.factors


def parts(matrix: torch.Tensor) -> Iterator[slice]:
    """Runs of rows of a matrix (out, in), so small that what is worked out of one stays in a processor's cache."""
    rows = max(1, (2**19 if matrix.device.type == "cpu" else 2**25) // matrix.shape[1])
    return (slice(first, first + rows) for first in range(0, len(matrix), rows))


@dataclass(frozen=True)
class Freedom:
    """In what a right checkpoint may differ from a format's definition.

    `scale`: by how much its scales, relatively, and its offsets against the group's range; `least_scale`: what scales
    may have been raised to. `tie`: within which share of the scale of the middle of two values a weight may go to
    either.
    """

    scale: float = 1e-6
    least_scale: float = 0.0
    tie: float = 1e-4


class Format:
    """A way to hold the weights of a module group.

    `bits` are those of one stored weight without its scales. `is_float` formats hold every parameter of a group;
    the others hold its linear layers' matrices, and what else the group has stays in the float format beside them.
    `simulated` formats compute with the rounded values but store and multiply them as floats: they show what rounding
    does to quality, and nothing about size, memory, speed or energy. `calibrated` formats look at what items make of a
    model before they round it: they have `quantize_seen` in place of `quantize`, and are held to what they optimise
    (`bitbudget.models.audit.calibrated`).
    """

    name: str
    bits: float
    is_float: bool = False
    simulated: bool = False
    calibrated: bool = False
    rounds_to_nearest: bool = True  # each weight goes to the value of its definition's grid that is nearest to it
    runtime: str = "transformers"  # what runs models in this format; a track names the one that it needs
    whole: bool = False  # whether it holds module groups as a whole (`GroupFormat`), and not layer by layer
    made_of: str = ""  # of a detector, the `SOURCE` of the only families that it is made of; empty where all will do
    computes_in: str = "model"  # the type that its kernels multiply in: float32, int8 …, or model for the model's dtype
    unpacks: bool = False  # whether weights are brought to that type again at every product
    device_bound: bool = False  # whether what was made on a CPU loads only there, and the same for a GPU
    runs_on: tuple[str, ...] = ("cpu", "cuda")
    least_capability: tuple[int, int] = (0, 0)  # CUDA compute capability that the kernels need
    needs: tuple[str, ...] = ()  # packages, by the names under which they are imported
    options: ClassVar[dict[str, Any]] = {}  # JSON-schema properties of what a precision may set, with their defaults
    description: str
    title: str  # what the paper calls it; formats of one title share its paragraph
    about: str  # a paragraph that goes on after the title, with the work that it is of

    def about_options(self, options: dict[str, Any]) -> str:
        """What these options make of it, in sentences; empty where there is nothing to tell."""
        return ""

    def complete(self, options: dict[str, Any], quantization: dict[str, Any]) -> dict[str, Any]:
        """The options that a precision gives, with those that the study's `quantization` says in their place."""
        return options

    def impossible(self, options: dict[str, Any], float_format: str) -> str | None:
        """Why these options cannot work on any machine beside this float format, or None; asked while parsing."""
        return None

    def unfit(self, options: dict[str, Any], float_format: str, machine: Machine, device: str) -> str | None:
        """Why it cannot run on this machine beside this float format, as far as is known without torch, or None.

        The float format is empty where it is not known.
        """
        missing = [name for name in self.needs if name in machine.missing]
        if missing:
            return f"it needs the package {missing[0]}, which is not installed here"
        if device not in self.runs_on:
            return self._not_on(device)
        if device == "cuda" and machine.gpu and machine.gpu.capability < self.least_capability:
            return f"it has no kernel for {machine.gpu}, and needs {'.'.join(map(str, self.least_capability))} or later"
        return None

    def price(self, machine: Machine, device: str) -> str | None:
        """Of a float format, what it costs here in place of another, after its name, or None where it costs nothing."""
        return None

    def timed(self, options: dict[str, Any]) -> Timed:
        """What one layer of it was seen to take on processors (see `pace`)."""
        return {}

    def unusable(self, options: dict[str, Any], device: str, dtype: torch.dtype) -> str | None:
        """Why this format runs nowhere on this device in a model of this dtype, or None where it does."""
        return None if device in self.runs_on else self._not_on(device)

    def _not_on(self, device: str) -> str:
        if device == "cuda":
            return "it has no kernel for a GPU"
        return (
            "it has no kernel for a processor, and needs a GPU of compute capability "
            f"{'.'.join(map(str, self.least_capability))} or later"
        )

    def refusal(self, in_features: int, out_features: int, options: dict[str, Any], device: str) -> str | None:
        """Why this format cannot take a linear layer of this shape on this device, or None where it can."""
        return None

    def quantize(self, layer: nn.Linear, options: dict[str, Any]) -> nn.Module:
        """The layer that takes this one's place; same shapes in and out, on the device of `layer.weight`."""
        raise NotImplementedError

    def state(self, layer: nn.Module) -> State:
        """The tensors that a checkpoint stores for a layer made by `quantize`."""
        raise NotImplementedError

    def quantize_seen(self, layer: Layer, seen: Seen, dtype: torch.dtype) -> tuple[State, dict[str, Any]]:
        """The tensors that a checkpoint of this dtype stores for a layer but for its bias, and what to tell of it.

        Its weights, of whatever dtype, become those that these tensors stand for.
        """
        raise NotImplementedError

    def restore(self, shell: nn.Linear, state: State, options: dict[str, Any], device: str) -> nn.Module:
        """The layer that `state` was taken from. `shell` has its shapes and dtype, but no weights (meta device)."""
        raise NotImplementedError

    def recognises(self, layer: nn.Module) -> bool:
        """Whether a loaded layer really holds this format, judged by its class and tensors alone."""
        raise NotImplementedError

    def storage(self, layer: nn.Module) -> str:
        """How the layer's weights lie in memory, in words."""
        raise NotImplementedError

    def kernel(self, layer: nn.Module) -> str:
        """The class or function that multiplies with the layer's weights."""
        return f"{type(layer).__module__}.{type(layer).__name__}"

    def grid(self, weight: torch.Tensor, options: dict[str, Any]) -> Grid:
        """What the format promises: the values that it rounds `weight` (out, in) to, in float32 and plain torch.

        Written from the format's definition and apart from the kernels, so that a wrong kernel shows.
        """
        raise NotImplementedError

    def reference(self, weight: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        """`weight` (out, in) rounded to the format's grid and back, in float32."""
        return self.grid(weight, options).nearest(weight)

    def held(self, state: State, shape: tuple[int, int], options: dict[str, Any]) -> Held:
        """What the tensors of a layer of this shape (out, in) stand for, worked out in plain torch.

        Raises `LookupError` or `ValueError` where these are not the tensors of such a layer.
        """
        raise NotImplementedError

    def multiplied(self, held: Held, options: dict[str, Any]) -> Held:
        """What the kernel makes of it before it multiplies, for kernels that round once more."""
        return held

    def freedom(self, dtype: torch.dtype, device: str) -> Freedom:
        """In what the checkpoint of a model of this dtype, made on this device, may differ from the definition."""
        return Freedom()

    def unit(self, dtype: torch.dtype, options: dict[str, Any]) -> float:
        """The unit roundoff of the coarsest dtype that the kernel computes in, in a model of this dtype."""
        import torch

        return torch.finfo(dtype).eps / 2

    def probes(self, signs: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        """The inputs on which the kernel is tried, made of random signs (n, in), and exact for it."""
        return signs

    def entering(self, inputs: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        """What the kernel makes of `inputs` (n, in; float64) before it multiplies, for kernels that round them."""
        return inputs


@dataclass(frozen=True)
class GroupFile:
    """Module groups that files of a checkpoint hold as a whole, for another program than torch to run.

    `files` are their names in the checkpoint's folder, and `told` is what making them tells, for the record.
    """

    spec: FormatSpec
    groups: tuple[str, ...]
    files: tuple[str, ...] = ()
    told: dict[str, Any] = field(default_factory=dict)


class GroupFormat(Format):
    """A way to hold whole module groups in files that a program of its own runs: its `runtime`.

    The rest of the model is run by `hosted_by`, as it is without it.
    """

    whole = True
    hosted_by = "transformers"
    holds: tuple[str, ...] = ()  # the groups that it can hold; empty where it can hold any

    def together(self, group: str) -> tuple[str, ...]:
        """The groups, this one among them, that one file holds: a precision gives all of them the same format."""
        return (group,)

    def recognises(self, layer: nn.Module) -> bool:
        return False  # it is of files, and no layer that torch runs

    def make(
        self,
        one: GroupFile,
        original: Streamed,
        family: ModuleType,
        source: Path,
        folder: Path,
        device: str,
        calibration: Calibration | None,
    ) -> GroupFile:
        """Write the files of these groups of the original, whose snapshot is `source`, into the checkpoint's `folder`.

        Returns `one` with the files and what is told of them. Raises `UserError` where the program cannot take the
        model.
        """
        raise NotImplementedError

    def adopt(
        self,
        fetched: Path,
        source: Path,
        out: Path,
        dtype: str,
        device: str,
        family: ModuleType,
        assignment: dict[str, FormatSpec],
    ) -> dict[str, Any]:
        """Put a ready file that was `fetched` into the checkpoint `out` of the original in `source`, for what is ready.

        Returns what the manifest says of it. Raises `UserError` where it is not of this model.
        """
        raise NotImplementedError

    def remarks(self, made: dict[str, Any], audit: dict[str, Any]) -> list[str]:
        """What stands out in the `audit` of a ready checkpoint, whose manifest is `made`, in clauses."""
        raise NotImplementedError

    def put(self, one: GroupFile, model: nn.Module, family: ModuleType, folder: Path, device: str) -> nn.Module:
        """The model that computes these groups from their files.

        `model` has all other weights; those of these groups are on the meta device.
        """
        raise NotImplementedError

    def audited(
        self,
        one: GroupFile,
        original: Streamed,
        family: ModuleType,
        folder: Path,
        device: str,
        model: Callable[[], nn.Module],
    ) -> tuple[list[LayerAudit], list[dict[str, Any]]]:
        """What the files hold, tensor by tensor, against the original: matrices of layers, and other parameters.

        The latter are rows as those of `checkpoint_audit.other_parameters`. `model` loads the checkpoint.
        """
        raise NotImplementedError
