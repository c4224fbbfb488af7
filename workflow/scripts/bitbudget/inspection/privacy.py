"""Strings that may be about a person: e-mail addresses, telephone, card and account numbers, plates, IP addresses.

Found by their form alone, in text that a model read off a picture or that people wrote about it. What has check digits
or a numbering plan is held against it (`python-stdnum`; `phonenumbers`, the Python form of Google's library); the
others are patterns (those of number plates in `plates`). Names, postal addresses and dates of birth have no form and
are not found.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from bitbudget.errors import UserError
from bitbudget.inspection import plates

E_MAIL, PHONE, CARD, ACCOUNT, PLATE = "e-mail", "phone", "card number", "bank account", "plate"
COMPUTER, SOCIAL_SECURITY = "IP address", "social security number"
# In this order they are looked for: where two overlap, the one that begins first counts, then the one named first here.
KINDS = (E_MAIL, CARD, ACCOUNT, SOCIAL_SECURITY, PHONE, COMPUTER, PLATE)


@dataclass(frozen=True)
class Span:
    """A string of a text, from `start` to before `end`, and what it may be."""

    start: int
    end: int
    what: str


def check_region(region: str) -> None:
    """Raise `UserError` unless `region` is one whose telephone numbers are known."""
    import phonenumbers

    if region not in phonenumbers.SUPPORTED_REGIONS:
        raise UserError(
            f"there is no region {region!r} whose telephone numbers are known; set `inspection.phone_region` to the "
            "two capital letters of a country, for example US, DE or IN."
        )


def find(text: str, region: str, asked: str | None = None) -> list[Span]:
    """The spans of a text that may be about a person, none overlapping another, in their order.

    `region` is the country (ISO 3166, two letters) as of which telephone numbers without a country's code are read;
    `asked` is the question that the text answers: where that is about a number plate, a short code is one.
    """
    found = [Span(*place, what) for what, finder in _FINDERS.items() for place in finder(text)]
    if sum(map(str.isdigit, text)) >= _FEWEST_DIGITS:
        found += [Span(*place, PHONE) for place in _phones(text, region)]
    if asked and plates.asked_for(asked):
        found += [Span(*place, PLATE) for place in plates.codes(text)]
    found.sort(key=lambda span: (span.start, KINDS.index(span.what), -span.end))
    kept: list[Span] = []
    for span in found:
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
    return kept


Places = Iterator[tuple[int, int]]

_E_MAIL = re.compile(
    r"(?<![\w.+-])[^\W_][\w.+-]{0,63} ?@ ?[^\W_](?:[\w-]{0,62}\.)(?:[\w-]{1,63}\.){0,4}[a-z]{2,24}(?![\w-])", re.I
)
# Written out against harvesting: john(at)mail.com, john [at] mail [dot] com; without brackets only both words at once,
# before what addresses mostly end in.
_SPELLED = re.compile(
    r"(?<![\w.+-])[^\W_][\w.+-]{0,63} ?(?:[(\[{<] ?at ?[)\]}>] ?[^\W_][\w-]{0,62}"
    r"(?:(?:\.| ?[(\[{<] ?dot ?[)\]}>] ?| dot )[\w-]{1,63}){0,3}(?:\.| ?[(\[{<] ?dot ?[)\]}>] ?| dot )[a-z]{2,24}"
    r"| at [^\W_][\w-]{0,62}(?: dot [\w-]{1,63})? dot (?:com|org|net|edu|gov|info))(?![\w-])",
    re.I,
)
_AT_IN_BRACKETS = re.compile(r"[(\[{<] ?at ?[)\]}>]", re.I)


def _e_mails(text: str) -> Places:
    if "@" in text:
        yield from (one.span() for one in _E_MAIL.finditer(text))
    if " dot " in text.lower() or _AT_IN_BRACKETS.search(text):
        yield from (one.span() for one in _SPELLED.finditer(text))


# 13 to 19 digits, in groups or not, not a part of a longer number, that begin as an issuer's do (ISO/IEC 7812).
_CARD = re.compile(r"(?<![\d.,])\d(?:[ -]?\d){12,18}(?![.,]?\d)")
_ISSUER = re.compile(r"4|5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|3[47]|3[068]|6(?:011|5|4[4-9]|2)|35")


def _cards(text: str) -> Places:
    for one in _CARD.finditer(text):
        digits = re.sub(r"\D", "", one[0])
        if _ISSUER.match(digits):
            from stdnum import luhn

            if luhn.is_valid(digits):
                yield one.span()


_ACCOUNT = re.compile(r"(?<![A-Z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}", re.I)


def _accounts(text: str) -> Places:
    for one in _ACCOUNT.finditer(text):
        from stdnum import iban

        # the pattern may have taken the words that follow: the longest beginning that is an IBAN
        ends = (end for end in range(one.end(), one.start() + 14, -1) if text[end - 1] != " ")
        end = next((end for end in ends if iban.is_valid(text[one.start() : end])), None)
        if end is not None:
            yield one.start(), end


_SOCIAL_SECURITY = re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")


def _social_security(text: str) -> Places:
    for one in _SOCIAL_SECURITY.finditer(text):
        from stdnum.us import ssn

        if ssn.is_valid(one[0]):
            yield one.span()


_COMPUTER = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]*\d)")


def _computers(text: str) -> Places:
    for one in _COMPUTER.finditer(text):
        try:
            address = ipaddress.IPv4Address(one[0])
        except ValueError:
            continue
        if int(address) >> 24 >= 10:  # "1.2.3.4" is a version, or a section
            yield one.span()


_FINDERS = {
    E_MAIL: _e_mails,
    CARD: _cards,
    ACCOUNT: _accounts,
    SOCIAL_SECURITY: _social_security,
    COMPUTER: _computers,
    PLATE: plates.find,
}

_FEWEST_DIGITS = 7  # of a telephone number
_MONEY_BEFORE = re.compile(r"(?:[$€£¥₹#]|\d[.,])\s?$")
_MORE_AFTER = re.compile(r"\s?(?:[%€£]|[.,]\d)")
_YEARS = re.compile(r"(?:18|19|20)\d\d(?:\D{1,3}(?:18|19|20)\d\d)*")
_DATE = re.compile(r"\d{4}[-/. ]\d{1,2}[-/. ]\d{1,2}|\d{1,2}[-/. ]\d{1,2}[-/. ]\d{2,4}")


def _phones(text: str, region: str) -> Places:
    for start, end in _matched(text, region):
        own = text[start:end]
        if _YEARS.fullmatch(own) or _DATE.fullmatch(own):
            continue
        if not (_MONEY_BEFORE.search(text[:start]) or _MORE_AFTER.match(text[end:])):
            yield start, end


@cache
def _matched(text: str, region: str) -> tuple[tuple[int, int], ...]:
    """Where valid numbers stand, with a country's code or as of `region`, grouped as they are there or not at all."""
    import phonenumbers

    matcher = phonenumbers.PhoneNumberMatcher(text, region, leniency=phonenumbers.Leniency.STRICT_GROUPING)
    return tuple((one.start, one.end) for one in matcher)
