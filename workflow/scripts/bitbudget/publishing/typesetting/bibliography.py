"""BibTeX: which works there are, whether a file is sound, and the text of those that a report can cite.

Typst reads the entries itself; they are parsed here as far as needed to name the file and the entry of a mistake, and
to let an author's entry stand in the place of the report's own of the same key.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from bitbudget.errors import UserError
from bitbudget.untrusted import foreign_json

ENTRY = re.compile(r"@\s*(\w+)\s*\{", re.ASCII)
KEY = re.compile(r"\s*([^\s,{}\"#%=~\\]+)\s*,")
FIELD = re.compile(r"\s*([\w-]+)\s*=\s*")
BARE = re.compile(r"[\w.-]+")
# TeX's accents, and the letter that each stands on: {\'e}, \'{e}, {\c c}.
ACCENTS = {"'": "\u0301", "`": "\u0300", '"': "\u0308", "^": "\u0302", "~": "\u0303", "=": "\u0304", "c": "\u0327",
           "v": "\u030c", "H": "\u030b", ".": "\u0307"}  # fmt: skip
ACCENT = re.compile(r"\{?\\(['`\"^~=.]|[cvH](?=[\s{]))\s*\{?\\?([A-Za-z])\}?\}?")
SHOWN_AUTHORS, ALL_AUTHORS = 3, 5
NO_WORKS = ("comment", "preamble", "string")


def read(path: Path) -> dict[str, str]:
    """The entries of a .bib file by their keys, each as it stands there.

    Raises `UserError` that names the file and the entry, or its line, where the file is broken.
    """
    text = foreign_json.read_text(path)
    found: dict[str, str] = {}
    at = 0
    while match := ENTRY.search(text, at):
        line = text.count("\n", 0, match.start()) + 1
        if match[1].lower() in NO_WORKS:
            at = _closed(text, match.end(), path, f"the @{match[1]} in line {line}")
            continue
        key = KEY.match(text, match.end())
        if key is None:
            raise UserError(f"{path}: the @{match[1]} in line {line} has no key; write @{match[1]}{{key, …}}.")
        if key[1] in found:
            raise UserError(f"{path} has two entries {key[1]}; keep one.")
        at = _fields(text, key.end(), path, key[1])
        found[key[1]] = text[match.start() : at]
    return found


def joined(works: Mapping[str, str]) -> str:
    """The text of all entries."""
    return "\n\n".join(works.values()) + "\n"


def in_words(entry: str) -> str:
    """An entry as a line of a list of works: authors, title, where it appeared, and the year."""
    fields = {name.lower(): _plain(value) for name, value in _values(entry)}
    people = [" ".join(reversed(one.split(", ", 1))) for one in fields.get("author", "").split(" and ") if one]
    named = f"{', '.join(people[:SHOWN_AUTHORS])} et al." if len(people) > ALL_AUTHORS else ", ".join(people)
    place = next((fields[key] for key in ("journal", "booktitle", "institution", "publisher", "howpublished")
                  if key in fields), "")  # fmt: skip
    issue = f" {fields['volume']}" if "volume" in fields else ""
    issue += f"({fields['number']})" if "number" in fields else ""
    pages = f", {fields['pages']}" if "pages" in fields else ""
    parts = [named.rstrip("."), fields.get("title", ""), f"{place}{issue}{pages}", fields.get("year", "")]
    parts += [fields.get("note", ""), fields.get("url", "")]
    return ". ".join(part for part in parts if part) + "."


def _values(entry: str) -> Iterator[tuple[str, str]]:
    """The fields of a sound entry, with their values as they stand there."""
    key = KEY.match(entry, entry.index("{") + 1)
    at = key.end() if key else len(entry)
    while field := re.compile(r"[\s,]*([\w-]+)\s*=\s*").match(entry, at):
        at = _value(entry, field.end(), Path("references.bib"), field[1])
        yield field[1], entry[field.end() : at]


def _plain(value: str) -> str:
    """A field's value without TeX: accents put on their letters, groups opened."""
    text = ACCENT.sub(lambda found: unicodedata.normalize("NFC", found[2] + ACCENTS[found[1]]), value)
    text = re.sub(r"\\([&%$#_])", r"\1", text.replace("--", "\N{EN DASH}"))
    return " ".join(re.sub(r'[{}]|^"|"$', "", text).split())


def check_cited(keys: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise `UserError` for the first key that no file has."""
    known = list(known)
    for key in keys:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            advice = f"did you mean [@{near[0]}]?" if near else "add it to references.bib beside them."
            raise UserError(f"{where} cite [@{key}], which no references.bib has; {advice}")


def _fields(text: str, at: int, path: Path, key: str) -> int:
    """The position after an entry's closing brace."""
    while True:
        rest = re.compile(r"[\s,]*").match(text, at)
        at = rest.end() if rest else at
        if at < len(text) and text[at] == "}":
            return at + 1
        field = FIELD.match(text, at)
        if field is None:
            shown = " ".join(text[at : at + 30].split()) or "the end of the file"
            raise UserError(
                f"{path}: the entry {key} is broken at {shown!r}; every field is name = {{value}}, and the entry ends "
                "with a closing brace."
            )
        at = _value(text, field.end(), path, f"the field {field[1]} of the entry {key}")


def _value(text: str, at: int, path: Path, what: str) -> int:
    """The position after a field's value: braces, quotes, a bare word, or several joined by #."""
    while True:
        if text[at : at + 1] == "{":
            at = _closed(text, at + 1, path, what)
        elif text[at : at + 1] == '"':
            at = _quoted(text, at + 1, path, what)
        elif bare := BARE.match(text, at):
            at = bare.end()
        else:
            raise UserError(f"{path}: {what} has no value; write it in braces.")
        more = re.compile(r"\s*#\s*").match(text, at)
        if more is None:
            return at
        at = more.end()


def _closed(text: str, at: int, path: Path, what: str) -> int:
    """The position after the brace that closes the one before `at`."""
    depth = 1
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] in "{}":
            depth += 1 if text[at] == "{" else -1
            if depth == 0:
                return at + 1
        at += 1
    raise UserError(f"{path}: {what} has no closing brace; add it.")


def _quoted(text: str, at: int, path: Path, what: str) -> int:
    depth = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] in "{}":
            depth += 1 if text[at] == "{" else -1
        elif text[at] == '"' and depth == 0:
            return at + 1
        at += 1
    raise UserError(f"{path}: {what} has no closing quotation mark; add it.")
