"""Licences of pictures: what an annotation file says of each, and which let everybody pass on a resized copy.

A study's pictures are resized copies, so a licence without derivatives (ND) does not cover them; one for
non-commercial use (NC) binds whoever is handed the archive, which nobody here can vouch for. What is not known is no.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

OWN = "own"  # the user's own pictures, who may do with them what they like
# CC0, CC BY, CC BY-SA and the public domain, by their SPDX names or their addresses; and what COCO's annotations name
# besides: works without known copyright restrictions, and works of the United States' government.
FREE = re.compile(
    r"(cc0|cc-by|cc-by-sa)(-\d\.\d)?"
    r"|https?://creativecommons\.org/(licenses/(by|by-sa)|publicdomain/(zero|mark))/.*"
    r"|https?://(www\.)?flickr\.com/commons/usage/?"
    r"|https?://(www\.)?usa\.gov/copyright\.shtml"
    rf"|{OWN}",
    re.IGNORECASE,
)


def is_free(licence: str) -> bool:
    """Whether everybody may pass on a resized copy, with the credit that the licence asks for.

    >>> [is_free(one) for one in ("CC-BY-2.0", "http://creativecommons.org/licenses/by-nc/2.0/", "")]
    [True, False, False]
    """
    return FREE.fullmatch(licence.strip()) is not None


def of_image(image: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, str]:
    """The `licence` (an address or a name) and the `credit` (an address) of an image entry in a COCO file.

    Each only where the file has it: `content` is the whole file, whose `licenses` an image names by their ids.
    """
    listed = content.get("licenses")
    named = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    key = image.get("license")
    found = next((one.get("url") or one.get("name") for one in named if key is not None and one.get("id") == key), None)
    said = {"licence": found, "credit": image.get("flickr_url")}
    return {name: value for name, value in said.items() if isinstance(value, str) and value}
