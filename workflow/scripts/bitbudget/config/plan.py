"""What each rule needs to know: for every step the part of the study that its job depends on, and nothing more.

A rule hands its part to its script as JSON. Snakemake reruns a job when its part changes, so a study's prompt does not
re-quantize, and its figures' note does not re-predict.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bitbudget import contracts, registry
from bitbudget.config.precision import float_format
from bitbudget.config.validate import suggest
from bitbudget.errors import UserError
from bitbudget.items.shots import number_of
from bitbudget.judging.comparison_kinds import OTHER_THREADS, other_number

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


def _identity(study: dict[str, Any], **more: str) -> dict[str, Any]:
    return {"study": study["study"], "seed": study["seed"], **more}


def dataset(studies: Studies, name: str) -> dict[str, Any]:
    """For fetch_dataset: the reader and its options."""
    data = next(s["dataset"] for s in studies.values() if s["dataset"]["name"] == name)
    return {key: data[key] for key in ("kind", "options", "licence")}


def dataset_files(studies: Studies, name: str) -> list[str]:
    """For fetch_dataset: the user's own files and folders that it reads, so that a change is noticed."""
    data = dataset(studies, name)
    return [data["options"][option] for option in registry.module_of("dataset", data["kind"]).LOCAL_PATHS]


def subset(study: dict[str, Any]) -> dict[str, Any]:
    """For select_subset."""
    data = study["dataset"]
    chosen = {key: data[key] for key in ("kind", "options", "split", "subset")}
    return {"dataset": data["name"], "seed": study["seed"], **chosen}


def ids_file(study: dict[str, Any]) -> list[str]:
    """For select_subset: the file that names the items, where the study has one."""
    chosen = study["dataset"]["subset"]
    return [chosen["ids"]] if isinstance(chosen, dict) else []


def image_fetching(study: dict[str, Any]) -> dict[str, Any]:
    """For fetch_images."""
    return {"at_most": study["images"]["downloads"]}


def image_resizing(study: dict[str, Any]) -> dict[str, Any]:
    """For resize_images; with the families that are choosy only where it may skip what they refuse."""
    found = {key: study["images"][key] for key in ("max_side", "on_corrupt")}
    choosy = choosy_families(study)
    return found | ({"families": choosy} if choosy else {})


def choosy_families(study: dict[str, Any]) -> list[str]:
    """Families of a study's models that do not take every image, where the study skips images that cannot be used."""
    names = sorted({entry["family"] for entry in study["models"].values()})
    skips = study["images"]["on_corrupt"] == "skip"
    return [name for name in names if skips and contracts.of(registry.module_of("family", name), "image_refusal")]


def shots(study: dict[str, Any], condition: str) -> dict[str, Any]:
    """For select_shots."""
    data = study["dataset"]
    source = {"dataset": data["name"], "kind": data["kind"], "options": data["options"], "split": data["shots_split"]}
    return {**_identity(study, condition=condition), **source, "number": number_of(condition)}


def shot_image_resizing(study: dict[str, Any], condition: str) -> dict[str, Any]:
    """For resize_shot_images: an example without its image is none."""
    return {
        "max_side": study["images"]["max_side"],
        "on_corrupt": "fail",
        "remedy": "take the examples from another `shots_split`",
    }


def model(studies: Studies, name: str) -> dict[str, Any]:
    """For fetch_model: the entry of config/models.yaml, but for what a detector's file means, which is not fetched."""
    return {key: value for key, value in _entry(studies, name).items() if key != "detector"}


def _entry(studies: Studies, name: str) -> dict[str, Any]:
    return next(s["models"][name] for s in studies.values() if name in s["models"])


def local_model(studies: Studies, name: str) -> list[str]:
    """For fetch_model: the files of a model that is not on the Hub, so that new weights are noticed."""
    entry = model(studies, name)
    if "local" not in entry:
        return []
    folder = Path(entry["local"])
    if folder.is_file():
        return [str(folder)]
    patterns = ("*.json", "*.safetensors", "*.bin", "*.txt", "*.model", "*.pb", "variables/*")
    return sorted(str(path) for pattern in patterns for path in folder.glob(pattern))


def _assignment(study: dict[str, Any], model: str, precision: str) -> tuple[dict[str, Any], str]:
    assignment = study["assignments"][model][precision]
    return assignment, float_format(assignment, study["assignments"][model][study["baseline"]])


def quantization(study: dict[str, Any], model: str, precision: str) -> dict[str, Any]:
    """For quantize_model and audit_checkpoint: every group's format, and the float format beside them.

    The study's seed is not among it: nothing here is random, and another subset must not quantize again (but where it
    takes calibration texts away from GPTQ, whose file is an input).
    """
    assignment, dtype = _assignment(study, model, precision)
    return {
        "study": study["study"],
        "model": model,
        "precision": precision,
        "family": study["models"][model]["family"],
        "assignment": assignment,
        "dtype": dtype,
        "device": study["device"],
        "simulated": simulated(study, model, precision),
    }


