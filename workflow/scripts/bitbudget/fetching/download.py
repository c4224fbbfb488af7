"""Downloads that can be cut off at any moment and go on from there: the one place that touches the network by hand.

What has arrived stays in a folder for partial files, outside every rule's outputs, under a name made from the address.
A file takes its final name only when it is complete and its checksum is right.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from tqdm import tqdm

from bitbudget import files
from bitbudget.errors import UserError, lack_in_one_sentence, reason
from bitbudget.system import verified

log = logging.getLogger(__name__)

CHUNK = 2**14  # bytes; when a connection breaks, what arrived of its last chunk is lost
FLUSHED = 2**26  # bytes: so far apart is what has arrived flushed to the disk, and survives a power cut
TIMEOUT = (10, 60)  # seconds to connect, and between two bytes
LONGEST_WAIT = 60.0  # seconds
GIVE_UP_AFTER = 20  # failed files: then it is not the files that are wrong
BUGS = (AttributeError, NameError, TypeError, AssertionError)  # never of a damaged file
NO_ADDRESS = (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema)
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "bitbudget"}  # identity: lengths then count the file's bytes


class _Again(Exception):
    """An attempt that failed in a way that another may mend; `wait` is the server's own wish, in seconds."""

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


class _Stale(_Again):
    """What has arrived is no beginning of what the server has now: start again."""


def download(
    url: str,
    path: Path,
    *,
    sha256: str | None = None,
    partial: Path,
    retries: int = 5,
    backoff: float = 1.0,
    progress: Callable[[int], Any] | None = None,
    session: requests.Session | None = None,
) -> Path:
    """Download `url` to `path`, going on from what an earlier attempt left in the folder `partial`.

    Connection errors, cut-off bodies, and the answers 429 and 5xx are retried `retries` times in a row after
    `backoff` x 1, 2, 4 … seconds; an attempt that brought new bytes starts the count anew. `progress` is called with
    the number of bytes that arrived, a negative one where the file has to start again. Without it a bar is shown.

    What has arrived is gone on with only where the server says of the rest that it is of the very same file (by ETag or
    date, see `_same_file`), or where a checksum will tell.

    Raises `UserError` where the server has no such file, cannot be reached, or sends what has not this checksum.
    """
    partial.mkdir(parents=True, exist_ok=True)
    part = partial / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{path.name}.part"
    _cut_after_power_loss(part)
    with (
        files.naming(part),
        tqdm(unit="B", unit_scale=True, desc=path.name, mininterval=1, disable=progress is not None) as bar,
    ):
        known = sha256 is not None
        _until_complete(url, part, retries, backoff, progress or bar.update, session or requests.Session(), known)
    if sha256 is not None:
        try:
            check_sha256(part, sha256, name=f"{path.name} from {url}")
        except UserError:
            _discard(part)
            raise
    path.parent.mkdir(parents=True, exist_ok=True)
    _move(part, path)
    _notes(part).unlink(missing_ok=True)
    return path


@contextmanager
def taken_up(archive: Path, said: str) -> Iterator[None]:
    """While a whole download is read: one that turns out to be damaged, or another file, is removed.

    The next run then fetches it anew instead of failing over it again. What the machine lacks is no fault of the file.
    Raises `UserError`, of `said` and the reader's own reason, for whatever a reader raises of foreign bytes.
    """
    try:
        yield
    except BUGS:
        raise
    except Exception as fault:
        if lack_in_one_sentence(fault) is not None:
            raise
        archive.unlink(missing_ok=True)
        if isinstance(fault, UserError):
            raise
        raise UserError(f"{said} ({reason(fault)}); check the address and run again.") from None


def check_sha256(path: Path, expected: str | None, *, name: str) -> None:
    """Raise a `UserError` where the file has another SHA-256 than expected; None expects nothing."""
    found = files.sha256_of(path)
    if expected is not None and found != expected:
        raise UserError(
            f"{name} has the SHA-256 {found} where {expected} is expected: it changed or was damaged on its way; "
            "run again, and if that does not help check the address."
        )


