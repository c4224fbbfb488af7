"""What a study was made of, in short texts: data, models, checkpoints, prompts and decoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget import wording
from bitbudget.reporting.evidence import Evidence

Record = Mapping[str, Any]
Pair = tuple[str, str]

# Kernels of layers that keep a float format: they say nothing of how a precision is computed.
_PLAIN = ("torch.nn.functional.linear",)


def shortened(text: str, most: int) -> str:
    """The text in one line, cut with an ellipsis where it is longer than `most` letters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def some(texts: Sequence[str], most: int | None, where: str, joint: str = "; ") -> str:
    """The texts in a row, all or the first `most`, and then how many more there are and where they stand."""
    shown = list(texts) if most is None or len(texts) <= most else list(texts[:most])
    left = len(texts) - len(shown)
    if left and not shown:
        return f"{left}: see {where}"
    return joint.join([*shown, f"and {left} more: see {where}"] if left else shown)


def data(evidence: Evidence, most: int | None, digits: int) -> list[Pair]:
    """Data set and items; of the checksums the first `most` (None: all), with `digits` of their 64 digits."""
    subset, study = evidence.subset, evidence.study
    sums = [f"{name} {checksum[:digits]}" for name, checksum in sorted(subset["checksums"].items())]
    many = some(sums, most, f"results/{evidence.name}/subset.json") or "none recorded"
    asked = study["dataset"].get("name", subset["dataset"])
    shots = study["dataset"].get("shots_split")
    examples = f"; examples of few-shot prompts from {shots}" if shots and evidence.conditions != ["zero-shot"] else ""
    return [
        (
            "data set",
            f"{asked}, revision {subset['revision']}, licence {subset['licence']}, split {subset['split']}, "
            f"{len(subset['ids'])} of {subset['n_available']} items{examples}",
        ),
        ("indices", f"chosen with seed {subset['seed']}, SHA-256 {subset['subset_hash']} (subset.json lists them)"),
        (f"checksums{' (SHA-256)' if sums else ''}", many),
    ]


def model(name: str, entry: Record, fetched: Record | None, digits: int) -> str:
    """Where a model comes from, with its revision; `fetched` says how it was fetched, where that is known."""
    source = next((f"{key} {entry[key]}" for key in ("hub", "local", "url") if entry.get(key)), "source not recorded")
    told = {"hub": "Hugging Face Hub ", "local": "local folder ", "url": ""}
    for key, words in told.items():
        source = source.replace(f"{key} ", words, 1) if source.startswith(f"{key} ") else source
    revision = (fetched or {}).get("revision") or entry.get("revision") or entry.get("sha256")
    if entry.get("local"):
        known = f", SHA-256 of its files {revision[:digits]}" if revision else ""
        revised = f"no published revision, as it is local{known}"
    else:
        revised = f"revision {revision}" if revision else "its revision is not recorded (config/locks.json has it)"
    licence = entry.get("licence") or "not recorded"
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
    checkpoint = evidence.checkpoints.get((name, precision))
    if checkpoint is not None:
        return f"{wording.number(checkpoint['size_on_disk_bytes'] / 1e6)} MB"
    size = evidence.row(name, precision, evidence.conditions[0]).get("size_on_disk_MB")
    return "not measured" if size is None else f"{wording.number(size)} MB"


def formats(audit: Record) -> str:
    """The formats that the audit found, with their groups: "bnb-int8: language.mlp; bfloat16: the rest"."""
    groups: dict[str, list[str]] = {}
    for name, group in audit["groups"].items():
        groups.setdefault(group["format"], []).append(name)
    if len(groups) == 1:
        (only,) = groups
        return f"{only} throughout"
    # what was left as it was is the rest, else the format that most groups have
    kept = [form for form, names in groups.items() if all(_is_whole(audit["groups"][name]) for name in names)]
    rest = max(kept or groups, key=lambda form: len(groups[form]))
    told = [f"{form}: {', '.join(names)}" for form, names in groups.items() if form != rest]
    return "; ".join([*told, f"{rest}: the rest"])


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


def asked(evidence: Evidence, most: int) -> list[Pair]:
    """The prompt as it was given, how many examples stood before it, and how an answer was decoded."""
    found: dict[str, list[str]] = {}
    decoding: dict[str, None] = {}
    for (_, _, condition), record in evidence.predictions.items():
        prompt = record.get("prompt")
        told = "none (the input alone is given)" if prompt is None else f"“{shortened(prompt, most)}”"
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


def _decoding(record: Record) -> str:
    told = [f"batch size {record['batch_size']}" if "batch_size" in record else "batch size not recorded"]
    for name, value in (record.get("generation") or record.get("detection") or {}).items():
        if not isinstance(value, Mapping):
            told.append(f"{name} {_value(value)}")
    return ", ".join(told)


def quantizing(evidence: Evidence) -> str:
    """The parameters of every quantized format, once each, and what the calibration saw."""
    formats: dict[str, None] = {}
    for precisions in evidence.study.get("assignments", {}).values():
        for assignment in precisions.values():
            for one in assignment.values():
                given = [f"{name} {_value(value)}" for name, value in one.items() if name != "format"]
                if given:
                    formats[f"{one['format']}: {', '.join(given)}"] = None
    return "; ".join([*formats, *_calibration(evidence)]) or "no parameters"


def _calibration(evidence: Evidence) -> list[str]:
    """What calibrated formats saw; nothing of a study that has none, whose split was never filled in."""
    asked = evidence.study.get("quantization", {}).get("calibration", {})
    if asked.get("file"):
        return [f"calibration on {asked['items']} items of {asked['file']}"]
    return [f"calibration on {asked['items']} items of {asked['split']}"] if asked.get("split") else []


def measuring(evidence: Evidence) -> str:
    """How speed was measured, by the study's own names."""
    asked = evidence.study.get("measure", {})
    return ", ".join(f"{name} {_value(value)}" for name, value in asked.items()) or "not recorded"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " and ".join(map(_value, value))
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
