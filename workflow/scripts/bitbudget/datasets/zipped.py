"""Annotation files that are published in a zip."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from bitbudget import files
from bitbudget.errors import UserError


def fetch_members(
    url: str, names: Sequence[str], folder: Path, partial: Path, *, sha256: str | None = None
) -> tuple[dict[str, str], str]:
    """Download a zip and keep the files of these names, in whichever of its folders they stand, in `folder`.

    Returns the SHA-256 of each file kept, and that of the zip, which is removed. Raises `UserError` where the download
    fails, has another SHA-256 than the one given, or is no zip with these files.
    """
    from bitbudget.fetching import download

    archive = partial / PurePosixPath(urlsplit(url).path).name
    if not archive.exists():  # whole: a download takes this name only when it is complete
        download.download(url, archive, partial=partial)
    found = {}
    with download.taken_up(archive, f"{url} is no whole zip"):
        download.check_sha256(archive, sha256, name=f"{archive.name} from {url}")
        zip_hash = files.sha256_of(archive)
        with zipfile.ZipFile(archive) as content:
            for name in names:
                found[name] = extract(content, _member(content, name, url), folder / name)
    archive.unlink()
    return found, zip_hash


def extract(content: zipfile.ZipFile, member: str, path: Path, sha256: str | None = None, said: str = "") -> str:
    """Write a member of a zip to a file, and return its SHA-256.

    Raises `UserError` about what is `said`, and writes nothing, where another SHA-256 is expected.
    """
    from bitbudget.fetching import download

    with files.written_whole(path) as temporary:
        with content.open(member) as packed, temporary.open("wb") as out:
            shutil.copyfileobj(packed, out, 2**20)
        download.check_sha256(temporary, sha256, name=said)
        return files.sha256_of(temporary)


def _member(content: zipfile.ZipFile, name: str, url: str) -> str:
    """The member of this base name; of several (there are zips with a copy in a folder) the one that lies highest."""
    members = [member for member in content.namelist() if PurePosixPath(member).name == name]
    if not members:
        raise UserError(f"the zip {url} holds no file {name}; check the address and run again.")
    return min(members, key=lambda member: (member.count("/"), member))
