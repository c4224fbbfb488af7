"""Fetching a detector that comes as a file of its own: a .tflite by its address, or the user's .tflite or SavedModel.

A download goes on from where it was cut off. A file whose checksum config/models.yaml leaves open is held to the one
that the first download found (see `bitbudget.fetching.pins`).
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

from bitbudget import contracts, files, records, registry
from bitbudget.errors import UserError
from bitbudget.fetching import download, pins
from bitbudget.models import hub
from bitbudget.models.tflite_identifier import check_identifier

TFLITE, KERAS, SAVED_MODEL = "model.tflite", "model.keras", "saved_model"


def is_ready(family: ModuleType) -> bool:
    """Whether models of a family are such files, and no snapshots that transformers reads."""
    return contracts.of(family, "SOURCE") != "transformers"


def fetch(name: str, spec: dict[str, Any], out: Path, partial: Path) -> dict[str, Any]:
    """Fetch the model `name` into `out` and return its record, which is written last, to `out/model.json`.

    `spec` is its entry in config/models.yaml, `partial` this model's own folder for an unfinished download. Raises
    `UserError` for everything that the entry, the network or a damaged file can cause.
    """
    family = registry.module_of("family", spec["family"])
    address, local = spec.get("url"), spec.get("local")
    if bool(address) == bool(local) or (address and contracts.of(family, "SOURCE") != "tflite"):
        ways = "either `url` or `local`" if contracts.of(family, "SOURCE") == "tflite" else "`local`"
        raise UserError(f"the model {name} in config/models.yaml, of family {spec['family']}, needs {ways}.")
    if address:
        source, contents = address, {TFLITE: _download(name, spec, partial)}
    else:
        source, contents = local, _local(name, Path(local), contracts.of(family, "SOURCE"))
    found = {n: {"bytes": path.stat().st_size, "sha256": files.sha256_of(path)} for n, path in contents.items()}
    if address:
        pins.hold("models", name, {"url": address, "sha256": found[TFLITE]["sha256"]})
    hub.clear(out)
    for n, path in contents.items():
        (out / n).parent.mkdir(parents=True, exist_ok=True)
        (out / n).unlink(missing_ok=True)
        if address:
            hub.put(path, out / n)
        else:
            (out / n).symlink_to(path.resolve())
    files.flush_all(out)
    checksums = {n: f["sha256"] for n, f in found.items()}
    record = records.write(
        out / hub.RECORD,
        "model",
        {"model": name},
        {
            "family": spec["family"],
            "model_type": contracts.of(family, "SOURCE"),
            "source": source,
            "revision": checksums[TFLITE] if list(checksums) == [TFLITE] else files.hash_of(checksums),
            "licence": spec["licence"],
            "restricted": bool(spec.get("restricted")),
            "files": found,
        },
    )
    if address:
        shutil.rmtree(partial)
    return record


def _download(name: str, spec: dict[str, Any], partial: Path) -> Path:
    """Download a .tflite file into `partial`, and check it."""
    locked = pins.locked("models", name)
    if locked:  # refuse another address before anything is downloaded
        pins.hold("models", name, {"url": spec["url"]})
    expected = spec.get("sha256") or locked.get("sha256")
    path = download.download(spec["url"], partial / TFLITE, sha256=expected, partial=partial)
    try:
        check_identifier(path)
    except UserError:
        path.unlink()
        raise UserError(
            f"what {spec['url']} sends is no .tflite file: correct `url` of {name} in config/models.yaml."
        ) from None
    return path


def _local(name: str, path: Path, source: str) -> dict[str, Path]:
    """The files of a model on this machine, by the names that they get."""
    said = f"the model {name} is to come from {path}, which is no"
    if source == "tflite":
        if not path.is_file():
            raise UserError(f"{said} file: correct its `local` path, which names a .tflite file.")
        check_identifier(path)
        return {TFLITE: path}
    if path.is_dir() and (path / "saved_model.pb").is_file():
        inside = sorted(p for p in path.rglob("*") if p.is_file())
        return {f"{SAVED_MODEL}/{p.relative_to(path).as_posix()}": p for p in inside}
    if path.suffix == ".keras" and zipfile.is_zipfile(path):
        return {KERAS: path}
    raise UserError(f"{said} SavedModel, a folder with saved_model.pb, and no .keras file: correct its `local` path.")
