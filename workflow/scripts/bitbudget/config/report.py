"""What a study says of its report (other studies told of with it, the author's own words), and of the inspection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget.errors import UserError, suggest
from bitbudget.registry import module_of

WORDS = Path("paper")  # the author's own words on a study lie in paper/{study}/


def resolve_inspection(study: dict[str, Any], where: str) -> None:
    """Raises `UserError` where the file of objects that a study names is not there, or of no use in its track."""
    instances = study["inspection"]["instances"]
    if instances is not None and module_of("track", study["track"]).WHY_NO_OBJECTS:
        raise UserError(
            f"{where}: `inspection.instances` tells made-up objects in captions, and the track is {study['track']}; "
            "remove it."
        )
    if instances is not None and not Path(instances).is_file():
        raise UserError(f"{where}: `inspection.instances` is {instances}, which does not exist; correct the path.")


def resolve_report(study: dict[str, Any], studies: list[str], where: str) -> None:
    """Look up the other studies, the folder of words and the template, in place.

    `studies` are the names of all study files. Raises `UserError` for what is not there.
    """
    report = study["report"]
    for other in report["with"]:
        if other == study["study"]:
            raise UserError(f"{where}: `report.with` names the study itself, which is in it anyway; remove it.")
        if other not in studies:
            raise UserError(f"{where}: `report.with` names {other!r}, which is no study; {suggest(other, studies)}")
    if report["words"] is None:
        own = WORDS / study["study"]
        report["words"] = str(own) if own.is_dir() else None
    elif not Path(report["words"]).is_dir():
        raise UserError(f"{where}: `report.words` is {report['words']}, which is no folder; correct it, or make one.")
    if report["template"] is not None and not Path(report["template"]).is_file():
        raise UserError(f"{where}: `report.template` is {report['template']}, which does not exist; correct it.")
