"""What a study has its rules make, and of which files; `spec` is what it tells their scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget import contracts, registry
from bitbudget.config.spec import simulated
from bitbudget.errors import UserError, suggest

# Every figure of a study; a figure whose metric could not be measured says so.
FIGURES = (
    "quality",
    "size",
    "latency",
    "throughput",
    "memory",
    "energy",
    "quality_vs_size",
    "quality_vs_latency",
    "quality_vs_memory",
    "quality_vs_energy",
)


Studies = dict[str, dict[str, Any]]


def cells(study: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Every (model, precision, condition) of a study, in its order."""
    return [(m, p, c) for m in study["models"] for p in study["precisions"] for c in study["conditions"]]


def study_of(studies: Studies, name: str, **cell: str) -> dict[str, Any]:
    """A picked study. Raises `UserError` where it does not have this model, precision or condition (in `cell`)."""
    study = studies[name]
    for what, wanted in cell.items():
        known = study[f"{what}s"]
        if wanted not in known:
            raise UserError(f"study {name} has no {what} {wanted!r}; {suggest(wanted, list(known))}")
    return study


def dataset_files(study: dict[str, Any]) -> list[str]:
    """The user's own files and folders that the study's data set is read from, so that a change is noticed."""
    data = study["dataset"]
    return [data["options"][option] for option in registry.module_of("dataset", data["kind"]).LOCAL_PATHS]


def ids_file(study: dict[str, Any]) -> list[str]:
    """The file that names the study's items, where it has one."""
    chosen = study["dataset"]["subset"]
    return [chosen["ids"]] if isinstance(chosen, dict) else []


def local_model(study: dict[str, Any], model: str) -> list[str]:
    """The files of a model that is not on the Hub, so that new weights are noticed."""
    return files_of(study["models"][model])


def files_of(source: dict[str, Any]) -> list[str]:
    """The same of any model or ready checkpoint."""
    if "local" not in source:
        return []
    folder = Path(source["local"])
    if folder.is_file():
        return [str(folder)]
    patterns = ("*.json", "*.jinja", "*.safetensors", "*.bin", "*.txt", "*.model", "*.pb", "variables/*")
    return sorted(str(path) for pattern in patterns for path in folder.glob(pattern))


def calibration_file(study: dict[str, Any]) -> list[str]:
    """The user's own file of texts to calibrate on, where the study names one."""
    return [name for name in [study["quantization"]["calibration"]["file"]] if name]


def has_images(study: dict[str, Any]) -> bool:
    """Whether the models of a study see images; those of a language track only read."""
    return registry.module_of("track", study["track"]).IMAGES


def detects(study: dict[str, Any]) -> bool:
    """Whether the models of a study are detectors, which LiteRT runs."""
    return registry.module_of("track", study["track"]).RUNTIME == "litert"


def compares_logits(study: dict[str, Any]) -> bool:
    """Whether scoring holds a precision's logits against the baseline's."""
    return contracts.of(registry.module_of("track", study["track"]), "LOGITS")


def repeats(study: dict[str, Any], model: str, precision: str) -> range:
    """The numbers of the processes that measure a precision; of a simulated one there is nothing to repeat."""
    once = simulated(study, {"model": model, "precision": precision})
    return range(1, 2 if once else study["measure"]["repeats"] + 1)


def uses_paraphrases(study: dict[str, Any]) -> bool:
    """Whether the track's metrics read METEOR's table; one that says nothing does not."""
    return contracts.of(registry.module_of("track", study["track"]), "USES_PARAPHRASES")


def ablates(study: dict[str, Any]) -> bool:
    """Whether the study quantizes one module group at a time."""
    return "ablation" in study


def track_figures(study: dict[str, Any]) -> tuple[str, ...]:
    """Figures that the study's track has beside `FIGURES`."""
    return contracts.of(registry.module_of("track", study["track"]), "FIGURES")


def modules(study: dict[str, Any], model: str, precision: str) -> list[str]:
    """The registered modules that a job on this model and precision uses: its family, and the precision's formats."""
    formats = {spec["format"] for spec in study["assignments"][model][precision].values()}
    found = {registry.FORMATS[name] for name in formats}
    return [registry.FAMILIES[study["models"][model]["family"]], *sorted(found)]
