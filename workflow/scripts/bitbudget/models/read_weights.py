"""Linear layers whose owner reads their matrix instead of calling them, so that nothing else can take their place.

`nn.MultiheadAttention` does so with its output projection, Mamba with the projection of its time steps. Nothing in a
model says it; the source of the owner's class does.
"""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

READ = re.compile(r"(?<!isinstance\()self\.(\w+)\.weight\b(?!\.(?:dtype|device|shape|size|ndim)\b)(?!\s*=[^=])")
NOT_IN_USE = re.compile(r"__init__|.*(init|tie|reset|resize|prune).*|(get|set)_(in|out)put_embeddings")


@cache
def of(owner: type[nn.Module]) -> frozenset[str]:
    """The names of an owner's layers whose weight the methods of its class read."""
    found: set[str] = set()
    for kind in owner.__mro__:
        if kind.__module__.partition(".")[0] in ("torch", "builtins"):
            continue
        for name, method in vars(kind).items():
            if inspect.isfunction(method) and not NOT_IN_USE.fullmatch(name):
                try:
                    found |= set(READ.findall(inspect.getsource(method)))
                except (OSError, TypeError):  # a class without a source file
                    continue
    return frozenset(found)
