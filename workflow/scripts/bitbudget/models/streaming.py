"""Models whose weights are read from their snapshot when they are asked for, and let go again.

transformers builds the model and decides which stored tensors become which weight: under older names, split, fused or
cast (`core_model_loading` of transformers 5.23). It is only kept from reading. It goes through all names once with
tensors that have a shape and no values, while what it reads for each weight is noted; to fill a weight, the same
function is given the stored tensors of this weight alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from safetensors import safe_open
from torch import nn

from bitbudget.errors import UserError

log = logging.getLogger("bitbudget")

ONE_BY_ONE = "HF_DEACTIVATE_ASYNC_LOAD"  # has transformers read without threads, a tensor when it is its turn


@dataclass
class Reading:
    """Stored tensors that are read together, and the weights that become of them."""

    stored: list[str] = field(default_factory=list)
    weights: list[str] = field(default_factory=list)


class Streamed:
    """A model as its snapshot holds it, ready for inference, of whose weights only those asked for are in memory.

    The others are on the meta device: they have their shapes and dtypes. Buffers are always there. `files` are those
    that the weights are read from. A snapshot that cannot be read tensor by tensor is loaded whole, which is logged.
    """

    def __init__(
        self,
        folder: Path,
        model_class: Any,
        dtype: torch.dtype,
        device: str = "cpu",
        config: Any = None,
        elsewhere: Collection[str] = (),
    ):
        """The model in `folder`, by its own configuration or by `config`.

        What lies below the paths `elsewhere` comes from somewhere else: it may be missing. Raises `UserError` where
        the snapshot lacks other weights, which transformers would draw at random.
        """
        self.files: list[Path] = []
        self._file_of: dict[str, Path] = {}  # by the names of stored tensors
        self._type_of: dict[str, torch.dtype] = {}  # by the same names
        self._readings: dict[str, Reading] = {}  # by the names of weights
        self._how: Any = None
        self._blank_state: dict[str, torch.Tensor] = {}  # what transformers asks the model for each time, and is slow
        self.model = self._build(folder, model_class, dtype, device, config, tuple(f"{path}." for path in elsewhere))
        self.model.eval().requires_grad_(False)
        if not self._readings:  # loaded whole
            self.model.to(device)
        shared: dict[int, list[str]] = {}
        for name, value in self.model.named_parameters(remove_duplicate=False):
            shared.setdefault(id(value), []).append(name)
        self._names = {name: names for names in shared.values() for name in names}
        self._blanks: dict[str, nn.Parameter] = {}
        for names in shared.values():
            value = self.model.get_parameter(names[0])
            blank = nn.Parameter(torch.empty_like(value, device="meta"), requires_grad=False)
            self._blanks |= dict.fromkeys(names, blank)
        self.empty(self._blanks)
        self.fill(name for name, value in self.model.named_buffers() if value.is_meta)
        for name, value in list(self.model.named_buffers()):
            self._put([name], value.to(device))

    def fill(self, names: Iterable[str]) -> None:
        """Read these weights, if they are not there yet, and those that share their tensors or are read with them."""
        wanted = {id(reading): reading for name in names for reading in self._reading(name) if self._at(name).is_meta}
        if not wanted:
            return
        self._read(self.model, wanted.values())
        for name in (name for reading in wanted.values() for name in reading.weights):
            self._put(self._names.get(name, [name]), self._at(name).requires_grad_(False))

    def empty(self, names: Iterable[str]) -> None:
        """Let go of these weights, and of those that were read with them."""
        for name in names:
            for reading in self._reading(name):
                for weight in reading.weights:
                    if weight in self._names:
                        self._put(self._names[weight], self._blanks[weight])

    @contextlib.contextmanager
    def holding(self, names: Collection[str]) -> Iterator[None]:
        """Have these weights in memory as long as the block lasts."""
        self.fill(names)
        try:
            yield
        finally:
            self.empty(names)

    def named(self, path: str) -> list[str]:
        """The names of the parameters of the module at this path, or the name itself where it is a parameter's."""
        if path in self._names:
            return [path]
        return [f"{path}.{name}" for name, _ in self.model.get_submodule(path).named_parameters()]

    def stored_types(self, names: Iterable[str]) -> set[torch.dtype]:
        """The dtypes in which the snapshot has what these weights are made of; empty where it was loaded whole."""
        readings = [reading for name in names for reading in self._reading(name)]
        return {self._type_of[name] for reading in readings for name in reading.stored}

    def same_as(self, name: str) -> list[str]:
        """The names of the weights that are this one, its own among them: of a tied head, the embeddings'."""
        return self._names.get(name, [name])

    def _reading(self, name: str) -> list[Reading]:
        """What is to be read for a weight: nothing where it did not come from the snapshot."""
        return [self._readings[other] for other in self._names.get(name, [name]) if other in self._readings][:1]

    def _at(self, name: str) -> torch.Tensor:
        return self.model.get_parameter_or_buffer(name)

    def _put(self, names: Iterable[str], value: torch.Tensor) -> None:
        for name in names:
            parent, _, leaf = name.rpartition(".")
            module = self.model.get_submodule(parent)
            (module._parameters if leaf in module._parameters else module._buffers)[leaf] = value

    def _build(
        self, folder: Path, model_class: Any, dtype: torch.dtype, device: str, config: Any, below: tuple[str, ...]
    ) -> nn.Module:
        """Let transformers load the model, without its weights."""
        from transformers import PreTrainedModel

        def plan(model: Any, state_dict: Any, paths: list[str] | None, how: Any, *_: Any) -> tuple[Any, Any]:
            self.files = [Path(path) for path in paths or ()]
            if state_dict is not None or how.hf_quantizer is not None or not all(map(_has_single_tensors, self.files)):
                log.warning("the weights in %s cannot be read one by one: they are loaded whole", folder)
                return load(model, state_dict, paths, how)
            self._how = dataclasses.replace(how, device_map={"": torch.device(device)})
            found = self._go_through(model)
            for name in [name for name in found.missing_keys if name.startswith(below)]:
                found.missing_keys.discard(name)
                model.get_parameter_or_buffer(name)._is_hf_initialized = True  # so that nothing is drawn for it
            # A tied matrix may be stored twice. Whether it is the same is for transformers to see, in the values.
            twice = [pair for pair in model.all_tied_weights_keys.items() if found.missing_keys.isdisjoint(pair)]
            self._read(model, {id(one): one for pair in twice for one in map(self._readings.get, pair)}.values())
            return found, None

        load = PreTrainedModel._load_pretrained_model
        with warnings.catch_warnings(), _in_place_of(PreTrainedModel, "_load_pretrained_model", staticmethod(plan)):
            warnings.simplefilter("ignore")
            chosen = {} if config is None else {"config": config}
            model, report = model_class.from_pretrained(
                folder, dtype=dtype, local_files_only=True, output_loading_info=True, **chosen
            )
        missing = sorted(name for name in report["missing_keys"] if not (below and name.startswith(below)))
        if missing:
            raise UserError(
                f"{folder} lacks {counted(missing)} of the model that its config.json describes: "
                "fetch it again, or name another revision."
            )
        return model

    def _go_through(self, model: Any) -> Any:
        """Note what transformers reads for each weight; returns what it tells of the loading."""
        from transformers import core_model_loading, modeling_utils

        readings = [Reading()]
        put = core_model_loading.set_param_for_module

        def read(name: str) -> None:
            if readings[-1].weights:
                readings.append(Reading())
            readings[-1].stored.append(name)

        def noted(model: Any, name: str, *rest: Any) -> None:
            readings[-1].weights.append(name)
            put(model, name, *rest)

        blanks = {}
        for path in self.files:
            shapes = modeling_utils.load_state_dict(path, map_location="meta")
            blanks |= {
                name: _Stored(lambda name=name, value=value: (read(name), value)[1]) for name, value in shapes.items()
            }
            self._file_of |= dict.fromkeys(shapes, path)
            self._type_of |= {name: value.dtype for name, value in shapes.items()}
        with _in_place_of(core_model_loading, "set_param_for_module", noted):
            found = _load(model, blanks, dataclasses.replace(self._how, device_map={"": torch.device("meta")}))
        self._blank_state = model.state_dict()
        self._readings = {name: reading for reading in readings for name in reading.weights}
        return found

    def _read(self, model: Any, readings: Iterable[Reading]) -> None:
        """Have transformers load what is stored for these readings."""
        names = [name for reading in readings for name in reading.stored]
        model.state_dict = lambda: self._blank_state
        try:
            with _Opened() as opened:
                stored = {name: _Stored(partial(opened.get, self._file_of[name], name)) for name in names}
                _load(model, stored, self._how)
        finally:
            del model.state_dict


