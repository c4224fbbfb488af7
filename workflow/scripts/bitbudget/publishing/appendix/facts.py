"""What a study was made of, in short texts: data, models, checkpoints, prompts and decoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.publishing.typesetting.texts import fitting, one_line, shortened, some
from bitbudget.telling import wording
from bitbudget.telling.evidence import Evidence

Record = Mapping[str, Any]
Pair = tuple[str, str]

SIMULATED = "-"  # in place of a size: what is only rounded has none of its own
SOURCES = {"hub": "Hugging Face Hub ", "local": "local folder ", "url": "", "package": "Python package "}
# Kernels of layers that keep a float format: they say nothing of how a precision is computed.
_PLAIN = ("torch.nn.functional.linear",)


def data(evidence: Evidence, most: int | None, digits: int) -> list[Pair]:
    """Data set and items; of the checksums the first `most` (None: all), with `digits` of their 64 digits."""
    subset, study = evidence.subset, evidence.study
    sums = [f"{name} {checksum[:digits]}" for name, checksum in sorted(subset["checksums"].items())]
    many = some(sums, most, "; ", f"results/{evidence.name}/subset.json") or "none recorded"
    asked = study["dataset"].get("name", subset["dataset"])
    shots = study["dataset"].get("shots_split")
    examples = f"; examples of few-shot prompts from {shots}" if shots and evidence.conditions != ["zero-shot"] else ""
    return [
        (
            "data set",
            f"{asked}, revision {subset['revision']}, licence {subset['licence']}, split {subset['split']}, "
            f"{len(subset['ids'])} of {subset['n_available']} items{examples}",
        ),
        *(("images", sentence) for sentence in evidence.prepared),
        *(("machine", sentence) for sentence in evidence.decided),
        ("indices", f"chosen with seed {subset['seed']}, SHA-256 {subset['subset_hash']} (subset.json lists them)"),
        (f"checksums{' (SHA-256)' if sums else ''}", many),
    ]


def model(name: str, entry: Record, fetched: Record | None, digits: int) -> str:
    """Where a model comes from, with its revision; `fetched` says how it was fetched, where that is known."""
    said = (words + entry[key] for key, words in SOURCES.items() if entry.get(key))
    source = next(said, "source not recorded")
    revision = (fetched or {}).get("revision") or entry.get("revision") or entry.get("sha256")
    if entry.get("local"):
        known = f", SHA-256 of its files {revision[:digits]}" if revision else ""
        revised = f"no published revision, as it is local{known}"
    else:
        revised = f"revision {revision}" if revision else "its revision is not recorded (config/locks.json has it)"
    licence = entry.get("licence") or "not recorded"
    if made_from := (fetched or {}).get("made_from"):
        types = ", ".join(made_from["types"])
        source += f", GGUF file {made_from['file']} ({types}; {made_from['bits']:.3g} bits per weight)"
        revised = f"SHA-256 of the file {revision[:digits]}"
    return f"{name}: {source}; {revised}; licence {licence}; family {entry.get('family', 'not recorded')}"


def checkpoints(evidence: Evidence, digits: int) -> list[list[str]]:
    """A row for each model and precision: names, size, hash, formats as audited, kernels as audited."""
    many = len(evidence.models) > 1
    rows = []
    for (name, precision), audit in evidence.audits.items():
        base = " (baseline)" if precision == evidence.baseline else ""
        rows.append(
            [
                (f"{name} · " if many else "") + precision + base,
                _size(evidence, name, precision),
                audit["checkpoint_hash"][:digits],
                formats(audit) + (" (simulated by rounding)" if audit.get("simulated") else ""),
                kernels(audit),
            ]
        )
    return rows


def _size(evidence: Evidence, name: str, precision: str) -> str:
    if evidence.audits[name, precision].get("simulated"):
        return SIMULATED
    told = evidence.entry(name, precision, evidence.conditions[0])["costs"]["size_on_disk"]
    return told.get("with_unit", "not measured")


def formats(audit: Record) -> str:
    """The formats that the audit found, with their groups: "bnb-int8: language.mlp; bfloat16: the rest"."""
    groups = _by_format(audit)
    if len(groups) == 1:
        (only,) = groups
        return f"{only} throughout"
    rest = _rest(audit, groups)
    told = [f"{form}: {', '.join(names)}" for form, names in groups.items() if form != rest]
    return "; ".join([*told, f"{rest}: the rest"])


def formats_in_short(audit: Record, untold: str | None) -> str:
    """Likewise, with "language (attention, mlp)" for groups of one part, and without the rest where its format is
    `untold`."""
    groups = _by_format(audit)
    if len(groups) == 1:
        return f"{next(iter(groups))} throughout"
    rest = _rest(audit, groups)
    told = [f"{form}: {', '.join(_merged(names, audit['groups']))}" for form, names in groups.items() if form != rest]
    return "; ".join([*told, *([] if rest == untold else [f"{rest}: the rest"])])


def only_format(audit: Record) -> str | None:
    """The format of all groups; None where they have several."""
    groups = _by_format(audit)
    return next(iter(groups)) if len(groups) == 1 else None


def _by_format(audit: Record) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name, group in audit["groups"].items():
        groups.setdefault(group["format"], []).append(name)
    return groups


def _rest(audit: Record, groups: Mapping[str, Sequence[str]]) -> str:
    """What was left as it was is the rest, else the format that most groups have."""
    kept = [form for form, names in groups.items() if all(_is_whole(audit["groups"][name]) for name in names)]
    return max(kept or groups, key=lambda form: len(groups[form]))


def _merged(names: Sequence[str], every: Mapping[str, Any]) -> list[str]:
    """Names of groups by their parts: "language" where all groups of it are among these, else those in brackets."""
    parts: dict[str, list[str]] = {}
    for name in names:
        part, _, group = name.partition(".")
        parts.setdefault(part, []).extend([group] * bool(group))
    whole = {part for part in parts if all(name in names for name in every if name.partition(".")[0] == part)}
    return [
        part if part in whole or not groups else f"{part}.{groups[0]}" if len(groups) == 1
        else f"{part} ({', '.join(groups)})"
        for part, groups in parts.items()
    ]  # fmt: skip


def _is_whole(group: Record) -> bool:
    """Whether a group keeps a float format: there is no error to tell of it."""
    return group.get("relative_error") is None


def kernels(audit: Record) -> str:
    """What multiplies the quantized layers, as audited."""
    quantized = [layer for layer in audit["layers"] if layer["relative_error"] is not None]
    found = list(dict.fromkeys(layer["kernel"] for layer in quantized or audit["layers"]))
    special = [kernel for kernel in found if kernel not in _PLAIN] or found
    # a detector has a kernel for each kind of operator, all of one library
    inside = list(dict.fromkeys(k.partition("(")[2].rstrip(")") for k in special if k.endswith(")")))
    if len(special) > 1 and len(inside) == 1:
        return f"{inside[0]}: {', '.join(kernel.partition(' (')[0] for kernel in special)}"
    return ", ".join(special) or "none recorded"


def asked(evidence: Evidence, most: int | None) -> list[Pair]:
    """The prompt as it was given, how many examples stood before it, and how an answer was decoded."""
    found: dict[str, list[str]] = {}
    decoding: dict[str, None] = {}
    for (_, _, condition), record in evidence.predictions.items():
        prompt = record.get("prompt")
        told = "none (the input alone is given)" if prompt is None else _quoted(prompt, most)
        conditions = found.setdefault(told, [])
        if condition not in conditions:
            conditions.append(condition)
        decoding[_decoding(record)] = None
    prompts = [
        text + (f" ({', '.join(names)})" if len(evidence.conditions) > 1 else "") for text, names in found.items()
    ]
    side = evidence.study.get("images", {}).get("max_side")
    images = f"; images at most {side} pixels on their longest side" if side else ""
    return [("prompt", "; ".join(prompts) or "none recorded"), ("decoding", " / ".join(decoding) + images)]


def _quoted(prompt: str, most: int | None) -> str:
    line = one_line(prompt)
    broken = " (a slash stands for a new line)" if "\n" in prompt.strip() else ""
    return f"“{line if most is None else shortened(line, most)}”{broken}"


def _decoding(record: Record) -> str:
    told = [f"batch size {record['batch_size']}" if "batch_size" in record else "batch size not recorded"]
    for name, value in (record.get("generation") or record.get("detection") or {}).items():
        if not isinstance(value, Mapping):
            told.append(f"{name} {_value(value)}")
    return ", ".join(told)


def quantizing(evidence: Evidence, most: int | None = None) -> str:
    """The parameters of every quantized format, once for all that share them, and what the calibration saw."""
    given: dict[str, str] = {}
    for precisions in evidence.study.get("assignments", {}).values():
        for assignment in precisions.values():
            for one in assignment.values():
                settings = ", ".join(f"{name} {_value(value)}" for name, value in one.items() if name != "format")
                if settings:
                    given.setdefault(f"{one['format']}: {settings}", settings)
    formats: dict[str, list[str]] = {}
    for told, settings in given.items():
        formats.setdefault(settings, []).append(told.partition(": ")[0])
    parts = [f"{wording.listed(list(dict.fromkeys(names)))}: {settings}" for settings, names in formats.items()]
    where = f"results/{evidence.name}/study.resolved.yaml"
    return fitting([*parts, *_calibration(evidence)], most, "; ", where) or "no parameters"


def _calibration(evidence: Evidence) -> list[str]:
    """What calibrated formats saw; nothing of a study that has none, whose split was never filled in."""
    asked = evidence.study.get("quantization", {}).get("calibration", {})
    if asked.get("file"):
        return [f"calibration on {asked['items']} items of {asked['file']}"]
    return [f"calibration on {asked['items']} items of {asked['split']}"] if asked.get("split") else []


def disturbed(evidence: Evidence) -> list[Pair]:
    """That timings cannot be compared, and what to do, where that is so."""
    told = dict.fromkeys(cell["disturbed"] for cell in evidence.verdicts["cells"] if cell["disturbed"])
    return [("disturbed", sentence) for sentence in told]


def measuring(evidence: Evidence) -> str:
    """How speed was measured, by the study's own names."""
    asked = evidence.study.get("measure", {})
    return ", ".join(f"{name} {_value(value)}" for name, value in asked.items()) or "not recorded"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " and ".join(map(_value, value))
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
