"""One file of a Python package, through pip: with whatever index, mirror and credentials pip is configured for.

Only a wheel is taken, which is an archive that nothing is run of, and nothing is installed.
"""

from __future__ import annotations

import re
import shutil
import sys
import zipfile
from pathlib import Path

from bitbudget.errors import UserError
from bitbudget.system import programs

LICENCES = re.compile(r"[^/]+\.dist-info/(licenses/)?(LICEN[CS]E|NOTICE)[^/]*$")


def take(requirement: str, name: str, folder: Path) -> tuple[Path, list[Path]]:
    """Download a package (`name==version`), and take a file out of it: its path below `folder`, and the licences'.

    `name` is the file's path in the package, or the end of it where that is enough. Raises `UserError` where pip
    cannot get the package, and where it has no such file, or several.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wheel = _download(requirement, folder / "wheel")
    with zipfile.ZipFile(wheel) as archive:
        inside = [one for one in archive.namelist() if not one.endswith("/")]
        fitting = [one for one in inside if one == name] or [one for one in inside if one.endswith(f"/{name}")]
        if len(fitting) != 1:
            alike = [one for one in inside if Path(one).suffix == Path(name).suffix]
            has = f"has {len(fitting)} files" if fitting else "has no file"
            raise UserError(
                f"the package {requirement} {has} {name}: name one of {', '.join(alike or inside)} as `file` in "
                "config/models.yaml."
            )
        found, licences = _extract(archive, fitting[0], folder), []
        for one in filter(LICENCES.match, inside):
            licences.append(_extract(archive, one, folder))
    shutil.rmtree(wheel.parent)  # what it holds is as large as what was taken
    return found, licences


def _download(requirement: str, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--quiet"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), "--", requirement]
    done = programs.ask(command)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")] or done.stderr.splitlines()
        said = lines[-1].removeprefix("ERROR: ").rstrip(".") if lines else f"it ended with {done.returncode}"
        raise UserError(
            f"pip cannot get the package {requirement} ({said}): correct `package` in config/models.yaml, or pip's "
            "index (`pip config list`), and run the same command again."
        )
    return wheels[0]


def _extract(archive: zipfile.ZipFile, name: str, folder: Path) -> Path:
    """Only the last part of a name in an archive is taken for a name on this disk."""
    path = folder / Path(name).name
    with archive.open(name) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target, 2**20)
    return path
