"""What every .tflite file begins with."""

from __future__ import annotations

from pathlib import Path

from bitbudget.errors import UserError

IDENTIFIER = b"TFL3"


def check_identifier(path: Path) -> None:
    """Raise `UserError` where a file does not begin as every .tflite file does, with its mark in bytes 4 to 8."""
    with path.open("rb") as file:
        if file.read(8)[4:] != IDENTIFIER:
            raise UserError(
                f"{path} is no .tflite file, whose bytes 4 to 8 are {IDENTIFIER.decode()}: name the right file."
            )
