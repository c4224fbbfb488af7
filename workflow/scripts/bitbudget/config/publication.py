"""What the rules that inspect and publish read: files of the user's own, and what is told of other studies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget import registry
from bitbudget.config.validate import read_yaml
from bitbudget.errors import UserError


def instances(study: dict[str, Any]) -> list[str]:
    """The user's own file of objects, where the study names one."""
    return [name for name in [study["inspection"]["instances"]] if name]


def told_together(study: dict[str, Any]) -> list[str]:
    """The studies that the report of a study tells of, by name: itself first."""
    return [study["study"], *study["report"]["with"]]


def finished(name: str, wanted_by: str) -> dict[str, Any]:
    """A study that this run does not make, as it was resolved when it was run.

    Raises `UserError` where it has not been run.
    """
    path = Path("results") / name / "study.resolved.yaml"
    if not path.exists():
        raise _not_there(path, name, wanted_by)
    return read_yaml(path)


def all_there(paths: list[str], name: str, wanted_by: str) -> list[str]:
    """The same paths. Raises `UserError` for the first that is not there, of a study that this run does not make."""
    missing = next((path for path in map(Path, paths) if not path.exists()), None)
    if missing is not None:
        raise _not_there(missing, name, wanted_by)
    return paths


def _not_there(path: Path, name: str, wanted_by: str) -> UserError:
    return UserError(
        f"the report of {wanted_by} also tells of {name}, whose {path} is not there; run that study first "
        f"(make run STUDY={name}), or pick both: --config 'study=[{name},{wanted_by}]'."
    )


def shown_modules(studies: list[dict[str, Any]]) -> list[str]:
    """The registered modules whose words and labels a report on these studies shows: their tracks and formats."""
    formats = {
        spec["format"]
        for study in studies
        for assignments in study["assignments"].values()
        for assignment in assignments.values()
        for spec in assignment.values()
    }
    found = {registry.TRACKS[study["track"]] for study in studies} | {registry.FORMATS[name] for name in formats}
    return sorted(found)


def speaking_modules(studies: list[dict[str, Any]]) -> list[str]:
    """The registered modules whose words a report on these studies shows: also those of data sets and families."""
    families = {registry.FAMILIES[entry["family"]] for study in studies for entry in study["models"].values()}
    readers = {registry.DATASETS[study["dataset"]["kind"]] for study in studies}
    return sorted(families | readers | {*shown_modules(studies)})


def inspected_modules(study: dict[str, Any]) -> list[str]:
    """The registered modules that say what may be published of a study: its track and data set."""
    return [registry.TRACKS[study["track"]], registry.DATASETS[study["dataset"]["kind"]]]


def template(study: dict[str, Any]) -> list[str]:
    """The user's own template, where the study names one."""
    return [name for name in [study["report"]["template"]] if name]


def words(study: dict[str, Any]) -> list[str]:
    """The files of the author's own words."""
    folder = study["report"]["words"]
    return sorted(str(path) for path in Path(folder).iterdir() if path.is_file()) if folder else []
