"""Running GPTQModel over a model: every layer that is asked for, exactly those, with all texts, in one pass.

GPTQModel loads the snapshot itself and quantizes block after block, each on what the quantized blocks before it make of
the texts. What comes out are the packed tensors; bias and all else stay as the checkpoint holds them.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import torch
from tqdm import tqdm

from bitbudget.errors import UserError
from bitbudget.models.formats import packed
from bitbudget.models.formats.base import Calibration, Layer, State
from bitbudget.models.formats.gptq_kernels import TENSORS, zeroed
from bitbudget.models.formats.gptq_library import gptqmodel_library, silent_gptqmodel
from bitbudget.registry import format_of

log = logging.getLogger("bitbudget")

LEAST_TOKENS = 11  # GPTQModel leaves out shorter texts
UNSOLVED = 999_999_999  # what GPTQModel reports as loss where it rounded to nearest instead


def quantize(layers: Sequence[Layer], calibration: Calibration, dtype: torch.dtype, device: str) -> dict[str, State]:
    """The packed tensors of each layer, by path: qweight, qzeros (zero points as they are), scales, g_idx, and bias.

    The texts go through the model in float32 on a CPU, in the model's dtype on a GPU; its weights are those of `dtype`
    in both cases. `calibration.report` gets the texts and tokens that were used, and each layer's loss, damping and
    what the solver decided on. Raises `UserError` that names the layers which GPTQModel does not take or could not
    solve, and where no text is long enough.
    """
    library = gptqmodel_library()
    wanted = {layer.path: layer for layer in layers}
    texts = tokens(calibration)
    log.info("gptq: %d layers, on %d texts (%d tokens)", len(layers), len(texts), sum(map(len, texts)))
    with silent_gptqmodel():
        config = _config(library, layers[0], device)
        model = library.GPTQModel.load(
            str(calibration.snapshot), config, dtype=torch.float32 if device == "cpu" else dtype
        )
        for value in model.model.parameters():  # what the baseline computes with, and what the audit compares with
            value.data = value.data.to(dtype).to(value.dtype)
        offered = _offered(model, config)
        _refuse_missing(set(wanted) - offered)
        config.dynamic = _each_layer(wanted, offered)
        with tqdm(total=len(_blocks(model)), desc="gptq", unit="block", mininterval=1) as bar:
            model.layer_callback = lambda layer_idx, submodule_finalized: bar.update(not submodule_finalized)
            # One text at a time: in a batch, layers whose inputs have no batch dimension (OPT's MLP) see the padding.
            with _decisions() as decided:
                rows = model.quantize(
                    [{"input_ids": text, "attention_mask": [1] * len(text)} for text in texts], batch_size=1
                )
    found = {name: module for name, module in model.model.named_modules() if hasattr(module, "qweight")}
    _refuse_missing(set(wanted) - set(found))
    if surplus := sorted(set(found) - set(wanted)):
        raise RuntimeError(f"GPTQModel quantized layers that were not asked for: {', '.join(surplus)}")
    states = {path: _state(found[path], layer) for path, layer in wanted.items()}
    reports = _reports(rows["gptq"], wanted, states)
    for path, report in reports.items():
        report["decided"] = decided[path]
    calibration.report |= {"texts": len(texts), "tokens": sum(map(len, texts)), "layers": reports}
    return states


@contextlib.contextmanager
def _decisions() -> Iterator[dict[str, str]]:
    """What GPTQModel's solver decides on for each layer, by path, as `packed.decision` has it.

    It is taken where the solver returns, before anything is packed, so that packing is proved too.
    """
    from gptqmodel.quantization.gptq import GPTQ

    found: dict[str, str] = {}
    solve = GPTQ.quantize

    def told(self: Any, *options: Any, **named: Any) -> Any:
        result = solve(self, *options, **named)
        rounded, scales, zeros, *_ = result
        columns = rounded.shape[1] // scales.shape[1]
        steps = (rounded.float().cpu() / scales.float().cpu().repeat_interleave(columns, 1)).round()
        codes = steps + zeros.float().cpu().repeat_interleave(columns, 1)
        found[self._named_module.full_name] = packed.decision(codes, scales, zeros)
        return result

    GPTQ.quantize = told
    try:
        yield found
    finally:
        GPTQ.quantize = solve


def tokens(calibration: Calibration) -> list[list[int]]:
    """The texts as token numbers, as the model's tokenizer begins a text, cut to the positions that the model has."""
    from transformers import AutoConfig

    from bitbudget.models.readers import load_tokenizer
    from bitbudget.untrusted import plain_text

    config = AutoConfig.from_pretrained(calibration.snapshot, local_files_only=True)
    tokenizer = load_tokenizer(calibration.snapshot)
    longest = getattr(config, "max_position_embeddings", None)
    guard = plain_text.of(tokenizer)
    found = [
        guard.ids(text, f"calibration text {number}", begun=True)[:longest]
        for number, text in enumerate(calibration.texts, start=1)
    ]
    long_enough = [text for text in found if len(text) >= LEAST_TOKENS]
    if not long_enough:
        raise UserError(
            f"none of the {len(found)} calibration texts has {LEAST_TOKENS} tokens, the least that GPTQModel takes; "
            "give longer ones."
        )
    return long_enough


