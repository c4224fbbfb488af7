"""What of a study's files is in its archive, what is left out, and why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from bitbudget import files, registry
from bitbudget.errors import UserError
from bitbudget.publishing.archive import pictures
from bitbudget.publishing.archive.pictures import Picture
from bitbudget.spot_check.folder import RATINGS

# Files without which there is nothing to hand in; those of a study that is only told of beside another are fewer.
RECORDS = (
    "study.resolved.yaml", "subset.json", "items.jsonl", "summary.csv", "comparison.json", "verdicts.json",
    "inspection.json", "examples.json",
)  # fmt: skip
DELIVERED = ("paper.pdf", "paper.md", "appendix.pdf", "slides.pdf", "index.html")
OF_A_CELL = ("predictions.jsonl", "item_scores.jsonl", "scores.json", "measurements.json")

# Folders of a study beside those of its models.
BESIDE_MODELS = ("figures", "paper_pictures", "shots", "calibration")
MODELS = "prepared models (`checkpoint/`): they are large, and are made again from the models' own weights"
PICTURES = "prepared pictures (`images/`): they are fetched and prepared again, but for few that may be passed on"
LOGITS = "logits (`logits.safetensors`): they are large, and are written again with the answers"
PARAPHRASES = "METEOR's paraphrases (`meteor_paraphrases.gz`): they come with METEOR"
RATING_PAGE = "`spot_check.html`, on which people rate answers: it shows pictures and answers as they are"
PAGE = "index.html"
OUTDATED = "files of models, precisions and conditions that the study does not name any more"
NOTHING = ""  # left out without a word: hidden files, and archives


@dataclass(frozen=True)
class Study:
    """A study's folder, and the paths (relative to it, with `/`) that are in the archive."""

    folder: Path
    resolved: Mapping[str, Any]  # with every default filled in
    redacts: bool
    redacted_why: str
    shipped: list[str]
    left_out: Counter[str] = field(default_factory=Counter)  # files by the reason
    pictures: Sequence[Picture] = ()
    kept_back: frozenset[str] = frozenset()  # items whose pictures may not be passed on

    @property
    def name(self) -> str:
        return self.resolved["study"]


def read(folder: Path, *, delivered: bool) -> Study:
    """The study in `results/{study}`, which must be finished; `delivered`: its report too.

    Raises `UserError` that names the first file that is missing.
    """
    wanted = RECORDS + (DELIVERED if delivered else ())
    _need(folder, wanted)
    resolved = yaml.safe_load((folder / "study.resolved.yaml").read_text(encoding="utf-8"))
    for model in resolved["models"]:
        for precision in resolved["precisions"]:
            tails = [f"{condition}/{name}" for condition in resolved["conditions"] for name in OF_A_CELL]
            _need(folder, [f"{model}/{precision}/{tail}" for tail in ("audit.json", *tails)])
    redaction = files.read_json(folder / "inspection.json")["redaction"]
    every, kept_back = pictures.read(folder, resolved["dataset"])
    about = {"pictures": every, "kept_back": frozenset(kept_back)}
    found = Study(folder, resolved, redaction["on"], redaction["why"], [], **about)
    shown = shown_pictures(folder, found.kept_back)
    for name in _walk(folder):
        as_it_is = redaction["on"] or bool(kept_back)
        reason = None if name in shown else why_left_out(PurePosixPath(name), resolved, as_it_is)
        if reason is None:
            found.shipped.append(name)
        else:
            found.left_out[reason] += 1
    # in the order in which they were made: a program that unpacks without dates makes them in that order again, so that
    # Snakemake does not take a table for older than what it was made of
    found.shipped.sort(key=lambda name: ((folder / name).stat().st_mtime_ns, name))
    return found


def why_left_out(name: PurePosixPath, study: Mapping[str, Any], closed: bool) -> str | None:
    """The reason why a file of a study's folder is not in the archive; None for one that is.

    `closed` says that not all of its texts and pictures may be passed on as they are.
    """
    folders = name.parts[:-1]
    if any(part.startswith(".") for part in name.parts) or name.suffix == ".zip" or name.as_posix() == pictures.TABLE:
        return NOTHING
    if "images" in folders:
        return PICTURES
    if folders and folders[0] not in study["models"] and folders[0] not in BESIDE_MODELS:
        return OUTDATED
    if folders and folders[0] in study["models"]:
        named = (study["models"], study["precisions"], (*study["conditions"], "checkpoint"))
        if any(part not in known for part, known in zip(folders, named, strict=False)):
            return OUTDATED
    if "checkpoint" in folders:
        return MODELS
    if name.suffix == ".safetensors":
        return LOGITS
    if name.suffix == ".gz":
        return PARAPHRASES
    if name.name == "spot_check.html" and closed:
        return RATING_PAGE
    return None


def shown_pictures(folder: Path, kept_back: Set[str]) -> set[str]:
    """The few pictures that paper and slides show, to make these again; without those of the items `kept_back`."""
    examples = files.read_json(folder / "examples.json")
    chosen = set(examples["qualitative"])
    items = [item for item in examples["items"] if item["id"] in chosen - kept_back and not item.get("withheld")]
    return {item["image"] for item in items if item.get("image") and (folder / item["image"]).is_file()}


def own_files(work: Path, study: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The user's own files that a study names: those in the archive (relative to `work`), and those that are not.

    Words for the paper, a template, lists of items, calibration texts and ratings are in it where they lie in the
    working folder. Data (the objects of images too) and weights are not: whose they are, and how large, nobody here
    knows.
    """
    report = study.get("report", {})
    chosen, calibration = study["dataset"]["subset"], study.get("quantization", {}).get("calibration", {})
    small = [report.get("words"), report.get("template"), calibration.get("file")]
    small.append(chosen["ids"] if isinstance(chosen, dict) else None)
    inside: set[str] = set()
    outside: list[str] = []
    for path in [str(RATINGS / study["study"]), *filter(None, small)]:
        place = (work / path).resolve()
        if not place.exists():
            continue
        if not place.is_relative_to(work.resolve()):
            outside.append(path)
        elif place.is_file():
            inside.add(Path(path).as_posix())
        else:
            inside.update((PurePosixPath(path) / name).as_posix() for name in _walk(place) if not _is_hidden(name))
    data = study["dataset"]
    outside += [data["options"][option] for option in registry.module_of("dataset", data["kind"]).LOCAL_PATHS]
    outside += filter(None, [study["inspection"].get("instances")])
    outside += [entry["local"] for entry in study["models"].values() if "local" in entry]
    return sorted(inside), outside


def _need(folder: Path, names: tuple[str, ...] | list[str]) -> None:
    missing = next((folder / name for name in names if not (folder / name).is_file()), None)
    if missing is not None:
        raise UserError(
            f"{missing} is missing, so {folder.name} is not finished: run `make run STUDY={folder.name}` first."
        )


def _walk(folder: Path) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        for name in names:
            yield (Path(place) / name).relative_to(folder).as_posix()


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(name).parts)
