"""Fetching a model: from the Hugging Face Hub at one commit, or from a local directory.

Weights are safetensors. Where a repository has none (OPT), pickled ones are taken, which transformers reads by torch's
`weights_only`, so that no code in them runs. Code is never taken. The Hub is spoken to in `describe_repository` and
`download` and nowhere else.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from bitbudget import files, records, registry
from bitbudget.errors import UserError
from bitbudget.fetching import pins
from bitbudget.models.families import loading
from bitbudget.models.snapshots import small_files

log = logging.getLogger(__name__)

WANTED = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "LICENSE*", "NOTICE*")
SAFE = ("*.safetensors",)
PICKLED = ("pytorch_model.bin", "pytorch_model-*.bin")
RECORD = "model.json"
AGAIN = "run the same command again to go on from here"


@dataclass(frozen=True)
class Remote:
    """One commit of a Hub repository: the size in bytes of each file, and a checksum of those that the Hub knows.

    Large files have their SHA-256, the others (`blobs`) git's: the SHA-1 of `blob {size}`, a zero byte and the content.
    """

    commit: str
    sizes: dict[str, int]
    sha256: dict[str, str]
    blobs: dict[str, str] = field(default_factory=dict)


def fetch(
    name: str,
    spec: dict[str, Any],
    out: Path,
    partial: Path,
    check: Callable[[Path], None] = lambda folder: None,
    look: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """Fetch the model `name` into `out` and return its record, which is written last, to `out/model.json`.

    `spec` is its entry in config/models.yaml. `partial` is this model's own folder for an unfinished download: a
    killed job goes on from there, and it is gone when the model is complete. `check` looks at the folder of all its
    files before they count as fetched, and `look` at its config.json before weights are downloaded: by default whether
    the family takes it. Raises `UserError` for everything that the entry, the network, the account or a damaged file
    can cause.
    """
    if bool(spec.get("hub")) == bool(spec.get("local")):
        raise UserError(f"the model {name} in config/models.yaml needs either `hub` or `local`, and not both.")
    look = look or functools.partial(check_family, family=spec["family"])
    if spec.get("hub"):
        source, revision, found = _from_hub(name, spec, out, partial, check, look)
    else:
        source, revision, found = _from_directory(name, spec, out, check, look)
    made = record(out, name, spec, source, revision, found)
    if spec.get("hub"):
        shutil.rmtree(partial)
    return made


def record(
    out: Path, name: str, spec: dict[str, Any], source: str, revision: str, found: dict[str, Any], **more: Any
) -> dict[str, Any]:
    """Write the record of a snapshot that is whole in `out`, and return it."""
    files.flush_all(out)
    body = {
        "family": spec["family"],
        "model_type": files.read_json(out / "config.json")["model_type"],
        "source": source,
        "revision": revision,
        "licence": spec["licence"],
        "restricted": bool(spec.get("restricted")),
        "files": found,
    }
    return records.write(out / RECORD, "model", {"model": name}, body | more)


def wanted(names: Iterable[str]) -> list[str]:
    """The files to take, sorted: those at the top of the repository that loading a model needs.

    Folders hold other forms of the same weights (ONNX, the original format) and are left out.
    """
    top = [n for n in names if "/" not in n and n != RECORD]
    patterns = WANTED if any(is_one_of(n, SAFE) for n in top) else WANTED + PICKLED
    return sorted(n for n in top if is_one_of(n, patterns))


def is_one_of(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a file's name fits one of these patterns."""
    return any(fnmatch(name, pattern) for pattern in patterns)


# --- from a local directory


def _from_directory(
    name: str, spec: dict[str, Any], out: Path, check: Callable[[Path], None], look: Callable[[Path], None]
) -> tuple[str, str, dict[str, Any]]:
    """Link the directory's files into `out`. Returns source, revision and files as they stand in the record."""
    folder = Path(spec["local"])
    if not folder.is_dir():
        raise UserError(f"the model {name} is to come from {folder}, which is no directory: correct its `local` path.")
    if folder.resolve() == out.resolve():
        raise UserError(f"the model {name} is to come from {folder} and to go there: name another directory.")
    names = wanted(p.name for p in folder.iterdir() if p.is_file())
    _check_names(names, str(folder))
    look(folder / "config.json")
    found = described(folder, names)
    clear(out)
    for n in names:
        (out / n).unlink(missing_ok=True)
        (out / n).symlink_to((folder / n).resolve())
    check(out)
    return str(folder), files.hash_of({n: f["sha256"] for n, f in found.items()}), found


# --- from the Hub


