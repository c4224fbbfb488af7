"""The audit of a checkpoint on disk: each layer is restored as it is loaded, held against the original, and let go."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from bitbudget import registry
from bitbudget.errors import UserError
from bitbudget.models import checkpoint
from bitbudget.models.audit import checkpoint_audit
from bitbudget.models.audit.audited import coverage
from bitbudget.models.calibration.inputs import inputs_of

Read = Callable[[], Sequence[Any]]


def audit(
    folder: Path, source: Path, family: ModuleType, spec: dict[str, Any], device: str, read: Read | None = None
) -> dict[str, Any]:
    """What a record says of the checkpoint in `folder`, whose original is the snapshot `source`.

    `spec` is what `audit_checkpoint` is told of the study; `read` gives the model's inputs on which calibrated formats
    were quantized. Raises `UserError` where the checkpoint is not what its precision asks for.
    """
    loaded = checkpoint.Opened(folder, family, device)
    original = checkpoint.original(source, family, spec["dtype"], device)
    decided = _decided(folder, loaded.made, read)

    @contextlib.contextmanager
    def hold(path: str) -> Iterator[None]:
        with loaded.holding(path), original.holding(original.named(path)):
            yield

    def inputs() -> Any:
        """They are what the layers before make of items, so the whole model is needed."""
        return inputs_of(checkpoint.load(folder, family, device), list(decided), read(), device)

    layers = checkpoint_audit.audit_layers(
        loaded.model, original.model, family, spec["assignment"], device,
        functools.partial(checkpoint.stored_state, folder), decided, inputs if decided else None, hold,
    )  # fmt: skip
    others = checkpoint_audit.other_parameters(loaded.model, original.model, family, layers, hold, loaded.elsewhere)
    for one in loaded.wholes:
        fmt = registry.format_of(one.spec["format"])
        load = functools.partial(checkpoint.load, folder, family, device)
        mine, rest = fmt.audited(one, original, family, folder, device, load)
        layers, others = layers + mine, others + rest
    changed = checkpoint_audit.changed_elsewhere(loaded.model, original.model, layers)
    changed += checkpoint_audit.changed_on_disk(folder, source, spec["dtype"], spec["assignment"], layers)
    checkpoint_audit.refuse_faults(spec["precision"], layers, others + changed)
    asked = {group: chosen["format"] for group, chosen in spec["assignment"].items()}
    quantized = [group for group, name in asked.items() if not registry.format_of(name).is_float]
    groups = checkpoint_audit.by_group(layers, others, asked)
    return {
        "checkpoint_hash": loaded.made["checkpoint_hash"],
        "passed": True,
        "simulated": spec["simulated"],
        "device": device,
        "weights_bytes_in_memory": sum(g["bytes"] for g in groups.values()),
        "coverage": coverage(layers, others, asked, quantized),
        "groups": groups,
        "layers": [asdict(layer) for layer in layers],
        "other_parameters": others,
    }


def _decided(folder: Path, made: dict[str, Any], read: Read | None) -> dict[str, str]:
    """What the solver decided on for each calibrated layer, by path, as the checkpoint's record has it."""
    told = made.get("calibration", {}).get("layers", {})
    for path, chosen in made["layers"].items():
        if registry.format_of(chosen["format"]).calibrated and path not in told:
            raise UserError(
                f"{folder} does not say what {chosen['format']} decided on for {path}: delete it and make it again."
            )
    if told and not read:
        raise UserError(
            f"{folder} holds formats that are calibrated: name the items, as for quantize_model.py, with --calibration."
        )
    return {path: facts["decided"] for path, facts in told.items()}
