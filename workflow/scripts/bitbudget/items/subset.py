"""Which items a study uses: fixed by its seed, whatever the order in which a data set lists them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from bitbudget.errors import UserError
from bitbudget.untrusted import foreign_json


def choose(ids: Iterable[str], n: int | None, seed: int | str) -> list[str]:
    """`n` of the ids (all where `n` is None), in the order of their rank under this seed.

    An id's rank is the SHA-256 of seed and id, so it depends on no other id: the choice is the same for every order of
    `ids`, and the choice of 100 is the beginning of the choice of 500. Raises `UserError` where there are fewer than
    `n`.
    """
    ranked = sorted(set(ids), key=lambda one: hashlib.sha256(f"{seed}:{one}".encode()).digest())
    if n is None:
        return ranked
    if n > len(ranked):
        raise UserError(
            f"the study asks for a subset of {n} items, but the split has only {len(ranked)}; "
            f"ask for at most {len(ranked)}, or for `subset: all`."
        )
    return ranked[:n]


def read_ids_file(path: Path) -> list[str]:
    """The ids in a text file, one a line, in its order; empty lines and lines that begin with # do not count.

    Raises `UserError` where the file is missing or empty, or names an id twice.
    """
    lines = foreign_json.read_text(path).splitlines()
    ids = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not ids:
        raise UserError(f"the ids file {path} names no item; write one item id a line.")
    seen: set[str] = set()
    for one in ids:
        if one in seen:
            raise UserError(f"the ids file {path} names {one!r} twice; name every item once.")
        seen.add(one)
    return ids


def resolve(asked: int | str | dict[str, Any], available: Collection[str], seed: int) -> list[str]:
    """The ids that a study's `subset` means: a number, `all`, or `{ids: path}`.

    Raises `UserError` for a number above what there is, and for an id that the split does not have.
    """
    if isinstance(asked, dict):
        ids = read_ids_file(Path(asked["ids"]))
        known = set(available)
        unknown = [one for one in ids if one not in known]
        if unknown:
            more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
            raise UserError(
                f"the ids file {asked['ids']} names {unknown[0]!r}{more}, which the split does not have; "
                f"its ids look like {min(known)!r}."
            )
        return ids
    return choose(available, None if asked == "all" else int(asked), seed)