def _from_hub(
    name: str,
    spec: dict[str, Any],
    out: Path,
    partial: Path,
    check: Callable[[Path], None],
    look: Callable[[Path], None],
) -> tuple[str, str, dict[str, Any]]:
    """Download one commit into `out`. Returns source, revision and files as they stand in the record."""
    repository = spec["hub"]
    locked = pins.locked("models", name)
    if locked:
        pins.hold("models", name, {"hub": repository})
    pinned = spec.get("revision") or locked.get("revision", "")
    remote = describe_repository(repository, pinned or spec.get("branch", ""))
    if locked:  # refuse another commit before gigabytes are downloaded
        pins.hold("models", name, {"revision": remote.commit})
    names = wanted(remote.sizes)
    _check_names(names, repository)

    partial.mkdir(parents=True, exist_ok=True)
    check_space(name, {n: remote.sizes[n] for n in names}, partial)
    download(repository, remote.commit, ["config.json"], partial)
    _discard_damaged(remote, ["config.json"], repository, partial)
    look(partial / "config.json")
    log.info("%s: downloading %d files of %s at %s", name, len(names), repository, remote.commit)
    download(repository, remote.commit, names, partial)
    _discard_damaged(remote, names, repository, partial)

    found = described(partial, names, discard=True)
    for n, sha256 in remote.sha256.items():
        if n in found and found[n]["sha256"] != sha256:
            (partial / n).unlink()
            raise UserError(
                f"{n} of {repository} arrived with the checksum {found[n]['sha256']} instead of {sha256}: "
                f"it was removed, {AGAIN}."
            )
    weights = {n: f["sha256"] for n, f in found.items() if is_one_of(n, SAFE + PICKLED)}
    pins.hold("models", name, {"hub": repository, "revision": remote.commit, **weights})
    check(partial)

    clear(out)
    for n in names:
        put(partial / n, out / n)
    return f"https://huggingface.co/{repository}", remote.commit, found


def describe_repository(repository: str, revision: str) -> Remote:
    """What the Hub says of a repository at a commit or branch (empty: its newest commit). Raises `UserError`."""
    from huggingface_hub import HfApi

    with _hub_errors(repository, revision):
        info = HfApi(endpoint=_endpoint()).model_info(repository, revision=revision or "main", files_metadata=True)
    siblings = info.siblings or []
    return Remote(
        commit=info.sha,
        sizes={s.rfilename: s.size or 0 for s in siblings},
        sha256={s.rfilename: s.lfs.sha256 for s in siblings if s.lfs},
        blobs={s.rfilename: s.blob_id for s in siblings if s.blob_id and not s.lfs},
    )


def download(repository: str, commit: str, names: list[str], folder: Path) -> None:
    """Download these files into `folder`, going on with what is there already. Raises `UserError`."""
    from huggingface_hub import snapshot_download

    with _hub_errors(repository, commit):
        snapshot_download(
            repository, revision=commit, local_dir=folder, allow_patterns=names, max_workers=4, endpoint=_endpoint()
        )
    missing = [n for n in names if not (folder / n).is_file()]
    if missing:  # without network snapshot_download returns the folder as it is, and says nothing
        raise UserError(f"{', '.join(missing)} of {repository} did not arrive: check the network, and {AGAIN}.")


def _endpoint() -> str | None:
    """The Hub's address where the user has set another one (a mirror); None for the usual one."""
    return os.environ.get("HF_ENDPOINT") or None


