"""Text and JSON that users and data sets bring, read in one place: what is wrong in it is one sentence with its place.

`files` reads what the workflow wrote itself. What is read here may be anything: saved with a byte order mark or as
UTF-16, cut off, nested without end, or JSON that no UTF-8 file can hold again, such as half a character.
"""

from __future__ import annotations

import codecs
import json
import math
import re
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bitbudget.errors import UserError

IDS = ("question_id", "image_id", "id")  # what an entry is known by, in the formats that are read
LONG = 200  # characters; of a longer text it is said where JSON breaks off
DIGITS, LARGEST = 300, 1000  # of a whole number, in digits and in bits: beyond these it may be no float any more
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# How JSON writes what only `check` can tell to be wrong: surrogates, NUL, and numbers beyond any float.
_DOUBTFUL = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)|[eE]\+?[0-9]{3}|NaN|Infinity")
_SURROGATE = re.compile("[\ud800-\udfff]")

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 60


def shown(value: Any) -> str:
    """A value in a sentence, shortened where it is long or deep."""
    return _short.repr(value)


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without a byte order mark and with the line ends of Unix.

    Raises `UserError` that names the file where it is not there, cannot be read, or is no UTF-8 text.
    """
    try:
        content = path.read_bytes()
    except IsADirectoryError:
        raise UserError(f"{path} is a folder where a file is expected; name a file.") from None
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path} does not exist; write it, or name another file.") from None
    except (OSError, ValueError) as fault:  # a name with a NUL character is a ValueError
        reason = getattr(fault, "strerror", None) or fault
        raise UserError(f"{path} cannot be read ({reason}); name a file that can be.") from None
    if content.startswith(_UTF_16):
        raise UserError(f"{path} is saved as UTF-16; save it as UTF-8.")
    if b"\0" in content:
        raise UserError(f"{path} is not UTF-8 text (byte {content.index(0)} is a NUL); save it as UTF-8.")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as fault:
        line = content.count(b"\n", 0, fault.start) + 1
        raise UserError(
            f"{path} is not UTF-8 text (byte {fault.start}); look at line {line}, and save the file as UTF-8."
        ) from None


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises `UserError` as `read_text` and `parse` do."""
    return parse(read_text(path), str(path), "it may be cut off: correct it, or fetch or make it again")


def read_jsonl(path: Path) -> Iterator[tuple[str, Any]]:
    """The content of each line of a file with one JSON value per line, with its place in words ("x.jsonl, line 3,").

    Only a line feed ends a line; empty lines at the end are passed over. Raises `UserError` as `read_text` and `parse`.
    """
    text = read_text(path).rstrip()
    for number, line in enumerate(text.split("\n") if text else (), start=1):
        where = f"{path}, line {number},"
        yield where, parse(line, where, "write one JSON object per line")


def parse(text: str, where: str, remedy: str) -> Any:
    """The value that a JSON text stands for; `where` begins every sentence, `remedy` ends that of broken JSON.

    Raises `UserError` where the text is no JSON, is nested too deeply, gives a key of an object twice (of which JSON
    readers keep the last), or holds what `check` refuses.
    """
    doubtful = _DOUBTFUL.search(text) or _has_long_number(text)
    try:
        content = json.loads(text, object_pairs_hook=_object, parse_int=_whole if doubtful else None)
    except json.JSONDecodeError as fault:
        if not text.strip():
            raise UserError(f"{where} is empty; {remedy}.") from None
        place = str(fault) if len(text) > LONG else fault.msg
        raise UserError(f"{where} is not valid JSON ({place}); {remedy}.") from None
    except RecursionError:
        raise UserError(f"{where} is nested too deeply to be read; {remedy}.") from None
    except _Twice as fault:
        raise UserError(f"{where} has {fault}; remove one of the two.") from None
    if doubtful:
        check(content, where)
    return content


def check(content: Any, where: str) -> None:
    """Raise `UserError` for a value that could not be written again or reckoned with, naming its place and entry.

    Such are texts and keys with half a character (a lone surrogate, which UTF-8 does not have) or a NUL character, and
    numbers that are not finite or beyond any float.
    """
    seen: set[int] = set()  # YAML can put one list in several places, and into itself
    left: list[tuple[str, str, Any]] = [("", "", content)]
    while left:
        place, entry, value = left.pop()
        if isinstance(value, dict | list):
            if id(value) in seen:
                continue
            seen.add(id(value))
        if isinstance(value, dict):
            entry = _known_by(value) or entry
            for key, inner in value.items():
                if fault := _fault(key):
                    raise UserError(
                        f"{where} has {fault} in a key{place and f' of {place}'}{entry}: {shown(key)}; correct it."
                    )
                left.append((f"{place}.{key}" if place else str(key), entry, inner))
        elif isinstance(value, list):
            left += ((f"{place}[{number}]", entry, inner) for number, inner in enumerate(value))
        elif fault := _fault(value):
            inside = place and f" in {place}{entry}"
            raise UserError(f"{where} has {fault}{inside}: {shown(value)}; correct or remove it.")


class _Twice(Exception):
    """A key that an object has twice, in words."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _Twice(f"the key {shown(twice)} twice in one object{_known_by(found)}")
    return found


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < DIGITS else math.inf


def _has_long_number(text: str) -> bool:
    """Whether so many digits stand in a row: some block of half as many is then made of digits alone."""
    half = DIGITS // 2
    return any(text[start : start + half].isdigit() for start in range(0, len(text) - half + 1, half))


def _fault(value: Any) -> str | None:
    """What is wrong with a single value, in words."""
    if isinstance(value, str):
        if _SURROGATE.search(value):
            return "half a character (a lone surrogate)"
        return "a NUL character" if "\0" in value else None
    if isinstance(value, float):
        return None if math.isfinite(value) else "a number that is not finite"
    too_large = isinstance(value, int) and value.bit_length() > LARGEST
    return "a number too large to reckon with" if too_large else None


def _known_by(entry: dict[str, Any]) -> str:
    """By what an entry is known, in brackets after its place; nothing where it has no id."""
    ids = [f"{key} {shown(entry[key])}" for key in IDS if isinstance(entry.get(key), int | str)]
    return f" ({', '.join(ids)})" if ids else ""
