"""Images that stand as bytes in the rows of a table."""

from __future__ import annotations

from bitbudget.errors import UserError

SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg"}  # any other format has its own name as suffix


def suffix_of(data: bytes, where: str) -> str:
    """The suffix of a file with these bytes. Raises `UserError` that names `where` for bytes that are no image."""
    import io

    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            return SUFFIXES.get(picture.format or "", f".{(picture.format or 'image').lower()}")
    except Exception as fault:  # a decoder may raise any of a damaged file
        raise UserError(
            f"{where} holds no image that can be read ({type(fault).__name__}); choose another column or revision."
        ) from None
