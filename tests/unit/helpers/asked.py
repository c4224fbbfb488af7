"""What a script is asked by hand, cut out of what a test says of its study."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bitbudget.config import spec


def asked(script: str, study: Mapping[str, Any]) -> str:
    """The `--spec` of a script: those of its keys that `study` has; what it does not say of its report is null."""
    found: dict[str, Any] = {}
    for key in spec.keys_of(script):
        outer, _, inner = key.partition(".")
        if not inner and outer in study:
            found[outer] = study[outer]
        elif inner and outer in study and (outer == "report" or inner in study[outer]):
            found.setdefault(outer, {})[inner] = study[outer].get(inner)
    return json.dumps(found)
