"""Where the numbers come from: machine, versions, seeds, revisions, hashes, and the files beside the page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from bitbudget.measuring import circumstances
from bitbudget.publishing.appendix import provenance
from bitbudget.telling import asked
from bitbudget.telling.evidence import Evidence

Record = Mapping[str, Any]

# Files that every study has beside its page, and those that only some have.
FILES = {
    "paper.pdf": "the paper",
    "slides.pdf": "slides of ten minutes",
    "appendix.pdf": "hardware, versions, seeds, revisions on one page",
    "summary.csv": "everything that was measured, one row per model, precision and condition",
    "comparison.csv": "every difference from the baseline, with interval and test",
    "carbon.csv": "energy and carbon, also for other countries",
    "verdicts.txt": "the verdicts in full",
    "flagged.csv": "answers that the screens flagged",
    "study.resolved.yaml": "the study with every default filled in",
    "{study}.zip": "code, configuration and results, to run it again",
}
SOME_HAVE = {"ablation.csv": "what each module group costs in quality"}
# Shows answers and pictures as they are: no part of what is published where personal strings are replaced.
UNREDACTED = {"spot_check.html": "where people rate answers, blind to the precision"}


def of(evidence: Evidence) -> dict[str, Any]:
    """Facts as pairs of a name and its lines, versions of packages, and links."""
    measured = list(evidence.measurements.values())
    made = [repeat for one in measured for repeat in one.get("repeats", [one])]
    provenances = [one["provenance"] for one in made if "provenance" in one]
    everything = [one["provenance"] for one in (*measured, *evidence.predictions.values(), evidence.comparison)]
    study, subset = evidence.study, evidence.subset
    facts = {
        "Measured on": _distinct(circumstances.place(circumstances.circumstances(one)) for one in measured),
        "Memory": _distinct(_memory(one["hardware"]) for one in provenances),
        "GPU": _distinct(_gpus(one["hardware"]) for one in provenances),
        "System": _distinct(one["hardware"].get("system", "") for one in provenances),
        "Commit of the workflow": _distinct(
            one.get("commit") or "unknown: not in a git checkout" for one in everything
        ),
        "Seed": [str(study["seed"])],
        "Data": [f"{subset['dataset']}, revision {subset['revision']}, split {subset['split']}, {subset['licence']}"],
        "Items": [
            f"{len(subset['ids'])} of {subset['n_available']}, subset hash {subset['subset_hash']}",
            *evidence.prepared,
        ],
        "Decided by the machine": evidence.decided,
        "Models": [
            *(_model(name, about) for name, about in evidence.models_fetched.items()),
            *evidence.quantized_before,
        ],
        "Checkpoints": _distinct(
            f"{model} / {precision}: {audit['checkpoint_hash']}"
            for (model, precision), audit in evidence.audits.items()
        ),
        "Ready checkpoints": [
            _ready(f"{model} / {precision}", audit["ready"])
            for (model, precision), audit in evidence.audits.items()
            if "ready" in audit
        ],
        "Prompt": [study["prompt"]] if study.get("prompt") else [],
        "Asked": _distinct(line for record in evidence.predictions.values() for line in asked.sentences(study, record)),
    }
    packages: dict[str, list[str]] = {}
    for one in everything:
        for name, version in provenance.software(one).items():
            if version not in packages.setdefault(name, []):
                packages[name].append(version)
    links = {name.format(study=evidence.name): words for name, words in FILES.items()}
    beside = SOME_HAVE | ({} if evidence.inspection["redaction"]["on"] else UNREDACTED)
    links |= {name: words for name, words in beside.items() if (evidence.folder / name).exists()}
    return {
        "facts": [[name, lines] for name, lines in facts.items() if lines],
        "packages": [[name, ", ".join(versions)] for name, versions in sorted(packages.items())],
        "links": [[name, words] for name, words in links.items()],
    }


def _ready(name: str, about: Record) -> str:
    config = {key: value for key, value in (about["quantization_config"] or {}).items() if key != "meta"}
    own = json.dumps(config, sort_keys=True) if config else "none"
    said = f"{name}: {about['checkpoint']}, from {about['source']}, revision {about['revision']}, {about['licence']}"
    return f"{said}; its quantization_config: {own}"


def _distinct(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(line for line in lines if line))


def _memory(hardware: Record) -> str:
    memory, cores = hardware.get("memory_mib"), hardware.get("cores")
    return f"{memory / 1024:.1f} GiB, {cores} cores that a process may use" if memory else ""


def _gpus(hardware: Record) -> str:
    names = [f"{gpu['name']}, driver {gpu.get('driver', 'unknown')}" for gpu in hardware.get("gpus") or []]
    return "; ".join(names) or "none used"


def _model(name: str, fetched: Record) -> str:
    """Where a model came from, as it was fetched: a source on a hub with a commit, one on a disk with a hash."""
    return ", ".join([f"{name}: {fetched['source']}", f"revision {fetched['revision']}", fetched["licence"]])