def _until_complete(
    url: str,
    part: Path,
    retries: int,
    backoff: float,
    progress: Callable[[int], Any],
    session: requests.Session,
    known: bool,
) -> None:
    failures, furthest = 0, _size(part)
    progress(furthest)
    while True:
        try:
            _attempt(url, part, progress, session, known)
            return
        except (_Again, requests.RequestException) as fault:
            if isinstance(fault, NO_ADDRESS):
                raise UserError(f"{url!r} is not a web address; it begins with https:// or http://.") from None
            if _size(part) > furthest:
                furthest, failures = _size(part), 0
            failures += 1
            if failures > retries:
                raise UserError(
                    f"{url} cannot be fetched ({_reason(fault)}, {failures} times in a row): "
                    "check the network and run again; what has arrived is kept."
                ) from None
            wait = min(LONGEST_WAIT, max(backoff * 2 ** (failures - 1), getattr(fault, "wait", 0.0)))
            log.warning("%s: %s; trying again in %.0f s", url, _reason(fault), wait)
            time.sleep(wait)


def _attempt(url: str, part: Path, progress: Callable[[int], Any], session: requests.Session, known: bool) -> None:
    """One request; returns when the file is complete, and leaves what arrived in `part` when it is not.

    `known`: the file's checksum is, so that parts of two versions would be noticed.
    """
    have, notes = _size(part), _read_notes(part)
    if have and notes.get("total") == have:
        return
    headers = dict(HEADERS)
    validator = _validator(notes)
    if have and (validator or (known and notes.get("total"))):  # otherwise the rest could be of another file
        headers["Range"] = f"bytes={have}-"
        if validator:  # the server should then send the rest only of the very same file
            headers["If-Range"] = validator
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        try:
            start, total = _understand(answer, url, have, notes, known)
        except _Stale:
            _discard(part)
            progress(-have)
            raise
        if start == 0:
            if have:
                log.info("%s starts again: the server sends it as a whole", url)
                progress(-have)
            part.write_bytes(b"")  # before the notes, which must never speak of another file's bytes
            said = {"etag": answer.headers.get("ETag"), "modified": answer.headers.get("Last-Modified")}
            _notes(part).write_text(json.dumps(said | {"total": total, "boot": verified.boot()}))
        with part.open("ab") as out:
            for chunk in answer.iter_content(CHUNK):
                before = out.tell()
                out.write(chunk)
                progress(len(chunk))
                if before // FLUSHED != out.tell() // FLUSHED:
                    out.flush()
                    os.fsync(out.fileno())
    arrived = _size(part)
    if total is not None and arrived < total:
        raise _Again(f"the connection ended after {arrived} of {total} bytes")
    if total is not None and arrived > total:
        _discard(part)
        progress(-arrived)
        raise _Again(f"{arrived} bytes arrived where {total} were announced")


def _understand(
    answer: requests.Response, url: str, have: int, notes: dict[str, Any], known: bool
) -> tuple[int, int | None]:
    """At which byte the answer's body starts, and how long the whole file is (None: not told)."""
    status = answer.status_code
    if status == 206:
        said = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        if not (said and int(said[1]) == have and int(said[2]) == (notes.get("total") or int(said[2]))):
            raise _Stale("the server sent another part than the one asked for")
        if not _same_file(answer, notes, known):
            raise _Stale("the server does not say that the rest is of the same version of the file")
        return have, int(said[2])
    if status == 416 and have:
        raise _Stale("the file on the server is shorter than what has arrived of it")
    if status == 200:
        length = answer.headers.get("Content-Length")
        encoded = answer.headers.get("Content-Encoding", "identity") != "identity"  # then the length is not the file's
        return 0, int(length) if length is not None and not encoded else None
    if status == 429 or status >= 500:
        asked = answer.headers.get("Retry-After", "")
        raise _Again(f"the server answers {status}", float(asked) if asked.isdigit() else 0.0)
    if status in (404, 410):
        raise UserError(f"{url} does not exist (the server answers {status}); check the address.")
    raise UserError(f"{url} cannot be fetched (the server answers {status} {answer.reason}); check the address.")


def _validator(notes: dict[str, Any]) -> str | None:
    """What names this version of the file for If-Range: a strong ETag, else the time of its last change."""
    tag = notes.get("etag") or ""
    return tag if tag.startswith('"') else notes.get("modified")


