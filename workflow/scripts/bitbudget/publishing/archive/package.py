"""A zip file that has the same bytes for the same content, written in one pass whatever its size."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bitbudget import files
from bitbudget.errors import UserError

# Every file gets this date, the first that zip files know: with one date none is newer than another.
DATE = (1980, 1, 1, 0, 0, 0)
MANIFEST = "MANIFEST.sha256"
BLOCK = 2**20  # bytes


@dataclass(frozen=True)
class Entry:
    """A file of the archive: its name there, and what gives its bytes, piece by piece."""

    name: str
    chunks: Callable[[], Iterable[bytes]]
    size: int  # bytes, roughly
    executable: bool = False


def of_file(name: str, path: Path) -> Entry:
    """A file as it is."""
    about = path.stat()
    return Entry(name, lambda: _blocks(path), about.st_size, bool(about.st_mode & 0o100))


def of_text(name: str, text: str) -> Entry:
    """A file that is made for the archive."""
    content = text.encode()
    return Entry(name, lambda: [content], len(content))


def write(path: Path, top: str, entries: Iterable[Entry]) -> dict[str, str]:
    """Write the archive whole or not at all, its entries in the given order in the folder `top`, and after them their
    SHA-256 checksums as `sha256sum --check` reads them. Returns the checksum of each name.

    Raises `UserError` where a file cannot be read.
    """
    sums: dict[str, str] = {}
    with files.written_whole(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for entry in entries:
            sums[entry.name] = _add(archive, top, entry)
        lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
        _add(archive, top, of_text(MANIFEST, lines))
    return sums


def _add(archive: zipfile.ZipFile, top: str, entry: Entry) -> str:
    about = zipfile.ZipInfo(f"{top}/{entry.name}", DATE)
    about.compress_type = zipfile.ZIP_DEFLATED
    about.create_system = 3  # Unix, whatever this is, because of the mode below
    about.external_attr = (0o100755 if entry.executable else 0o100644) << 16
    about.file_size = entry.size
    digest = hashlib.sha256()
    with archive.open(about, "w") as target:
        for chunk in entry.chunks():
            digest.update(chunk)
            target.write(chunk)
    return digest.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                yield block
    except (FileNotFoundError, PermissionError) as fault:
        raise UserError(f"{path} cannot be put into the archive ({fault.strerror}); make it again.") from None
