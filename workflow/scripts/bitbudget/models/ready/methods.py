"""By which method a checkpoint was quantized, and whether this machine can load it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bitbudget.errors import UserError, reason
from bitbudget.models.formats.gptq_library import gptqmodel_library
from bitbudget.models.snapshots import small_files

GPTQMODEL = "pip install -r requirements-gptq.lock"
# Packages that transformers loads a method with, and the command that installs them. It names those of other methods.
PACKAGES = {
    "gptq": (("gptqmodel", "optimum"), GPTQMODEL),
    "awq": (("gptqmodel",), GPTQMODEL),
    "compressed-tensors": (("compressed_tensors",), "pip install -r requirements.lock"),
    "bitsandbytes": (("bitsandbytes",), "pip install -r requirements.lock"),
    "torchao": (("torchao",), "pip install -r requirements.lock"),
}
ON_GPTQMODEL = ("gptq", "awq")
KEEPS_DTYPE = ("bitsandbytes", "torchao")  # transformers loads their other weights as they are stored


def quantization_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The `quantization_config` of a config.json, or of its part for text; empty where the model is not quantized."""
    parts = [config, *(value for value in config.values() if isinstance(value, dict))]
    named = (part.get("quantization_config") or part.get("compression_config") for part in parts)
    return dict(next(filter(None, named), {}))


def method_of(quantization: Mapping[str, Any]) -> str | None:
    """The method's name as transformers has it; None where nothing is quantized."""
    if not quantization:
        return None
    bitsandbytes = quantization.get("load_in_8bit") or quantization.get("load_in_4bit")
    return quantization.get("quant_method") or ("bitsandbytes" if bitsandbytes else "unknown")


def check(config: Path) -> None:
    """Whether what config.json describes can be loaded here; asked before weights are downloaded.

    Raises `UserError` where a package is missing, with the command that installs it, and where the method runs on no
    device of this machine.
    """
    quantization = quantization_of(small_files.read_object(config))
    method = method_of(quantization)
    if method is None:
        return
    packages, command = PACKAGES.get(method, ((), ""))
    missing = next((name for name in packages if find_spec(name) is None), None)
    if missing is not None:
        raise UserError(
            f"{config} is quantized by {method}, which needs the package {missing.replace('_', '-')}: install it with "
            f"`{command}`, or leave this precision out."
        )
    import_kernels(method)
    try:
        quantizer_of(quantization).validate_environment(device_map=None)
    except Exception as fault:  # of a library of any method
        raise UserError(
            f"{config} is quantized by {method}, which cannot be loaded here ({reason(fault)}): leave this precision "
            "out, or run it on a machine that can."
        ) from None


def import_kernels(method: str | None) -> None:
    """Import GPTQModel in this project's quiet way, before transformers does it in its own."""
    if method in ON_GPTQMODEL:
        gptqmodel_library()


def quantizer_of(quantization: Mapping[str, Any]) -> Any:
    """What transformers loads a checkpoint of this method with. Raises what it raises."""
    from transformers.quantizers import AutoHfQuantizer

    return AutoHfQuantizer.from_config(dict(quantization), pre_quantized=True)
