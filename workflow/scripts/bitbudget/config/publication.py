"""What each rule that inspects or publishes needs to know; what `plan` is for all others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget.config import plan
from bitbudget.errors import UserError


def inspection(study: dict[str, Any]) -> dict[str, Any]:
    """For inspect_outputs and gather_examples."""
    data = study["dataset"]
    source = {"dataset": data["name"], "kind": data["kind"], "options": data["options"], "split": data["split"]}
    return {**plan.comparison(study), **source, "inspection": study["inspection"]}


def models(study: dict[str, Any]) -> dict[str, Any]:
    """For gather_models."""
    return {key: study[key] for key in ("study", "seed")}


def instances(study: dict[str, Any]) -> list[str]:
    """For inspect_outputs: the user's own file of objects, where the study names one."""
    return [name for name in [study["inspection"]["instances"]] if name]


def told_together(study: dict[str, Any]) -> list[str]:
    """The studies that the report of a study tells of, by name: itself first."""
    return [study["study"], *study["report"]["with"]]


def needed_of(name: str, wanted_by: str) -> list[str]:
    """What a report reads first of a study that this run does not make.

    Raises `UserError` where that study has not been run to its end.
    """
    found = [f"results/{name}/{file}" for file in ("summary.csv", "verdicts.json", "inspection.json", "examples.json")]
    missing = next((path for path in found if not Path(path).exists()), None)
    if missing is not None:
        raise UserError(
            f"the report of {wanted_by} also tells of {name}, whose {missing} is not there; run that study first "
            f"(make run STUDY={name}), or pick both: --config 'study=[{name},{wanted_by}]'."
        )
    return found


def paper(study: dict[str, Any]) -> dict[str, Any]:
    """For write_paper, write_slides and write_appendix."""
    return {"study": study["study"], "report": {key: study["report"][key] for key in ("title", "authors", "template")}}


def template(study: dict[str, Any]) -> list[str]:
    """For write_paper: the user's own template, where the study names one."""
    return [name for name in [study["report"]["template"]] if name]


def archive(study: dict[str, Any]) -> dict[str, Any]:
    """For bundle_study."""
    return {"study": study["study"], "with": study["report"]["with"]}


def words(study: dict[str, Any]) -> list[str]:
    """For write_paper: the files of the author's own words."""
    folder = study["report"]["words"]
    return sorted(str(path) for path in Path(folder).iterdir() if path.is_file()) if folder else []


def page(study: dict[str, Any]) -> dict[str, Any]:
    """For write_page."""
    return {"study": study["study"], "report": {"examples": study["report"]["examples"]}}
