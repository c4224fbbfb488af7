"""What every reader of annotation files checks, said in the same words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from bitbudget.errors import UserError
from bitbudget.untrusted.foreign_json import shown

LONGEST, LONGEST_PART = 1024, 255  # characters of a path, and bytes of a name in it that file systems take
LONGEST_ID = 256  # characters: longer ones are a text in the wrong place, and fill every sentence that names them


def require(entry: Any, keys: Sequence[str], where: str) -> None:
    """Raise `UserError` where the entry is no object, lacks a key, or has an id that is no number and no string."""
    needed = f"it needs the key{'s' * (len(keys) > 1)} {', '.join(keys)}"
    if not isinstance(entry, dict):
        raise UserError(f"{where} is not an object; {needed}.")
    for key in keys:
        if key not in entry:
            raise UserError(f"{where} has no `{key}`; {needed}.")
        if key.endswith("id") and not _is_id(entry[key]):
            raise UserError(f"{where} has {shown(entry[key])} as its `{key}`; use a whole number or a short string.")


def _is_id(value: Any) -> bool:
    if isinstance(value, str):
        return bool(value.split()) and len(value) <= LONGEST_ID
    return isinstance(value, int) and not isinstance(value, bool)


def in_words(name: str) -> str:
    """A file's name in a sentence: as it is, or with what would break the line or not be seen spelt out."""
    return name if name.isprintable() else repr(name)


def path_inside(name: Any, where: str) -> str:
    """The name of a file that stays inside its folder. Raises `UserError` for any other."""
    if not isinstance(name, str) or not name or name.startswith("/") or ".." in PurePosixPath(name).parts:
        raise UserError(f"{where} has the file name {shown(name)}; use a path inside the image folder.")
    if len(name) > LONGEST or any(len(part.encode()) > LONGEST_PART for part in name.split("/")):
        raise UserError(f"{where} has the file name {shown(name)}, which is too long for a file; correct it.")
    return name


def text(entry: dict[str, Any], key: str, where: str) -> str:
    """The text under this key, as it is written. Raises `UserError` where there is none, or nothing but blanks."""
    found = entry[key]
    if not isinstance(found, str) or not found.split():
        raise UserError(f"{where} has no text as its `{key}`; write or remove it.")
    return found


def labels(entry: dict[str, Any], keys: Sequence[str], where: str) -> dict[str, str]:
    """Those of the keys that the entry has. Raises `UserError` for one that is no text."""
    return {key: text(entry, key, where) for key in keys if key in entry}


def answers(entry: dict[str, Any], wanted: int | None, where: str) -> tuple[str, ...]:
    """The texts of the list `answers`, as they are written: objects with an `answer`, or the texts themselves.

    Real annotators also give odd and empty answers, so any text will do. Raises `UserError` for anything else, and
    where there are not exactly `wanted` of them (None: one at least).
    """
    found = entry["answers"]
    if not isinstance(found, list):
        raise UserError(f"{where} has {type(found).__name__} as its `answers`; use a list.")
    if len(found) != wanted and (wanted is not None or not found):
        right = "at least one" if wanted is None else f"exactly {wanted}"
        raise UserError(f"{where} has {len(found) or 'no'} answer{'s' if len(found) > 1 else ''}; give {right}.")
    texts = tuple(one.get("answer") if isinstance(one, dict) else one for one in found)
    for number, one in enumerate(texts):
        if not isinstance(one, str):
            raise UserError(
                f"{where} has {shown(found[number])} as answers[{number}]; use an object with a text as `answer`."
            )
    return texts
