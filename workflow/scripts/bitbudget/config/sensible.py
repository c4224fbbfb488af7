"""What the machine decides of a study: the baseline `auto`, which precisions cannot run here, and what crawls here.

What was decided stays with the results (`machine` in study.resolved.yaml): a study that is moved, or told again
elsewhere, neither changes its baseline nor loses what it has because of the machine that it has come to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bitbudget.config.ready import AUTO
from bitbudget.config.validate import read_yaml
from bitbudget.errors import UserError
from bitbudget.models.formats.floats import FORMATS as FLOATS
from bitbudget.models.formats.floats import NATIVE_BF16
from bitbudget.models.formats.pace import Pace, pace
from bitbudget.registry import FORMATS, format_of
from bitbudget.system.machine import Machine

NATIVE_FLOAT16 = (7, 0)  # CUDA compute capability: tensor cores, or twice the rate of float32
SLOW = 2  # times the float layer's time, from which on it is told

Study = dict[str, Any]
Decided = Mapping[str, Any]  # `machine` of a resolved study
Tell = Callable[[str], None]


def packages() -> list[str]:
    """The packages that some format needs, by the names under which they are imported."""
    return sorted({package for name in FORMATS for package in format_of(name).needs})


def baseline(machine: Machine, device: str) -> tuple[str, str]:
    """The float format of fewest bits that a device computes in natively, and why, in a clause."""
    if device == "cuda" and machine.gpu:
        if machine.gpu.capability >= NATIVE_BF16:
            return "bfloat16", f"{machine.gpu} computes in it natively"
        if machine.gpu.capability >= NATIVE_FLOAT16:
            return "float16", f"{machine.gpu} computes in it natively, and not in bfloat16"
        return "float32", f"{machine.gpu} computes in no 16-bit format at full speed"
    if machine.bf16:
        return "bfloat16", f"{machine.cpu} has bf16 instructions"
    return "float32", f"{machine.cpu} has no bf16 instructions"


def begun(study: Study, results: Path) -> Study:
    """The study as it was resolved when it was begun; empty for one that was not."""
    path = results / study["study"] / "study.resolved.yaml"
    found = read_yaml(path) if path.exists() else None
    return found if isinstance(found, dict) else {}


def decided_where_begun(study: Study, before: Study) -> Decided | None:
    """What was decided where a study was begun; None where nothing was, or its `device` was changed since."""
    decided = before.get("machine")
    return decided if decided and decided["device"] == study["device"] else None


def settle_baseline(study: Study, runtime: str, machine: Machine, before: Study, where: str, tell: Tell) -> None:
    """Put a float format in the place of the baseline `auto`, and the baseline in that of `auto` among the precisions.

    A baseline that was `auto` and that the precisions do not name comes first among them. The study gets `machine`: by
    what it was decided, and sentences on it; None where the study leaves nothing to the machine. `before` is the study
    as it was begun. Raises `UserError` that begins with `where`, the study's file, where `auto` cannot stand there.
    """
    wanted, device = study["baseline"] == AUTO, machine.device(study["device"])
    earlier = decided_where_begun(study, before)
    if wanted and runtime == "litert":
        raise UserError(f"{where}: LiteRT computes in float32 everywhere, so there is no `auto`; name a precision.")
    if wanted and device == "cuda" and machine.gpu is None:
        raise UserError(
            f"{where}: `baseline: auto` goes by the GPU, and none is to be seen from here; name float16 or bfloat16 as "
            "the baseline, or set `device: auto`."
        )
    study["machine"] = None
    if wanted or study["on_unusable"] == "skip":
        study["machine"] = {
            "title": machine.title(device), "device": study["device"], "baseline": None, "remarks": [], "left_out": {},
        }  # fmt: skip
    if wanted:
        name, why = baseline(machine, device)
        kept = earlier["baseline"] or name if _moved(study["machine"], earlier) else name
        if kept != name:
            tell(
                f"{study['study']} was begun on {earlier['title']}, where `baseline: auto` is {kept}, and keeps it; "
                f"here it is {name}: delete results/{study['study']}/study.resolved.yaml to make everything again."
            )
        elif before.get("baseline", name) != name:
            tell(
                f"{study['study']} has results beside {before['baseline']}, and `baseline: auto` is {name} here, so "
                f"everything is made again: name `baseline: {before['baseline']}` in the study to keep them."
            )
        study["baseline"] = kept
        study["machine"] |= {
            "baseline": kept,
            "remarks": [f"The baseline is {name} (baseline: auto), because {why}."],
        }
    named = [study["baseline"] if one == AUTO else one for one in study["precisions"]]
    first = [study["baseline"]] if wanted and study["baseline"] not in named else []
    study["precisions"] = list(dict.fromkeys([*first, *named]))


def leave_out(
    study: Study,
    beside: Mapping[str, str],
    machine: Machine,
    before: Study,
    results: Path,
    where: str,
    tell: Tell,
) -> None:
    """Take the precisions out of a resolved study that cannot run here or crawl, where it says `on_unusable: skip`.

    `beside` are those that cannot stand beside the baseline, with the reason, and `before` is the study as it was
    begun. What has `results` stays, and what was left out where the study was begun stays so on another machine.
    Reasons are in `left_out` of the study's `machine`, and its remarks say what is slow; of a study that leaves nothing
    to the machine `tell` is told instead. Raises `UserError` where a precision cannot run here and must, or where
    nothing is left to compare.
    """
    device = machine.device(study["device"])
    decided, skips = study["machine"], study["on_unusable"] == "skip"
    earlier = decided_where_begun(study, before)
    moved = _moved(decided, earlier)
    found: dict[str, str] = {}
    for precision in [one for one in study["precisions"] if one != study["baseline"]]:
        if precision not in beside and all(_is_there(results, study, model, precision) for model in study["models"]):
            continue
        there = earlier["left_out"].get(precision) if moved else None
        reason = there or beside.get(precision) or _unfit(study, precision, machine, device)
        if reason and not skips:
            raise UserError(
                f"{where}: {precision} cannot run here: {reason}; leave it out, set `on_unusable: skip`, or name the "
                "`device` if the study runs on another machine."
            )
        if reason or (skips and (reason := _crawls(study, precision, machine, device))):
            found[precision] = reason
    _take_out(study, found, where)
    remarks = _remarks(study, machine, device)
    if decided:
        remarks = earlier["remarks"] if moved else decided["remarks"] + remarks
        study["machine"] = (earlier if moved else decided) | {"remarks": remarks, "left_out": found}
    for said in (*remarks, *(f"{precision} is left out: {reason}." for precision, reason in found.items())):
        tell(f"{study['study']}: {said}")


def _moved(decided: Decided | None, earlier: Decided | None) -> bool:
    """Whether a study was begun on another machine than this."""
    return bool(decided and earlier and decided["title"] != earlier["title"])


def _float_of(study: Study, precision: str) -> str:
    """The float format that a precision computes in, the same for every model; empty where it is not known.

    That of a ready checkpoint is its own.
    """
    assignments = next(iter(study["assignments"].values()))
    held = [spec["format"] for name in (precision, study["baseline"]) for spec in assignments.get(name, {}).values()]
    return next((name for name in held if name in FLOATS), "")


def _specs(study: Study, precision: str) -> list[dict[str, Any]]:
    """The distinct formats of a precision with their options, but for the float formats."""
    assigned = [study["assignments"][model].get(precision, {}) for model in study["models"]]
    specs = [spec for groups in assigned for spec in groups.values() if not format_of(spec["format"]).is_float]
    return [spec for k, spec in enumerate(specs) if spec not in specs[:k]]


def _is_there(results: Path, study: Study, model: str, precision: str) -> bool:
    return (results / study["study"] / model / precision / "audit.json").exists()


def _unfit(study: Study, precision: str, machine: Machine, device: str) -> str | None:
    float_format = _float_of(study, precision)
    for spec in _specs(study, precision):
        reason = format_of(spec["format"]).unfit(spec, float_format, machine, device)
        if reason:
            return f"{spec['format']}: {reason}"
    return None


def _pace(spec: dict[str, Any], float_format: str, machine: Machine, device: str) -> Pace | None:
    timed = format_of(spec["format"]).timed(spec) if device == "cpu" else {}
    return pace(timed, float_format, machine.kind)


def _crawls(study: Study, precision: str, machine: Machine, device: str) -> str | None:
    float_format = _float_of(study, precision)
    for spec in _specs(study, precision):
        found = _pace(spec, float_format, machine, device)
        if found and found.crawls:
            return (
                f"{_label(spec)} takes {found.prompt:.0f} times as long as {float_format} for a prompt on this kind of "
                "processor"
            )
    return None


def _remarks(study: Study, machine: Machine, device: str) -> list[str]:
    """What the baseline's format costs here, and which formats are slower here than it, each in a sentence."""
    found, float_format = [], _float_of(study, study["baseline"])
    price = format_of(float_format).price(machine, device) if float_format else None
    if price:
        found.append(f"On {machine.title(device)}, {float_format} {price}.")
    slow = {}
    for precision in study["precisions"]:
        for spec in _specs(study, precision):
            one = _pace(spec, float_format, machine, device)
            if one and max(one.prompt, one.token) >= SLOW:
                slow[_label(spec)] = f"{_label(spec)} {_times(one.prompt)} and {_times(one.token)}"
    if slow:
        found.append(
            f"By the design of their kernels some formats are slow on this kind of processor; a layer of 2048 x 5632 "
            f"was seen to take so many times as long as in {float_format}, for a prompt and for a single token: "
            f"{', '.join(slow.values())}."
        )
    return found


def _label(spec: dict[str, Any]) -> str:
    """A format, with the kernel on which its speed depends."""
    chosen = spec.get("kernel", "auto") != "auto"
    return f"{spec['format']} (kernel {spec['kernel']})" if chosen else spec["format"]


def _times(number: float) -> str:
    return f"{number:.1f}" if number < 10 else f"{number:.0f}"


def _take_out(study: Study, found: Mapping[str, str], where: str) -> None:
    names = set(found)
    study["precisions"] = [one for one in study["precisions"] if one not in names]
    for assignments in study["assignments"].values():
        for name in names:
            assignments.pop(name, None)
    if names & set(study.get("ablation", {}).get("precisions", ())):
        del study["ablation"]  # all of it is in one format
    if found and len(study["precisions"]) == 1:
        precision, reason = next(iter(found.items()))
        raise UserError(
            f"{where}: nothing is left to compare with {study['baseline']}, as no other precision can run here "
            f"({precision}: {reason}); name one that can."
        )
