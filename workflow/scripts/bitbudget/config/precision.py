"""A precision for one model family: every module group's format, with its options, or the reason why not."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from bitbudget import contracts
from bitbudget.config.ready import as_is
from bitbudget.config.validate import check, with_defaults
from bitbudget.errors import UserError, suggest
from bitbudget.models import groups
from bitbudget.registry import FORMATS, format_of, module_of

FormatSpec = dict[str, Any]


class Beside(UserError):
    """A precision that cannot stand beside the study's baseline; `reason` says why in short."""

    def __init__(self, sentence: str, reason: str):
        super().__init__(sentence)
        self.reason = reason


def resolve_precision(
    name: str, precisions: dict[str, Any], study: dict[str, Any], family: ModuleType, model: str, where: str = ""
) -> dict[str, FormatSpec]:
    """The format of each of the family's module groups under the precision `name` of this study, for one of its models.

    A group that the precision does not name keeps the baseline's format. Raises `UserError` where a format is unknown,
    an option is wrong, or (`Beside`) the formats cannot stand together; it begins with `where`, or with the precision's
    place in config/precisions.yaml.
    """
    where = where or f"config/precisions.yaml, {name}"
    if name in study["ready"]:
        return _ready(name, precisions, study, family, model)
    baseline = _baseline_format(study, precisions)
    assignment = {g: _specify(value, study, f"{where}.{g}") for g, value in precisions[name].items()}
    try:
        resolved = groups.resolve(assignment, family.GROUPS, baseline)
    except UserError as fault:
        raise UserError(f"{where}: {fault}") from None
    if None in resolved.values():
        raise UserError(
            f"{where}: a group that is not named keeps the baseline's format, and the baseline {study['baseline']} is "
            "a ready checkpoint; name every group (or `all`), or another baseline."
        )
    resolved = _together(resolved, assignment, where)
    looked_up = resolved.get("embeddings", baseline)
    held = format_of(looked_up["format"]) if looked_up else None
    if held and not (held.is_float or held.whole):
        raise UserError(
            f"{where}: embeddings are looked up, not multiplied, so {looked_up['format']} cannot hold them; "
            "leave them out (and name the other groups in place of `all`)."
        )
    floats = {spec["format"] for spec in resolved.values() if format_of(spec["format"]).is_float}
    if len(floats) > 1:
        why = f"{' and '.join(sorted(floats))} cannot stand in one model, whose activations have one dtype"
        raise Beside(
            f"{where}: {why}; leave the groups out that are not quantized, so that they keep the baseline's "
            f"{baseline['format'] if baseline else 'format'}, or change the study's baseline.",
            why,
        )
    for spec in resolved.values():
        needed = format_of(spec["format"]).made_of
        if needed and contracts.of(family, "SOURCE") != needed:
            raise UserError(
                f"{where}: {spec['format']} is made of a model of family {needed} alone, which {model} is not: take "
                "the precisions litert-* for it, or leave this one out."
            )
        _refuse_beams(spec, study, where)
        reason = format_of(spec["format"]).impossible(spec, next(iter(floats), ""))
        if reason:
            raise UserError(
                f"{where}: {spec['format']} cannot work: {reason}; choose another kernel, here or in the study's "
                "`quantization`, or another precision."
            )
    return resolved


def _refuse_beams(spec: FormatSpec, study: dict[str, Any], where: str) -> None:
    if format_of(spec["format"]).runtime == "llama.cpp" and study.get("generation", {}).get("num_beams", 1) > 1:
        raise UserError(
            f"{where}: llama.cpp decodes greedily here: set `num_beams: 1` under `generation` in the study, or "
            "leave this precision out."
        )


def _together(resolved: dict[str, FormatSpec], assignment: dict[str, FormatSpec], where: str) -> dict[str, FormatSpec]:
    """The formats of all groups, where those that one file holds together share the format of the one that is named."""
    found = dict(resolved)
    for group, spec in resolved.items():
        fmt = format_of(spec["format"])
        if fmt.whole and fmt.holds and group not in fmt.holds:
            raise UserError(
                f"{where}: {fmt.name} can hold {', '.join(one for one in fmt.holds if '.' not in one)}, and not "
                f"{group}: give {group} another format, or leave it out."
            )
        for other in fmt.together(group) if fmt.whole else ():
            if other not in resolved or resolved[other] == spec:
                continue
            named = {other, other.partition(".")[0], groups.ALL} & assignment.keys()
            if named:
                raise UserError(
                    f"{where}: one file of {fmt.name} holds {group} and {other} together, and {other} is to be in "
                    f"{resolved[other]['format']}: leave {other} out, or give both the same format."
                )
            found[other] = spec
    return found


def _ready(
    name: str, precisions: dict[str, Any], study: dict[str, Any], family: ModuleType, model: str
) -> dict[str, FormatSpec]:
    """The formats of a ready precision: its checkpoint's, and the baseline's in groups that a file does not hold."""
    spec = as_is(study, name, model)
    held = format_of(spec["format"])
    where = f"config/studies/{study['study']}.yaml"
    _refuse_beams(spec, study, f"{where}, {name}")
    others = [group for group in family.GROUPS if held.whole and group not in held.holds]
    baseline = _baseline_format(study, precisions) if others else None
    if others and baseline is None:
        raise UserError(
            f"{where}: the file of {name} does not hold {others[0]}, which keeps the "
            f"baseline's format, and the baseline {study['baseline']} is a ready checkpoint; name another baseline."
        )
    return {group: baseline if group in others else spec for group in family.GROUPS}


def _baseline_format(study: dict[str, Any], precisions: dict[str, Any]) -> FormatSpec | None:
    """The one float format of the baseline; None where that is a ready checkpoint."""
    name = study["baseline"]
    if name in study["ready"]:
        return None
    held = [_specify(value, study, f"config/precisions.yaml, {name}.{g}") for g, value in precisions[name].items()]
    if list(precisions[name]) != [groups.ALL] or not format_of(held[0]["format"]).is_float:
        raise UserError(
            f"config/precisions.yaml, {name}: the baseline must hold every group in one float format, as "
            "{all: float16} does; name float16, bfloat16 or float32 as the study's baseline."
        )
    return held[0]


def _specify(value: str | dict[str, Any], study: dict[str, Any], where: str) -> FormatSpec:
    """A format with all its options, from its name or a mapping, and what the study says for all precisions."""
    spec = {"format": value} if isinstance(value, str) else dict(value)
    if spec["format"] not in FORMATS:
        raise UserError(f"{where}: there is no format {spec['format']!r}; {suggest(spec['format'], list(FORMATS))}")
    fmt = format_of(spec["format"])
    needed = module_of("track", study["track"]).RUNTIME
    if needed not in (fmt.runtime, getattr(fmt, "hosted_by", None)):
        raise UserError(
            f"{where}: format {fmt.name} is for models that {fmt.runtime} runs, and track {study['track']} needs "
            f"{needed}; choose another format."
        )
    options = {key: option for key, option in spec.items() if key != "format"}
    rules = {"properties": fmt.options, "additionalProperties": False}
    check(options, rules, f"{where} ({fmt.name})")
    completed = fmt.complete(options, study.get("quantization", {}))
    return {"format": fmt.name} | with_defaults(completed, rules)
