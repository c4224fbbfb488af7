"""Where the items come from that a quantization method looks at, resolved; none of them may be evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget import contracts
from bitbudget.config.spec import calibrated
from bitbudget.errors import UserError
from bitbudget.registry import module_of

Resolved = dict[str, Any]


def resolve_calibration(study: Resolved, where: str) -> None:
    """Fill in the split that the calibration items of a resolved study come from: texts, or items with images.

    Raises `UserError` that begins with `where`, the study's file, where there could be no item that is not evaluated,
    or the named file or split does not exist. A study without a calibrated format is left as it is.
    """
    if not any(calibrated(study, m, p) for m in study["models"] for p in study["precisions"]):
        return
    wanted, data = study["quantization"]["calibration"], study["dataset"]
    reader = module_of("dataset", data["kind"])
    images = module_of("track", study["track"]).IMAGES
    what = "images" if images else "texts"
    if images and wanted["file"] is not None:
        raise UserError(
            f"{where}: `quantization.calibration.file` is a file of texts, and the track {study['track']} calibrates "
            "on images of its data set; remove it."
        )
    if wanted["file"] is not None:
        if wanted["split"] is not None:
            raise UserError(f"{where}: `quantization.calibration` names a file and a split; remove one of the two.")
        if not Path(wanted["file"]).is_file():
            raise UserError(f"{where}: the calibration file {wanted['file']} does not exist; correct the path.")
        return
    split = wanted["split"] or contracts.of(reader, "CALIBRATION_SPLIT")
    if not split and data["subset"] == "all":
        split = contracts.of(reader, "SHOTS_SPLIT")
    split = split or data["split"]
    if reader.SPLITS and split not in reader.SPLITS:
        raise UserError(
            f"{where}: data set {data['name']!r} has no split {split!r} to take calibration {what} from; "
            f"choose one of {', '.join(reader.SPLITS)}."
        )
    if split == data["split"] and data["subset"] == "all":
        raise UserError(
            f"{where}: the study evaluates all of the split {split!r}, which its calibration {what} are to come from "
            f"as well; set `subset` to a number, or name {'another `split`' if images else 'a `file`'} in "
            "`quantization.calibration`."
        )
    wanted["split"] = split