def _same_file(answer: requests.Response, notes: dict[str, Any], known: bool) -> bool:
    """Whether a part is of the version whose beginning has arrived: servers and caches may ignore If-Range.

    No validator that both were sent with may differ (RFC 9110, section 13.1.5), and a strong ETag or the time of the
    last change must be the same; equal weak ETags do not mean equal bytes. Where the checksum is `known`, it tells.
    """
    pairs = {
        key: (notes.get(key), answer.headers.get(header))
        for key, header in (("etag", "ETag"), ("modified", "Last-Modified"))
    }
    both = {key: (old, new) for key, (old, new) in pairs.items() if old and new}
    if any(old != new for old, new in both.values()):
        return False
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        return False
    return known or "modified" in both or ("etag" in both and both["etag"][0].startswith('"'))


def _reason(fault: Exception) -> str:
    if isinstance(fault, _Again):
        return str(fault)
    if isinstance(fault, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(fault, requests.exceptions.ChunkedEncodingError):
        return "the connection broke"
    return "there was no connection" if isinstance(fault, requests.ConnectionError) else str(fault)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _notes(part: Path) -> Path:
    return part.with_suffix(".json")


def _read_notes(part: Path) -> dict[str, Any]:
    try:
        notes = json.loads(_notes(part).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # none, or damaged: the file starts again
        return {}
    return notes if isinstance(notes, dict) else {}


def _cut_after_power_loss(part: Path) -> None:
    """Take away what may not have reached the disk when the machine went down after the download began."""
    notes, here = _read_notes(part), verified.boot()
    if not part.exists() or (here and notes.get("boot") == here):
        return
    os.truncate(part, _size(part) // FLUSHED * FLUSHED)
    if notes:
        _notes(part).write_text(json.dumps(notes | {"boot": here}))


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _notes(part).unlink(missing_ok=True)


def _move(part: Path, path: Path) -> None:
    try:
        files.put_in_place(part, path)
    except OSError as fault:
        if fault.errno != errno.EXDEV:
            raise
        with files.written_whole(path) as temporary:  # the data set's folder is a link to another disk
            shutil.copyfile(part, temporary)
        part.unlink()


def download_many(
    pairs: Sequence[tuple[str, Path]], *, at_most: int, partial: Path, retries: int = 5, backoff: float = 1.0
) -> None:
    """Download every (url, path) whose path does not exist yet, `at_most` at a time, with a progress bar.

    Two jobs may ask for the same files: the second waits for the first and finds them there. A file that fails does
    not stop the others, unless very many fail. Raises `UserError` that names the first failure and counts the rest;
    what was fetched stays.
    """
    if all(path.exists() for _, path in pairs):
        return
    partial.mkdir(parents=True, exist_ok=True)
    with (partial / ".guard").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        missing = [(url, path) for url, path in pairs if not path.exists()]
        failures: list[UserError] = []
        tried = 0
        of_thread = threading.local()

        def fetch(pair: tuple[str, Path]) -> None:
            if not hasattr(of_thread, "session"):
                of_thread.session = requests.Session()
            download(
                *pair,
                partial=partial,
                retries=retries,
                backoff=backoff,
                progress=lambda _: None,
                session=of_thread.session,
            )

        with (
            ThreadPoolExecutor(max(1, at_most)) as pool,
            tqdm(total=len(missing), desc="downloads", mininterval=1) as bar,
        ):
            jobs = [pool.submit(fetch, pair) for pair in missing]
            try:
                for job in as_completed(jobs):
                    tried += 1
                    try:
                        job.result()
                    except UserError as fault:
                        failures.append(fault)
                        if len(failures) >= GIVE_UP_AFTER:
                            break
                    bar.update()
            finally:  # also after Ctrl-C: what waits is not begun
                pool.shutdown(wait=False, cancel_futures=True)
    if failures:
        rest = f"; {len(failures) - 1} more failed" if len(failures) > 1 else ""
        untried = f", and {len(missing) - tried} were not tried any more" if tried < len(missing) else ""
        raise UserError(f"{str(failures[0]).rstrip('.')}{rest}{untried}: what was fetched is kept, so just run again.")