def counted(names: list[str]) -> str:
    """How many weights these are, and the first by its name."""
    return f"{len(names)} weights ({names[0]}, ...)" if len(names) > 1 else f"1 weight ({names[0]})"


class _Stored:
    """A stored tensor as transformers takes one: it is read when it is indexed."""

    def __init__(self, read: Callable[[], torch.Tensor]):
        self._read = read

    def __getitem__(self, index: Any) -> torch.Tensor:
        return self._read()[index]


class _Opened(contextlib.ExitStack):
    """Files of weights, each opened when something in it is asked for first."""

    def __init__(self) -> None:
        super().__init__()
        self._files: dict[Path, Any] = {}

    def get(self, path: Path, name: str) -> torch.Tensor:
        """A tensor, in memory of its own: pages of a mapped file would stay in memory with it."""
        if path not in self._files:
            self._files[path] = (
                self.enter_context(safe_open(path, framework="pt", backend="pread"))
                if path.suffix == ".safetensors"
                else torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            )
        file = self._files[path]
        return file[name].clone() if isinstance(file, dict) else file.get_tensor(name)


def _has_single_tensors(path: Path) -> bool:
    """Whether tensors of a file can be read one by one: those of torch's older pickles cannot."""
    return path.suffix == ".safetensors" or is_zipfile(path)


def _load(model: Any, tensors: dict[str, _Stored], how: Any) -> Any:
    """Have transformers load these tensors into a model; returns what it tells of that."""
    from transformers import core_model_loading

    before = os.environ.get(ONE_BY_ONE)
    os.environ[ONE_BY_ONE] = "1"
    try:
        return core_model_loading.convert_and_load_state_dict_in_model(model, tensors, how, None)[0]
    finally:
        del os.environ[ONE_BY_ONE]
        if before is not None:
            os.environ[ONE_BY_ONE] = before


@contextlib.contextmanager
def _in_place_of(owner: Any, name: str, new: Any) -> Iterator[None]:
    """Put `new` in the place of an attribute as long as the block lasts."""
    old = vars(owner)[name]
    setattr(owner, name, new)
    try:
        yield
    finally:
        setattr(owner, name, old)