def _config(library: ModuleType, first: Layer, device: str) -> Any:
    """GPTQModel's settings, but for what single layers ask for."""
    return library.QuantizeConfig(
        **_settings(first), desc_act=False, format="gptq_v2", fallback=None, device=device, offload_to_disk=False
    )


def _each_layer(wanted: dict[str, Layer], offered: set[str]) -> dict[str, dict[str, Any]]:
    """GPTQModel's `dynamic`: which layers to leave alone, and what each of the others asks for.

    Whole paths, because it also holds these patterns against names within a block; refusals come first.
    """
    refused = {f"-:{_exactly(path)}": {} for path in sorted(offered - set(wanted))}
    return refused | {f"+:{_exactly(path)}": _settings(layer) for path, layer in wanted.items()}


def _exactly(path: str) -> str:
    return f"^{re.escape(path)}$"


def _bits(layer: Layer) -> int:
    return format_of(layer.spec["format"]).bits


def _settings(layer: Layer) -> dict[str, Any]:
    spec = layer.spec
    return {
        "bits": _bits(layer),
        "group_size": spec["group_size"],
        "sym": spec["symmetric"],
        "damp_percent": spec["damping"],
        "act_group_aware": spec["group_size"] != -1,  # it orders columns within groups, and fails without any
    }


def _offered(model: Any, config: Any) -> set[str]:
    """The paths of all layers that GPTQModel's description of this architecture lets it quantize."""
    inside = [name for part in model.simple_layer_modules(model.model.config, config) for name in part]
    return {f"{block}.{name}" for block in _blocks(model) for name in inside}


def _blocks(model: Any) -> list[str]:
    """The paths of a model's decoder blocks."""
    return [
        f"{node}.{number}"
        for node in model.extract_layers_node()
        for number in range(len(model.model.get_submodule(node)))
    ]


def _refuse_missing(paths: set[str]) -> None:
    if paths:
        first, *more = sorted(paths)
        others = f" and {len(more)} more" if more else ""
        raise UserError(
            f"GPTQModel does not quantize {first}{others} in a model of this kind; "
            "give the group that this layer belongs to another format than gptq-*."
        )


def _reports(
    rows: list[dict[str, Any]], wanted: dict[str, Layer], states: dict[str, State]
) -> dict[str, dict[str, Any]]:
    """What there is to tell of each layer.

    `loss` is the mean squared change of its outputs, as GPTQModel reckons it, `damping` what it took, `unused_inputs`
    the number of input features that were zero in all texts (dead neurons of OPT's), whose weights GPTQ sets to zero.
    Raises `UserError` naming the layers whose Hessian could not be inverted: these were rounded to nearest.
    """
    found = {}
    for path, layer in wanted.items():
        row = next(row for row in rows if path.endswith(f".{row['layer']}.{row['module']}"))
        unused = len(zeroed(packed.dequantize(states[path], _bits(layer)), layer.module.weight))
        found[path] = {"loss": float(row["loss"]), "damping": float(row["damp"]), "unused_inputs": unused}
    unsolved = [path for path, report in found.items() if not report["loss"] < UNSOLVED]
    if unsolved:
        raise UserError(
            f"GPTQ could not be solved for {', '.join(unsolved[:5])}: "
            "give more calibration texts, or set a larger `damping`."
        )
    raised = [path for path, layer in wanted.items() if found[path]["damping"] > layer.spec["damping"] + 1e-6]
    if raised:
        log.warning("gptq: damping was raised for %d layers (%s, ...)", len(raised), raised[0])
    unused = sum(report["unused_inputs"] for report in found.values())
    if unused:
        log.warning("gptq: %d input features were zero in all texts, and their weights are set to zero", unused)
    return found


def _state(module: Any, layer: Layer) -> State:
    tensors = {name: getattr(module, name) for name in TENSORS}
    bias = layer.module.bias  # GPTQModel's is rounded to float16
    return tensors if bias is None else tensors | {"bias": bias.detach()}