@contextmanager
def _hub_errors(repository: str, revision: str) -> Iterator[None]:
    """Say each failure of the Hub's client in one sentence. The order matters: some are kinds of others."""
    from huggingface_hub import errors

    page = f"https://huggingface.co/{repository}"
    try:
        yield
    except errors.GatedRepoError:
        raise UserError(
            f"{repository} is gated: accept its licence on {page}, and set HF_TOKEN to a token of that account."
        ) from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        raise UserError(
            f"there is no repository {repository} on the Hub that you may read: correct its name in "
            "config/models.yaml or in the study, or set HF_TOKEN if it is private."
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(
            f"{repository} has no revision {revision}: name one of the commits listed on {page}/commits/main."
        ) from None
    except errors.OfflineModeIsEnabled:
        raise UserError(
            f"{repository} has to be downloaded, but HF_HUB_OFFLINE is set: unset it, or name a `local` copy."
        ) from None
    # HTTPError also covers failures on the way: the client's own name for it spares an import of its transport.
    except (errors.HTTPError, errors.LocalEntryNotFoundError, errors.XetDownloadError, ConnectionError) as fault:
        # A failed request for a file is reported as a file that is not on this disk; the true reason is its cause.
        reason = fault.__cause__ if isinstance(fault, errors.LocalEntryNotFoundError) else fault
        if not isinstance(reason, errors.HfHubHTTPError):
            raise UserError(
                f"the Hub cannot be reached for {repository} ({type(reason or fault).__name__}): "
                f"check the network, and {AGAIN}."
            ) from None
        status = reason.response.status_code
        remedy = "check HF_TOKEN" if status in (401, 403) else f"wait a while, and {AGAIN}"
        raise UserError(f"the Hub refused a request for {repository} with status {status}: {remedy}.") from None
    except RuntimeError as fault:
        if os.strerror(errno.ENOSPC) in str(fault):  # the Hub's storage client (hf-xet) hides the errno in its text
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from fault
        raise


# --- checks, each of which says what is wrong in one sentence


def _check_names(names: list[str], source: str) -> None:
    if "config.json" not in names:
        raise UserError(f"{source} holds no config.json: name a model in the form that transformers reads.")
    if not any(is_one_of(n, SAFE + PICKLED) for n in names):
        raise UserError(
            f"{source} holds neither *.safetensors nor a pytorch_model.bin: convert it with transformers' "
            "save_pretrained, or name a repository that has them."
        )


def check_space(name: str, sizes: dict[str, int], partial: Path) -> None:
    """Refuse a download that the disk cannot hold; what is there already counts, finished or not."""
    here = sum(p.stat().st_size for p in partial.rglob("*") if p.is_file())
    needed, free = sum(sizes.values()) - here, shutil.disk_usage(partial).free
    if needed > free:
        raise UserError(
            f"the disk is full: {name} still needs {needed / 1e9:.1f} GB in {partial}, where {free / 1e9:.1f} GB are "
            f"free; free some space, and {AGAIN}."
        )


def _discard_damaged(remote: Remote, names: Iterable[str], repository: str, folder: Path) -> None:
    """Remove small files that are not what the Hub says: its client would believe them for ever. Raises `UserError`.

    A power cut leaves such files, because the client does not wait for the disk.
    """
    for n in (n for n in names if n in remote.blobs):
        content = (folder / n).read_bytes()
        if hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() != remote.blobs[n]:
            (folder / n).unlink()
            raise UserError(f"{n} of {repository} is damaged in {folder}: it was removed, {AGAIN}.")


def check_family(config: Path, family: str) -> None:
    """Check that the family takes the `model_type` of this config.json. Raises `UserError`."""
    model_type = small_files.read_object(config).get("model_type")
    if not isinstance(model_type, str):
        raise UserError(f"{config} has no model_type, so nothing says what model it is: {small_files.AGAIN}.")
    module = registry.module_of("family", family)
    takes = module.MODEL_TYPES
    if takes and model_type not in takes:
        own = [name for name in registry.FAMILIES if model_type in registry.module_of("family", name).MODEL_TYPES]
        remedy = f"set `family: {own[0]}`" if own else "leave `family` out"
        raise UserError(
            f"{config} says model_type {model_type!r}, but the family {family} takes {' or '.join(takes)}: {remedy} "
            "for this model in config/models.yaml."
        )
    if not takes and not loading.takes(module, model_type):
        import transformers

        raise UserError(
            f"{config} says model_type {model_type!r}, of which transformers {transformers.__version__} has no "
            f"{module.KIND}: choose another model."
        )


def check_safetensors(path: Path) -> None:
    """Check that a safetensors file is as long as its header says. Raises `UserError`.

    The format: eight bytes hold the header's length (little-endian), then the header as JSON, then the tensors, whose
    offsets count from the header's end (https://github.com/huggingface/safetensors#format).
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise UserError(f"{path} is cut off: it has {size} bytes, too few for its own header; fetch it again.")
        try:
            header = json.loads(file.read(length))
            end = max((t["data_offsets"][1] for n, t in header.items() if n != "__metadata__"), default=0)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise UserError(f"{path} is no safetensors file: its header is not readable; fetch it again.") from None
    promised = 8 + length + end
    if size != promised:
        what = "is cut off" if size < promised else "is too long"
        raise UserError(f"{path} {what}: it has {size} bytes where its header promises {promised}; fetch it again.")


def _check_shards(folder: Path, names: list[str]) -> None:
    safe = any(is_one_of(n, SAFE) for n in names)
    index = folder / ("model.safetensors.index.json" if safe else "pytorch_model.bin.index.json")
    if index.name not in names:
        return
    places = small_files.read_object(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise UserError(f"{index} has no weight_map from weights to files: {small_files.AGAIN}.")
    missing = sorted(set(places.values()) - set(names))
    if missing:
        raise UserError(f"{folder} lacks {', '.join(missing)}, which its {index.name} names: complete the model.")


def described(folder: Path, names: list[str], *, discard: bool = False) -> dict[str, dict[str, Any]]:
    """Size in bytes and SHA-256 of each file, after checking the weights; `discard` removes a damaged file."""
    _check_shards(folder, names)
    found = {}
    for n in names:
        path = folder / n
        if n.endswith(".safetensors"):
            try:
                check_safetensors(path)
            except UserError:
                if discard:  # otherwise the next run would take it for complete
                    path.unlink()
                raise
        found[n] = {"bytes": path.stat().st_size, "sha256": files.sha256_of(path)}
    return found


# --- putting files in place


def clear(out: Path) -> None:
    """Make the folder, and take away what an earlier fetch put there, and nothing else."""
    out.mkdir(parents=True, exist_ok=True)
    record = out / RECORD
    earlier = files.read_json(record)["files"] if record.exists() else {}
    record.unlink(missing_ok=True)
    for n in earlier:
        (out / n).unlink(missing_ok=True)


def put(source: Path, target: Path) -> None:
    """Hard-link, so that a job killed half-way loses nothing of the download; move where links do not work."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.move(source, target)
