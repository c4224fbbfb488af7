"""Number plates: what is written as one, and short codes in the answers to questions about a plate.

A plate has no check digits, so the layouts are patterns of our own, and the words and units that look like one by
chance are left out. Capitals are looked for anywhere; in lower case, as answers often are, only layouts that ordinary
text hardly has, or an answer that is nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Places = Iterator[tuple[int, int]]

# What a few letters beside a number are as a rule, if not of a plate: words, months, days, currencies, units, labels.
_WORDS = frozenset(
    {
        "a", "i", "am", "an", "and", "are", "as", "at", "be", "big", "bus", "but", "by", "can", "car", "cat", "cow",
        "day", "did", "dog", "do", "eat", "far", "few", "for", "get", "go", "had", "has", "he", "her", "him", "his",
        "how", "if", "ii", "iii", "in", "is", "it", "its", "iv", "ix", "jet", "let", "man", "may", "me", "men", "mr",
        "ms", "my", "near", "new", "no", "nor", "not", "now", "of", "off", "old", "on", "one", "or", "our", "out",
        "own", "per", "pm", "read", "red", "row", "says", "see", "she", "so", "than", "that", "the", "them", "then",
        "they", "this", "tie", "to", "too", "top", "tv", "two", "up", "us", "use", "van", "vi", "vii", "was", "we",
        "were", "who", "will", "with", "ww", "wwi", "wwii", "x", "xi", "xii", "yes", "you", "your", "jan", "feb",
        "mar", "apr", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "mon", "tue", "wed", "thu", "fri", "sat",
        "sun", "ad", "bc", "ce", "bce", "usd", "eur", "gbp", "inr", "jpy", "chf", "cad", "aud", "rmb", "cny", "sek",
        "nok", "dkk", "nzd", "sgd", "hkd", "usa", "uk", "eu", "mph", "kph", "kmh", "kmp", "rpm", "psi", "lb", "lbs",
        "kg", "kgs", "mg", "gm", "gms", "ml", "cl", "km", "cm", "mm", "ft", "sq", "yd", "yds", "oz", "hr", "hrs",
        "min", "mins", "sec", "secs", "cal", "kcal", "wt", "hz", "khz", "mhz", "ghz", "kb", "mb", "gb", "tb", "fps",
        "dpi", "ppm", "bpm", "db", "kw", "kwh", "hp", "cc", "mah", "pcs", "pc", "pct", "pts", "pt", "fm", "iso",
        "din", "fig", "tab", "ref", "box", "tel", "fax", "ext", "flt", "hwy", "rte", "apt", "age", "max", "avg",
        "sum", "vol", "pag", "pg", "doc", "inv", "qty", "lot", "id", "sku", "img", "dsc", "ave", "st", "rd", "dr",
        "blvd", "ln", "ct", "sw", "se", "ne", "nw", "like", "from", "plate", "tag", "code", "taxi", "room", "exit",
        "gate", "page",
    }
)  # fmt: skip
# The states and territories of India that plates begin with (Central Motor Vehicles Rules, 1989, and later notices).
_INDIA = (
    "AN|AP|AR|AS|BR|CG|CH|DD|DL|DN|GA|GJ|HP|HR|JH|JK|KA|KL|LA|LD|MH|ML|MN|MP|MZ|NL|OD|OR|PB|PY|RJ|SK|TN|TR|TS|TG|UA|UK"
    "|UP|WB"
)
_EDGE, _END = r"(?<![^\W_])(?<![-$€£.,])", r"(?![^\W_])(?!-\w)"


def _layouts(*patterns: str, flags: int = 0) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(f"{_EDGE}(?:{one}){_END}", flags) for one in patterns)


# Hardly anything else, in capitals or not: AB12 CDE; KA 01 AB 1234, MH12AB1234, DL 3C AB 1234; 22 BH 1234 AA; 1ABC234.
_ANYWHERE = _layouts(
    r"[A-Z]{2}\d{2} ?([A-Z]{3})",
    rf"(?:{_INDIA})([ -]?)\d{{1,2}}[A-Z]?\1([A-Z]{{1,3}})\1\d{{4}}",
    r"\d{2} ?BH ?\d{4} ?[A-Z]{1,2}",
    r"\d[A-Z]{3}\d{3}",
    flags=re.I,
)
# In capitals: ABC 1234, ABC-123; 123 ABC; B-AB 1234; AB-123-CD; 1234 BCD; W-12345 A; B AB 1234, HH AB 12E.
_CAPITALS = (
    r"([A-Z]{3})[ -]?(\d{3,4})",
    r"\d{3}[ -]([A-Z]{3})",
    r"([A-ZÄÖÜ]{1,3})-([A-Z]{1,2}) ?\d{1,4}[EH]?",
    r"[A-Z]{2}-\d{3}-[A-Z]{2}",
    r"\d{4} ([B-DF-HJ-NP-TV-Z]{3})",
    r"[A-Z]{1,2}-\d{4,5} ?[A-Z]",
    r"([A-ZÄÖÜ]{1,3}) ([A-Z]{1,2}) (\d{2,4})[EH]?",
)
_IN_CAPITALS = _layouts(*_CAPITALS)
# An answer in lower case that is nothing else. A word before a number is too common for those with a space.
_WHOLE = _layouts(r"([A-Z]{3})-?(\d{4})", *_CAPITALS[2:4], *_CAPITALS[5:], flags=re.I)
_YEAR = re.compile(r"(?:18|19|20)\d\d")


def find(text: str) -> Places:
    """Where a text has what is written as a number plate; places may overlap."""
    for pattern in (*_ANYWHERE, *_IN_CAPITALS):
        yield from (one.span() for one in pattern.finditer(text) if not _by_chance(one))
    for pattern in _WHOLE:
        one = pattern.fullmatch(text.strip().rstrip("."))
        if one and not _by_chance(one):
            yield 0, len(text)


def _by_chance(found: re.Match[str]) -> bool:
    """Whether the parts of what was found are rather words, units or a year."""
    return any(part and (part.lower() in _WORDS or _YEAR.fullmatch(part)) for part in found.groups())


_OF_A_PLATE = (
    r"\b(?:licen[cs]es?|registration|numbers?|no|says?|reads?|written|letters?|digits?|characters?|state|cars?|trucks?"
    r"|vehicles?|bus|vans?|taxis?|cabs?|motorcycles?|motorbikes?|bikes?|scooters?)\b"
)
_ABOUT = re.compile(
    r"\blicen[cs]e\s+(?:tag|number|no\b)|\bregistration\s+(?:number|no\b)|\bnumber-?plates?\b|\btag\s+number"
    rf"|\bplates?\b.{{0,99}}{_OF_A_PLATE}|{_OF_A_PLATE}.{{0,99}}\bplates?\b",
    re.I | re.S,
)
_PIECE = re.compile(r"[^\W_]+")
_FEWEST, _MOST = 4, 10  # letters and digits of a plate


def asked_for(question: str) -> bool:
    """Whether a question is about a number plate; one about the number of plates may be taken for one."""
    return bool(_ABOUT.search(question))


def codes(answer: str) -> Places:
    """Where an answer to such a question has a short code: letters and digits, in pieces or not, without words."""
    run: list[re.Match[str]] = []
    for piece in _PIECE.finditer(answer):
        if run and answer[run[-1].end() : piece.start()] not in {" ", "-", ".", "·"}:
            yield from _code(run)
            run = []
        if _may_be_of_a_code(piece[0]):
            run.append(piece)
        else:
            yield from _code(run)
            run = []
    yield from _code(run)


def _may_be_of_a_code(piece: str) -> bool:
    if any(map(str.isdigit, piece)):
        return len(piece) <= _MOST
    return len(piece) <= 4 and piece.lower() not in _WORDS


def _code(run: list[re.Match[str]]) -> Places:
    """The places of the codes of this run of pieces: one, unless it is too long for that."""
    while run:
        # from the right: what stands before a code is more often a word than what stands after it
        first, size = len(run) - 1, len(run[-1][0])
        while first and size + len(run[first - 1][0]) <= _MOST:
            first -= 1
            size += len(run[first][0])
        part, run = run[first:], run[:first]
        digits = sum(character.isdigit() for piece in part for character in piece[0])
        only_counts = digits == 1 and len(part) > 1  # "2 cars"
        if size >= _FEWEST and 0 < digits < size and not only_counts:
            yield part[0].start(), part[-1].end()