def simulated(study: dict[str, Any], model: str, precision: str) -> list[str]:
    """The simulated formats of a precision; none where size and speed can be measured."""
    formats = dict.fromkeys(spec["format"] for spec in study["assignments"][model][precision].values())
    return [name for name in formats if registry.format_of(name).simulated]


def calibration(study: dict[str, Any]) -> dict[str, Any]:
    """For select_calibration and select_calibration_images."""
    data, wanted = study["dataset"], study["quantization"]["calibration"]
    source = {"dataset": data["name"], "kind": data["kind"], "options": data["options"]}
    return {**_identity(study), **source, **{key: wanted[key] for key in ("split", "items", "file")}}


def calibration_file(study: dict[str, Any]) -> list[str]:
    """For select_calibration: the user's own file of texts, where the study names one."""
    return [name for name in [study["quantization"]["calibration"]["file"]] if name]


def has_images(study: dict[str, Any]) -> bool:
    """Whether the models of a study see images; those of a language track only read."""
    return registry.module_of("track", study["track"]).IMAGES


def detects(study: dict[str, Any]) -> bool:
    """Whether the models of a study are detectors, which LiteRT runs."""
    return registry.module_of("track", study["track"]).RUNTIME == "litert"


def detector(studies: Studies, name: str) -> dict[str, Any]:
    """For export_detector: of the entry of config/models.yaml what it does not take from the fetched model."""
    return {
        "model": name,
        **{key: value for key, value in _entry(studies, name).items() if key in ("family", "detector")},
    }


def detection(study: dict[str, Any], model: str, precision: str, condition: str) -> dict[str, Any]:
    """For detect."""
    return {
        **_identity(study, model=model, precision=precision, condition=condition),
        **{key: study[key] for key in ("shard_size", "detection")},
    }


def detector_measurement(study: dict[str, Any], model: str, precision: str, condition: str) -> dict[str, Any]:
    """For measure_detector."""
    return {
        **_identity(study, model=model, precision=precision, condition=condition),
        **_measuring(study),
        "detection": study["detection"],
    }


def calibration_image_resizing(study: dict[str, Any]) -> dict[str, Any]:
    """For resize_calibration_images."""
    return {**image_resizing(study), "on_corrupt": "skip"}


def last_words(study: dict[str, Any], model: str, precision: str, condition: str) -> dict[str, Any]:
    """For predict_last_words."""
    return {
        **_identity(study, model=model, precision=precision, condition=condition),
        "family": study["models"][model]["family"],
        "bos": study["last_word"]["bos"],
        **{key: study[key] for key in ("batch_size", "shard_size", "device")},
    }


def compares_logits(study: dict[str, Any]) -> bool:
    """Whether scoring holds a precision's logits against the baseline's."""
    return contracts.of(registry.module_of("track", study["track"]), "LOGITS")


def prediction(study: dict[str, Any], model: str, precision: str, condition: str) -> dict[str, Any]:
    """For predict."""
    keys = ("prompt", "generation", "batch_size", "shard_size", "device")
    return {
        **_identity(study, model=model, precision=precision, condition=condition),
        "family": study["models"][model]["family"],
        "shots": number_of(condition),
        **{key: study[key] for key in keys},
    }


