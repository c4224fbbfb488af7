"""A whole results folder of made-up numbers: every record that a report reads, for any track and size of study.

    folder = made_results.build(tmp_path, track="vqa", precisions=12, models=2, conditions=("zero-shot", "4-shot"))
    evidence = bitbudget.telling.evidence.load(folder)

Numbers come from `synthetic_study`; comparisons, verdicts and the summary are made by the library's own code, so that
the sentences in them are what a real study has. `hostile=True` puts markup of HTML, Typst, Markdown and spreadsheets
into questions, references, answers and the description.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import synthetic_comparison
import synthetic_study
import yaml
from PIL import Image, ImageDraw

from bitbudget import records, registry
from bitbudget.judging import summary
from bitbudget.judging.comparison_kinds import NOISE_FLOOR
from bitbudget.telling import record
from made_records import HARDWARE, HASH, ITEMS, PACKAGES, PROVENANCE, Records  # noqa: F401

HOSTILE = '<script>alert(1)</script> #panic("x") $x$ =cmd() *a* _b_ @fig `c` [d](e) \\ & % 😀 漢字'
LONG = "pneumono" * 40
REASON = "made up: nothing was measured here."
COLOURS = ("#cc3333", "#3366cc", "#33aa55", "#ddaa22", "#8844aa", "#666666")
DATASETS = {
    "captioning": "demo-scenes", "vqa": "demo-questions", "lambada": "demo-passages", "detection": "demo-boxes",
}  # fmt: skip
FAMILIES = {"captioning": "llava", "vqa": "llava", "lambada": "llama", "detection": "yolos"}
NUMBERS = {
    "captioning": synthetic_study.PRECISIONS, "vqa": synthetic_study.PRECISIONS,
    "lambada": synthetic_study.LANGUAGE, "detection": synthetic_study.DETECTORS,
}  # fmt: skip
FORMATS = {"int8": "bnb-int8", "nf4": "bnb-nf4", "float16": "float16", "bfloat16": "bfloat16"}
OPTIONS = {"bnb-int8": {"threshold": 6.0}, "bnb-nf4": {"double_quant": False}}
FLAGGED = ["item", "model", "condition", "precisions", "kind", "what", "where", "excerpt"]
FIGURES = (
    "quality", "quality_delta", "size", "memory", "latency", "energy", "throughput", "quality_vs_size",
    "quality_vs_memory", "quality_vs_latency", "quality_vs_energy",
)  # fmt: skip


def build(
    parent: Path,
    *,
    study: str = "made",
    track: str = "vqa",
    precisions: int | Sequence[str] = 4,
    models: int | Sequence[str] = 1,
    conditions: Sequence[str] = ("zero-shot",),
    demo: bool = True,
    hostile: bool = False,
    ablation: bool = False,
    human: bool = False,
    missing: Sequence[str] = (),
    report: dict[str, Any] | None = None,
    undefined: str | None = None,
    few: bool = False,
    machine: dict[str, Any] | None = None,
) -> Path:
    """Write results/{study} below `parent` and return its folder.

    `undefined` is the reason why no cell, no floor and no comparison has a value in the primary metric. With `few` it
    is why nothing is compared, and all values stay, without their intervals.

    `machine` is what it decided (bitbudget.config.sensible). `missing` names costs of the measurements
    (`energy_per_item`, `peak_memory` …) that are absent with `REASON` in every cell. With `ablation` the precisions are
    those of an ablation of the groups of a captioner.
    """
    folder = parent / "results" / study
    names = [f"model-{i + 1}" for i in range(models)] if isinstance(models, int) else list(models)
    known = list(NUMBERS[track])
    if isinstance(precisions, int):
        precisions = [known[i] if i < len(known) else f"{known[i % len(known)]}~b" for i in range(precisions)]
    made = _Study(study, track, list(precisions), names, list(conditions), demo, hostile)
    made.machine = machine
    _write_yaml(folder / "study.resolved.yaml", made.resolved(ablation, human, report))
    _write(folder / "subset.json", made.subset())
    _write(folder / "models.json", made.fetched())
    scores, measurements, audits = made.cells(missing)
    for one in scores if undefined else ():
        one.pop("breakdown", None)
        if few:
            for metric in one["metrics"].values():
                metric.pop("ci", None)
        else:
            one["metrics"][made.primary] = made.absent(undefined)
    for one in scores:
        _write(made.place(folder, one) / "scores.json", one)
    for one in measurements:
        _write(made.place(folder, one) / "measurements.json", one)
        _write(made.place(folder, one) / "predictions.json", made.predictions(one))
    for one in audits:
        _write(folder / one["model"] / one["precision"] / "audit.json", one)
        _write(folder / one["model"] / one["precision"] / "checkpoint" / "checkpoint.json", made.checkpoint(one))
    rated = made.human() if human else None
    table = summary.summarize(made.spec() | {"spot_check": 25 if human else 0}, scores, measurements, audits, rated)
    table.insert(0, "study", study)
    table.to_csv(folder / "summary.csv", index=False)
    comparison = made.undefined(undefined) if undefined else made.comparison(scores)
    _write(folder / "comparison.json", comparison)
    blind = made.blind()
    if undefined:
        blind.pop("breakdown", None)
        if few:
            blind["metrics"][made.primary].pop("ci", None)
        else:
            blind["metrics"][made.primary] = made.absent(undefined)
    _write(folder / "blind.json", blind)
    rows = record.read_summary(folder / "summary.csv")
    identity = {"record": "verdicts", "study": study, "seed": 53, "subset_hash": HASH}
    told = record.body(made.spec(), comparison, rows, measurements, scores, blind)
    _write(folder / "verdicts.json", identity | told | {"provenance": PROVENANCE})
    _write_rows(folder / "carbon.csv", made.carbon(rows))
    if ablation:
        _write_rows(folder / "ablation.csv", made.ablation(comparison))
    if rated:
        _write(folder / "human.json", rated)
    _write(folder / "examples.json", made.examples())
    _write(folder / "inspection.json", made.inspection())
    _write_rows(folder / "flagged.csv", made.inspection()["flagged"])
    if track != "lambada":
        for i in range(ITEMS):
            picture(folder / "images" / f"{i:06}.png", i)
    extra = {"vqa": ("quality_by_type",), "detection": ("detections",)}.get(track, ())
    for name in (*FIGURES, *extra, *(("ablation",) if ablation else ())):
        figure(folder / "figures", name)
    return folder


def picture(path: Path, number: int, size: tuple[int, int] = (160, 120)) -> None:
    """A small picture of a coloured circle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, "#eeeae0")
    ImageDraw.Draw(image).ellipse((40, 20, 120, 100), fill=COLOURS[number % len(COLOURS)])
    image.save(path)


