"""The records of made-up studies that come after the scores: the floor, carbon, an ablation, people, examples, screens.

`made_results.build` writes them; numbers are made up, and what a track cannot have is absent as in a real study.
"""

from __future__ import annotations

from typing import Any

import synthetic_study

from bitbudget import records
from bitbudget.judging.comparison_kinds import NOISE_FLOOR

HASH = synthetic_study.HASH
ITEMS = 6
OBJECTS = "hallucinated objects"
NO_CAPTIONS = "this track has no captions."
PACKAGES = {"python": "3.11.2", "torch": "2.13.0+cpu", "transformers": "5.23.0", "bitsandbytes": "0.50.2"}
HARDWARE = {
    "system": "Linux-6.1-x86_64", "cpu": "Abacus 9", "cores": 4, "memory_mib": 16_000, "threads": 2, "gpus": [],
}  # fmt: skip
PROVENANCE = {
    "packages": PACKAGES, "hardware": HARDWARE, "commit": "0" * 40, "finished": "2026-01-02T03:04:05+0000",
    "seconds": 1.0,
}  # fmt: skip


class Records:
    """What a made-up study's later records are made from: `made_results` has the study."""

    name: str
    track: str
    primary: str
    baseline: str
    models: list[str]
    precisions: list[str]
    conditions: list[str]
    module: Any

    def keys(self) -> list[tuple[str, str, str]]:
        return [(m, p, c) for m in self.models for c in self.conditions for p in self.precisions]

    def identity(self, kind: str) -> dict[str, Any]:
        return {"record": kind, "study": self.name, "seed": 53, "subset_hash": HASH}

    def text(self, plain: str) -> str:
        """A text of a model or a person."""
        return plain

    def blind(self) -> dict[str, Any]:
        made = {
            "vqa": synthetic_study.vqa_blind, "lambada": synthetic_study.lambada_blind,
            "detection": synthetic_study.detection_blind,
        }  # fmt: skip
        if self.track in made:
            return self.identity("blind") | made[self.track]() | {"study": self.name, "provenance": PROVENANCE}
        metric = records.metric(0.12, "score", higher_is_better=True, n=160, ci=(0.09, 0.15))
        body = {"primary": "CIDEr", "text": self.text("A circle."), "metrics": {"CIDEr": metric}}
        return self.identity("blind") | body | {"provenance": PROVENANCE}

    def carbon(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        made = []
        countries = {"AUT": ("Austria", 110.8), "POL": ("Poland", 661.0), "SWE": ("Sweden", 40.7)}
        for row in rows:
            for code, (name, intensity) in countries.items():
                for pue in (1.2, 1.1, 1.55):
                    if code != "AUT" and pue == 1.2:
                        continue
                    joules = row["energy_per_item_J"]
                    kwh = None if joules is None else joules * pue / 3600
                    made.append(
                        {
                            "study": self.name, "model": row["model"], "precision": row["precision"],
                            "condition": row["condition"], "what_if": (code, pue) != ("AUT", 1.2), "country": code,
                            "country_name": name, "intensity_g_per_kwh": intensity, "intensity_year": 2023,
                            "intensity_source": "made up", "pue": pue, "energy_per_item_J": joules,
                            "energy_how": row["energy_how"], "energy_source": row["energy_source"],
                            "energy_scope": None, "energy_batch_size": 1, "kwh_per_1000_items": kwh,
                            "carbon_per_1000_items_g": None if kwh is None else kwh * intensity,
                            "carbon_per_million_requests_kg": None if kwh is None else kwh * intensity,
                            "flops_per_item": 4.7e8, "flops_per_joule": 2e10,
                            "flops_per_joule_source": "given in the study", "energy_estimated_from_flops_J": 0.0238,
                            "measured_over_estimated": None if joules is None else joules / 0.0238, "note": "",
                        }
                    )  # fmt: skip
        return made

    def ablation(self, comparison: dict[str, Any]) -> list[dict[str, Any]]:
        made = []
        for one in comparison["comparisons"]:
            if one["kind"] == NOISE_FLOOR:
                continue
            found = one["metrics"][self.primary]
            made.append(
                {
                    "study": self.name, "model": one["model"], "condition": one["condition"], "group": one["precision"],
                    "row": "group", "precision": one["precision"], "depth": 0, "parameters": 1000,
                    "share_of_parameters": 0.3, "n_items": 160, "metric": self.primary, "unit": "score",
                    "difference": found["value"], "difference_ci_low": found["ci"][0],
                    "difference_ci_high": found["ci"][1], "verdict": "loss", "share_of_loss": None,
                    "loss_per_million_parameters": None, "notes": "",
                }
            )  # fmt: skip
        return made

    def human(self) -> dict[str, Any]:
        def metric(value: float, n: int = 20) -> dict[str, Any]:
            return records.metric(value, "share of items", higher_is_better=True, n=n, ci=(value - 0.1, value + 0.1))

        cells = [
            {
                "model": m, "precision": p, "condition": c, "n_cards": 25, "n_rated": 20,
                "metrics": {
                    "human_accuracy": metric(0.8 - 0.02 * self.precisions.index(p)), "human_agreement": metric(0.9),
                    "metric_on_rated_items": metric(0.78),
                },
            }
            for m, p, c in self.keys()
        ]  # fmt: skip
        rater = {"rater": "R1", "file": "ratings/r1.json", "saved": "2026-01-02", "n_rated": 20, "n_not_rated": 5}
        rater |= {"n_ignored": 0, "right": 14, "partly": 2, "wrong": 4, "unsafe": 0}
        overall = {"agreement": metric(0.9), "kappa": metric(0.75), "mean_absolute_difference": metric(0.1)}
        nobody = records.absent("only one rater.", "kappa", higher_is_better=True)
        return self.identity("human") | {
            "primary": self.primary, "raters": [rater], "cells": cells,
            "overall": {"n_cards": 25, "n_rated": 20, "metrics": overall},
            "raters_agreement": {"pairs": [], "mean_kappa": nobody}, "unsafe": [], "comments": [],
            "provenance": PROVENANCE,
        }  # fmt: skip

    def examples(self) -> dict[str, Any]:
        changes = ("same", "changed", "better", "worse")
        items = []
        for i in range(ITEMS):
            answers: dict[str, Any] = {}
            for model, precision, condition in self.keys():
                place = self.precisions.index(precision)
                change = None if place == 0 else changes[(i + place) % 4]
                text = "a red circle" if change in (None, "same") else f"a {precision} circle"
                answer: dict[str, Any] = {
                    "text": self.text(text), "value": None if i == 5 else 1.0 - 0.1 * place, "change": change,
                    "flags": ["e-mail"] if i == 4 and model == self.models[0] and self.track != "detection" else [],
                }  # fmt: skip
                if self.track == "detection":
                    box = {"name": "circle", "bbox": [40, 20, 80, 80], "score": 0.9, "right": change != "worse"}
                    answer |= {"text": "", "detections": [box]}
                answers.setdefault(model, {}).setdefault(condition, {})[precision] = answer
            item = {
                "id": str(i), "image": None if self.track == "lambada" else f"images/{i:06}.png", "withheld": None,
                "question": self.text("What is this?") if self.track in ("vqa", "lambada") else None,
                "references": [[self.text("a red circle"), 8], ["a circle", 2]], "objects": [], "answers": answers,
            }  # fmt: skip
            if self.track == "detection":
                item |= {"references": [], "objects": [{"name": "circle", "bbox": [40, 20, 80, 80], "crowd": False}]}
                item |= {"width": 160, "height": 120}
            if i == 3 and self.track != "lambada":
                item |= {"image": None, "withheld": "made up: the licence of this picture does not allow it"}
            items.append(item)
        about = self.module.METRICS[self.primary]
        return self.identity("examples") | {
            "track": self.track, "primary": self.primary, "label": about["label"], "redacted": True,
            "redacted_why": "Personal strings are replaced, 0 were.", "baseline": self.baseline,
            "models": self.models, "precisions": self.precisions, "conditions": self.conditions, "items": items,
            "qualitative": ["0", "1", "2"], "qualitative_how": "The first three, because this is made up.",
            "provenance": PROVENANCE,
        }  # fmt: skip

    def inspection(self) -> dict[str, Any]:
        """As a real one: boxes are not screened, and only captions can name an object that is not there."""
        captions, screened = self.track == "captioning", self.track != "detection"

        def chair(value: float, unit: str) -> dict[str, Any]:
            if not captions:
                return records.absent(NO_CAPTIONS, unit, higher_is_better=False)
            ci = (max(value - 0.02, 0.0), value + 0.02)
            return records.metric(value, unit, higher_is_better=False, n=160, ci=ci)

        units = {"chair_i": "share of mentioned objects", "chair_s": "share of captions"}
        cells = [
            {
                "model": m, "condition": c, "precision": p, "n": 160,
                "metrics": {
                    "chair_i": chair(0.05 + 0.01 * self.precisions.index(p), units["chair_i"]),
                    "chair_s": chair(0.08, units["chair_s"]),
                },
                "flagged": {"privacy": 1, "profanity": 0, "people": 0} if screened else {},
                "answers_flagged": 1 if screened else None,
            }
            for m, p, c in self.keys()
        ]  # fmt: skip
        tested = {
            "baseline": 0.05, "compared": 0.06, "units_changed": 8, "test": "paired bootstrap", "p_value": 0.04,
            "p_holm": 0.12, "family": 3,
        }  # fmt: skip
        comparisons = [
            {
                "model": m, "condition": c, "precision": p,
                "metrics": {name: chair(0.01, unit) | tested for name, unit in units.items()},
            }
            for m, p, c in self.keys()
            if captions and p != self.baseline
        ]  # fmt: skip
        about = {"item": "4", "model": self.models[0], "condition": self.conditions[0], "where": "answer"}
        email = {"kind": "privacy", "what": "e-mail", "excerpt": self.text("write to [e-mail]")}
        flagged = [about | {"precisions": self.precisions} | email] if screened else []
        if captions:
            objects = {"kind": "objects", "what": "not in the image: ring", "excerpt": "a red ring"}
            flagged += [about | {"item": item, "precisions": [self.baseline]} | objects for item in ("1", "2")]
        checks = (OBJECTS, "privacy", "profanity and slurs", "wording about people")
        absent = dict.fromkeys(checks, None if screened else "the answers are boxes, not text.")
        absent[OBJECTS] = None if captions else NO_CAPTIONS
        looked_for = [{"check": name, "how": f"{name}: made up.", "absent": absent[name]} for name in checks]
        return self.identity("inspection") | {
            "track": self.track, "looked_for": looked_for, "cells": cells, "comparisons": comparisons,
            "correction": "p_holm is corrected over the made-up differences of a metric." if comparisons else None,
            "flagged": flagged, "redaction": {"on": True, "why": "It is on by default.", "replaced": 1},
            "limits": ["A screen by patterns and word lists misses what it does not know."], "provenance": PROVENANCE,
        }  # fmt: skip
