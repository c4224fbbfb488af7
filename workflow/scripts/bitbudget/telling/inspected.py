"""What the inspection counted, in the one way in which the paper and the page tell it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def not_there(inspection: Mapping[str, Any]) -> str | None:
    """How many captions of all precisions name an object that is not there, in words; None where none was looked for.

    `inspection` is the record. Every precision's caption counts, as it does for CHAIR-s.
    """
    shares = [cell["metrics"].get("chair_s") or {} for cell in inspection["cells"]]
    counted = [one for one in shares if "value" in one]
    if not counted:
        return None
    named = sum(one["count"] if "count" in one else round(one["value"] * one["n"]) for one in counted)
    captions = sum(one["n"] for one in counted)
    if not named:
        return "no caption names an object that is not there"
    return f"{named} of {captions} captions {'names' if named == 1 else 'name'} an object that is not there"