def figure(folder: Path, name: str) -> None:
    """A figure as svg and png: a frame with its name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="518pt" height="220pt" viewBox="0 0 518 220">'
        '<rect x="1" y="1" width="516" height="218" fill="#fff" stroke="#0072B2"/>'
        f'<text x="20" y="40" style="font: 14px \'DejaVu Sans\'">{name}</text></svg>\n',
        encoding="utf-8",
    )
    picture(folder / f"{name}.png", 1, (720, 306))


class _Study(Records):
    machine: dict[str, Any] | None = None

    def __init__(
        self,
        name: str,
        track: str,
        precisions: list[str],
        models: list[str],
        conditions: list[str],
        demo: bool,
        hostile: bool,
    ):
        self.name, self.track, self.precisions, self.models = name, track, precisions, models
        self.conditions, self.demo, self.hostile = conditions, demo, hostile
        self.module = registry.module_of("track", track)
        self.primary, self.baseline = self.module.PRIMARY, precisions[0]

    def place(self, folder: Path, one: dict[str, Any]) -> Path:
        return folder / one["model"] / one["precision"] / one["condition"]

    def spec(self) -> dict[str, Any]:
        return synthetic_comparison.spec(
            self.precisions, models=self.models, conditions=self.conditions, track=self.track, demo=self.demo
        ) | {"study": self.name, **({"machine": self.machine} if self.machine else {})}

    def text(self, plain: str) -> str:
        return f"{HOSTILE} {plain} {LONG}" if self.hostile else plain

    def groups(self, precision: str) -> dict[str, str]:
        """The format of each module group."""
        if self.track == "detection":
            return {"detector": precision.removesuffix("~b")}
        plain = self.baseline if self.baseline in FORMATS else "bfloat16"
        groups = dict.fromkeys(("language.attention", "language.mlp", "embeddings", "head"), plain)
        if self.track != "lambada":
            groups = {"vision": plain, "projector": plain} | groups
        low = precision.removesuffix("~b")
        low = low if low in registry.FORMATS else FORMATS.get(low.split("-")[0], plain)
        parts = [name for name in ("vision", "language") if f"-{name}" in precision] or ["language"]
        return {name: low if name.split(".")[0] in parts else kept for name, kept in groups.items()}

    def resolved(self, ablation: bool, human: bool, report: dict[str, Any] | None) -> dict[str, Any]:
        conditions = self.conditions
        return {
            "study": self.name,
            "description": self.text("made-up numbers for tests"),
            "demo": self.demo,
            "track": self.track,
            "dataset": {
                "name": DATASETS[self.track], "kind": DATASETS[self.track], "options": {"images": 160, "seed": 0},
                "licence": "CC0-1.0", "split": "val", "shots_split": None, "subset": 160,
            },
            "models": {
                name: {
                    "local": f"demo/models/{name}", "family": FAMILIES[self.track], "licence": "Apache-2.0",
                    "sha256": "", "revision": "", "branch": "", "restricted": False,
                }
                for name in self.models
            },
            "precisions": self.precisions,
            "baseline": self.baseline,
            "conditions": conditions,
            "prompt": None if self.track in ("lambada", "detection") else "{question}\nAnswer the question briefly.",
            "generation": {"max_new_tokens": 8, "do_sample": False, "num_beams": 1},
            "batch_size": 32,
            "shard_size": 64,
            "measure": {
                "items": 16, "warmup": 2, "min_iterations": 5, "min_seconds": 1, "batch_sizes": [1, 8],
                "new_tokens": 4, "repeats": 1, "rounds": 1, "busy_gpu": "refuse",
            },
            "accept": {"quality": 0.95, "prefer": "memory"},
            "carbon": {
                "flops_per_joule": 2e10, "country": "AUT", "pue": 1.2, "intensity": None,
                "what_if": {"countries": ["AUT", "POL", "SWE"], "pues": [1.1, 1.55]},
            },
            "quantization": {
                "group_size": 128, "symmetric": True, "damping": 0.05, "kernel": "torch",
                "calibration": {"items": 128, "split": None, "file": None},
            },
            "seed": 53,
            "images": {"max_side": 1024, "on_corrupt": "fail", "downloads": 8},
            "accept_licences": [],
            "device": "auto",
            "noise_floor": True,
            "primary": self.primary,
            "spot_check": 25 if human else 0,
            "assignments": {
                model: {
                    name: {group: {"format": form} | OPTIONS.get(form, {}) for group, form in self.groups(name).items()}
                    for name in self.precisions
                }
                for model in self.models
            },
            "report": {
                "title": None, "authors": [{"name": "A. Author", "affiliation": "Made University"}], "with": [],
                "words": None, "template": None, "examples": 300,
            } | (report or {}),
            "inspection": {"redact": True, "phone_region": "US"},
        } | ({"ablation": {"format": "rtn-3", "groups": ["vision", "language"]}} if ablation else {})  # fmt: skip

    def subset(self) -> dict[str, Any]:
        more = {"categories": [{"id": 1, "name": "circle"}]} if self.track == "detection" else {}
        return self.identity("subset") | {
            "dataset": DATASETS[self.track], "revision": "scenes-1-seed-0", "split": "val",
            "ids": [str(i) for i in range(160)], "licence": "CC0-1.0", "n_available": 360,
            "checksums": {"annotations/val.json": "c" * 64}, "provenance": PROVENANCE,
        } | more  # fmt: skip

    def fetched(self) -> dict[str, Any]:
        about = {
            "family": FAMILIES[self.track], "model_type": "made-up", "revision": "b" * 40, "licence": "Apache-2.0",
            "restricted": False,
            "files": {"model.safetensors": {"bytes": 1000, "sha256": HASH}},
        }  # fmt: skip
        models = {name: about | {"source": f"demo/models/{name}"} for name in self.models}
        return {"record": "models", "study": self.name, "seed": 53, "models": models, "provenance": PROVENANCE}

    def cells(self, missing: Sequence[str]) -> tuple[list[dict[str, Any]], ...]:
        scores, measurements, audits = [], [], []
        for model, precision, condition in self.keys():
            numbers = precision.removesuffix("~b")
            # the numbers of these models are those of synthetic_study's m, n and o
            stand_in = "mno"[self.models.index(model) % 3]
            found = synthetic_study.study([stand_in], [numbers], [condition], self.track)
            for one in (found[0][0], found[1][0], found[2][0]):
                one |= {"study": self.name, "model": model, "precision": precision, "provenance": PROVENANCE}
            scored, measured, audit = (one[0] for one in found)
            scored["seed"] = measured["seed"] = 53
            for name in missing:
                if "value" in measured["metrics"].get(name, {}):
                    unit = measured["metrics"][name]["unit"]
                    measured["metrics"][name] = records.absent(REASON, unit, higher_is_better=False)
            about = {"cores": 4, "other_gpu_processes": []} | measured["circumstances"]
            repeat = {"repeat": 1, "started": "2026-01-02T03:04:05+0000", "finished": "2026-01-02T03:04:09+0000"}
            repeat |= {"circumstances": about, "provenance": PROVENANCE}
            measured |= {"circumstances": about, "repeats": [repeat], "remarks": []}
            audit = {key: value for key, value in audit.items() if key not in ("seed", "subset_hash")}
            audit |= {"other_parameters": []}
            audit |= {"device": "cpu", "weights_bytes_in_memory": 1000} | self.audited(precision, numbers)
            scores.append(scored)
            measurements.append(measured)
            if condition == self.conditions[0]:
                audits.append(audit)
        return scores, measurements, audits

    def audited(self, precision: str, numbers: str) -> dict[str, Any]:
        bits = (NUMBERS[self.track] | synthetic_study.LONG_NAMES)[numbers][0]
        groups, layers = {}, []
        for group, form in self.groups(precision).items():
            whole = registry.format_of(form).is_float
            error = None if whole else 0.01 + 0.005 * len(layers)
            groups[group] = {
                "format": form, "parameters": 1000, "bytes": int(1000 * (16 if whole else bits) / 8),
                "relative_error": error,
            }  # fmt: skip
            layers.append(
                {
                    "path": f"model.{group}.layers.0", "group": group, "asked": form, "found": form, "storage": "int8",
                    "kernel": "torch.nn.functional.linear" if whole else "some.kernel.Linear", "parameters": 1000,
                    "bytes": groups[group]["bytes"], "relative_error": error, "promised_error": error,
                    "allowed_error": None if whole else 0.1, "fault": None,
                }
            )  # fmt: skip
        return {"groups": groups, "layers": layers}

    def checkpoint(self, audit: dict[str, Any]) -> dict[str, Any]:
        return {
            "record": "checkpoint", "study": self.name, "model": audit["model"], "precision": audit["precision"],
            "family": FAMILIES[self.track], "dtype": "bfloat16", "device": "cpu", "size_on_disk_bytes": 1000,
            "assignment": {group: {"format": one["format"]} for group, one in audit["groups"].items()},
            "files": {"weights-00001.safetensors": {"bytes": 1000, "sha256": HASH}}, "layers": {},
            "checkpoint_hash": HASH, "provenance": PROVENANCE,
        }  # fmt: skip

    def predictions(self, cell: dict[str, Any]) -> dict[str, Any]:
        keys = ("study", "model", "precision", "condition", "seed", "checkpoint_hash", "subset_hash")
        return {"record": "predictions"} | {key: cell[key] for key in keys} | {
            "prompt": None, "generation": {"max_new_tokens": 8, "do_sample": False, "num_beams": 1}, "shots": [],
            "again": False, "batch_size": 32, "device": "cpu", "threads": 2, "n": 160, "new_tokens": 320, "cut_off": 0,
            "provenance": PROVENANCE,
        }  # fmt: skip

    def absent(self, reason: str) -> dict[str, Any]:
        about = self.module.METRICS[self.primary]
        return records.absent(reason, about["unit"], higher_is_better=about["higher_is_better"])

    def undefined(self, reason: str) -> dict[str, Any]:
        """A comparison that compares nothing: only how many answers changed is known."""
        kinds = [*((name, "precision") for name in self.precisions[1:]), (self.baseline, NOISE_FLOOR)]
        made = [
            synthetic_comparison.one(
                name, self.absent(reason), primary=self.primary, model=model, condition=condition, kind=kind
            )
            | {"answers": {"changed": 3}}
            for model in self.models
            for condition in self.conditions
            for name, kind in kinds
        ]
        record = synthetic_comparison.record(made, self.baseline, self.primary)
        return record | {"study": self.name, "resamples": {}, "provenance": PROVENANCE}

    def comparison(self, scores: list[dict[str, Any]]) -> dict[str, Any]:
        record = synthetic_comparison.of_scores(self.spec(), scores)
        return record | {"study": self.name, "provenance": PROVENANCE}


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _write_yaml(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else FLAGGED, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
