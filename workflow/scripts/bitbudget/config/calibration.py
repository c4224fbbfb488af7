"""Where the texts come from that a quantization method looks at, resolved; none of them may be evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget.errors import UserError
from bitbudget.registry import format_of, module_of

Resolved = dict[str, Any]


def calibrated(study: Resolved, model: str, precision: str) -> bool:
    """Whether a format of this precision needs calibration texts."""
    return any(format_of(spec["format"]).calibrated for spec in study["assignments"][model][precision].values())


def resolve_calibration(study: Resolved, where: str) -> None:
    """Fill in the split that the calibration texts of a resolved study come from.

    Raises `UserError` that begins with `where`, the study's file, where there could be no text that is not evaluated,
    or the named file or split does not exist. A study without a calibrated format is left as it is.
    """
    if not any(calibrated(study, m, p) for m in study["models"] for p in study["precisions"]):
        return
    wanted, data = study["quantization"]["calibration"], study["dataset"]
    reader = module_of("dataset", data["kind"])
    if module_of("track", study["track"]).IMAGES:
        raise UserError(
            f"{where}: formats that need calibration texts (gptq-*) are for language models, and the track "
            f"{study['track']} shows images; choose other precisions."
        )
    if wanted["file"] is not None:
        if wanted["split"] is not None:
            raise UserError(f"{where}: `quantization.calibration` names a file and a split; remove one of the two.")
        if not Path(wanted["file"]).is_file():
            raise UserError(f"{where}: the calibration file {wanted['file']} does not exist; correct the path.")
        return
    split = wanted["split"] or getattr(reader, "CALIBRATION_SPLIT", None) or data["split"]
    if reader.SPLITS and split not in reader.SPLITS:
        raise UserError(
            f"{where}: data set {data['name']!r} has no split {split!r} to take calibration texts from; "
            f"choose one of {', '.join(reader.SPLITS)}."
        )
    if split == data["split"] and data["subset"] == "all":
        raise UserError(
            f"{where}: the study evaluates all of the split {split!r}, which its calibration texts are to come from as "
            "well; set `subset` to a number, or name a `file` in `quantization.calibration`."
        )
    wanted["split"] = split