def again(part: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """For the noise floor: the part of a rule that predicts, with another batch size and the items in another order.

    The script changes the number of threads where the study asks for it, and where the batch size is fixed, as a
    detector's is.
    """

    def other(study: dict[str, Any], model: str, precision: str, condition: str) -> dict[str, Any]:
        found = part(study, model, precision, condition)
        size = found.get("batch_size")
        more = {"batch_size": other_number(size)} if size else {}
        if study["noise_floor"] == OTHER_THREADS:
            more["other_threads"] = True
        return found | {"again": True} | more

    return other


def repeats(study: dict[str, Any], model: str, precision: str) -> range:
    """The numbers of the processes that measure a precision; of a simulated one there is nothing to repeat."""
    return range(1, 2 if simulated(study, model, precision) else study["measure"]["repeats"] + 1)


def _measuring(study: dict[str, Any]) -> dict[str, Any]:
    """How one process measures; one more of them makes no other's numbers old."""
    return {"measure": {key: value for key, value in study["measure"].items() if key != "repeats"}}


def combination(study: dict[str, Any], **cell: str) -> dict[str, Any]:
    """For combine_measurements: where the energy comes from."""
    return {"carbon": {key: study["carbon"][key] for key in ("country", "pue", "intensity")}}


def measurement(study: dict[str, Any], model: str, precision: str, condition: str) -> dict[str, Any]:
    """For measure_efficiency."""
    return {
        **_identity(study, model=model, precision=precision, condition=condition),
        "family": study["models"][model]["family"],
        "simulated": simulated(study, model, precision),
        "num_beams": study["generation"]["num_beams"],
        "shots": number_of(condition),
        **_measuring(study),
        **{key: study[key] for key in ("prompt", "device")},
        **({} if has_images(study) else {"bos": study["last_word"]["bos"]}),
    }


def counting(study: dict[str, Any], model: str, precision: str, condition: str) -> dict[str, Any]:
    """For count_flops: what is measured, but not how."""
    found = measurement(study, model, precision, condition)
    counted = {key: found["measure"][key] for key in ("items", "new_tokens")}
    return {key: value for key, value in found.items() if key != "simulated"} | {"measure": counted}


def detector_counting(study: dict[str, Any], model: str, precision: str, condition: str) -> dict[str, Any]:
    """For count_detector_flops."""
    return _identity(study, model=model, precision=precision, condition=condition)


def scoring(study: dict[str, Any], model: str, precision: str, condition: str) -> dict[str, Any]:
    """For score."""
    return {key: study[key] for key in ("track", "primary", "seed")} | _top_k(study)


def _top_k(study: dict[str, Any]) -> dict[str, Any]:
    return {"top_k": study["last_word"]["top_k"]} if "last_word" in study else {}


def uses_paraphrases(study: dict[str, Any]) -> bool:
    """For score and score_blind: whether the track's metrics read METEOR's table; one that says nothing does not."""
    return contracts.of(registry.module_of("track", study["track"]), "USES_PARAPHRASES")


def blind_scoring(study: dict[str, Any]) -> dict[str, Any]:
    """For score_blind."""
    return {**_identity(study), "track": study["track"], "primary": study["primary"]} | _top_k(study)


def spot_check(study: dict[str, Any]) -> dict[str, Any]:
    """For make_spot_check and read_ratings: how many items, what was asked, and the metric to hold against people.

    `primary_range` is the metric's lowest and highest value for one answer, from wrong to right; None for a metric
    that does not say whether a single answer is right.
    """
    about = registry.module_of("track", study["track"]).METRICS[study["primary"]]
    asked = {"items": study["spot_check"], "prompt": study["prompt"]}
    return {**_identity(study), **asked, "primary": study["primary"], "primary_range": about.get("range")}


def ablates(study: dict[str, Any]) -> bool:
    """Whether the study quantizes one module group at a time."""
    return "ablation" in study


def comparison(study: dict[str, Any]) -> dict[str, Any]:
    """For compare_precisions."""
    return {**_identity(study), **_cells(study), "track": study["track"], "primary": study["primary"]}


def recommendation(study: dict[str, Any]) -> dict[str, Any]:
    """For recommend_precision."""
    threads = {"noise_floor": OTHER_THREADS} if study["noise_floor"] == OTHER_THREADS else {}
    return comparison(study) | {"accept": study["accept"], "demo": study["demo"]} | threads


def reproduction(study: dict[str, Any]) -> dict[str, Any]:
    """For reproduce_study."""
    return {"seed": study["seed"], **_cells(study), "noise_floor": study["noise_floor"]}


def carbon(study: dict[str, Any]) -> dict[str, Any]:
    """For tabulate_carbon."""
    return {"study": study["study"], **_cells(study), "carbon": study["carbon"]}


def ablation(study: dict[str, Any]) -> dict[str, Any]:
    """For tabulate_ablation: the format, and the group that each of its precisions quantizes."""
    asked = study["ablation"]
    return comparison(study) | {"ablation": {"format": asked["format"], "groups": asked["precisions"]}}


def ablation_figure(study: dict[str, Any]) -> dict[str, Any]:
    """For plot_ablation."""
    return ablation(study) | {"demo": study["demo"], "note": note(study)}


def track_figures(study: dict[str, Any]) -> tuple[str, ...]:
    """Figures that the study's track has beside `FIGURES`."""
    return contracts.of(registry.module_of("track", study["track"]), "FIGURES")


def overview(study: dict[str, Any]) -> dict[str, Any]:
    """For summarize_study, plot_figures, plot_breakdown and plot_comparison: what there is, in the study's order."""
    return {
        "track": study["track"],
        "primary": study["primary"],
        "spot_check": study["spot_check"],
        **_cells(study),
        "note": note(study),
    }


def _cells(study: dict[str, Any]) -> dict[str, Any]:
    """What there is, in the study's order."""
    kept = ("precisions", "conditions", "baseline")
    return {"models": list(study["models"]), **{key: study[key] for key in kept}}


def note(study: dict[str, Any]) -> str:
    """What stands under a study's figures."""
    return f"demo study: {study['description']}" if study["demo"] else study["description"]


def modules(study: dict[str, Any], model: str, precision: str) -> list[str]:
    """The registered modules that a job on this model and precision uses: its family, and the precision's formats."""
    formats = {spec["format"] for spec in study["assignments"][model][precision].values()}
    found = {registry.FORMATS[name] for name in formats}
    return [registry.FAMILIES[study["models"][model]["family"]], *sorted(found)]
