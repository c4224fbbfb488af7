"""The one exception for everything a user can cause and mend, and the sentences that go with it."""

from __future__ import annotations

import difflib
import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class UserError(Exception):
    """Something in the input is wrong. The message is one sentence: what is wrong, where, and what would be right.

    Scripts print the sentence and exit with status 1; any other exception is a bug and shows its traceback.
    """


def reason(fault: BaseException) -> str:
    """The first line of what an exception says, short enough for a sentence; its kind where it says nothing.

    Raises the exception itself where it says that memory ran out, which is nobody's mistake.
    """
    if lacks_memory(fault):
        raise fault
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    return lines[0].rstrip(".:")[:160] if lines else type(fault).__name__


def suggest(name: Any, known: Iterable[Any]) -> str:
    """The end of a sentence about an unknown name: the closest known one, or all of them."""
    names = sorted(map(str, known))  # YAML reads a bare 3 as a number
    if not names:
        return "there is none yet: add it."
    close = difflib.get_close_matches(str(name), names, n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(names)}."


FULL = 2**16  # bytes: a writer that stopped for want of space leaves less free
AGAIN = "run the same command again"
OF_THE_DISK = {
    errno.ENOSPC: f"the disk is full (writing {{where}}): free some space and {AGAIN}.",
    errno.EDQUOT: f"your share of the disk is used up (writing {{where}}): free some space and {AGAIN}.",
    errno.EFBIG: f"{{where}} grows larger than a file may be: raise the limit (`ulimit -f unlimited`) and {AGAIN}.",
    errno.EROFS: f"{{where}} is on a disk that can only be read: mount it writable, or work elsewhere, and {AGAIN}.",
    errno.EACCES: f"this user may not read or write {{where}}: correct its owner or permissions and {AGAIN}.",
    errno.EPERM: f"this user may not change {{where}}: correct its owner or permissions and {AGAIN}.",
    errno.EIO: f"the disk fails (reading or writing {{where}}): look after it, then {AGAIN}.",
    errno.EISDIR: f"{{where}} is a folder where a file is expected: remove it and {AGAIN}.",
    errno.ENOTDIR: f"{{where}} lies in a file where a folder is expected: remove that file and {AGAIN}.",
    errno.EEXIST: f"{{where}} is in the way of another file or folder: remove it and {AGAIN}.",
    errno.ELOOP: f"{{where}} is a link that leads back to itself: remove it and {AGAIN}.",
    errno.ENAMETOOLONG: f"the name {{where}} is longer than file systems take: correct it and {AGAIN}.",
    errno.EMFILE: f"too many files are open: raise the limit (`ulimit -n 4096`) and {AGAIN}.",
}
# How libraries tell, in an exception of no kind of its own, that there is no memory left.
ON_THE_GPU = ("CUDA out of memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "HIP out of memory")
ON_THE_MACHINE = (
    "DefaultCPUAllocator",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "failed to map segment",  # a library that is being loaded
    "can't start new thread",
    os.strerror(errno.ENOMEM),
)


def lacks_memory(fault: BaseException) -> bool:
    """Whether an exception says that memory ran out: the GPU's or the machine's."""
    return not isinstance(fault, UserError) and (_lacks_gpu_memory(fault) or _lacks_machine_memory(fault))


def lack_in_one_sentence(fault: Exception) -> str | None:
    """What the machine lacks (memory, space on a disk, a permission) and the remedy; None where it is anything else."""
    said = str(fault).strip().split("\n")[0].rstrip(".")[:200] or type(fault).__name__
    if _lacks_gpu_memory(fault):
        return f"the GPU's memory ran out ({said}): set a smaller batch_size in the study and {AGAIN}."
    if _lacks_machine_memory(fault):
        return (
            f"this machine's memory ran out ({said}): end other programs, set a smaller batch_size in the study or "
            f"choose a smaller model, and {AGAIN}."
        )
    if type(fault).__name__ == "BrokenProcessPool":
        return (
            "a process of this job was ended from outside, most likely because memory ran out: end other programs or "
            f"give fewer --cores, and {AGAIN}."
        )
    if isinstance(fault, FileNotFoundError) and "temporary directory" in str(fault):
        return f"no temporary file can be written ({said}): free some space there, or set TMPDIR, and {AGAIN}."
    if isinstance(fault, OSError) and fault.errno in OF_THE_DISK:
        return OF_THE_DISK[fault.errno].format(where=fault.filename or _full_place() or "a file")
    return None


def _full_place() -> str | None:
    """The folder that has no space left, of the two where a job writes; None where both have some."""
    for place in (Path.cwd(), Path(os.environ.get("TMPDIR", "/tmp"))):
        if place.is_dir() and shutil.disk_usage(place).free < FULL:
            return f"below {place}"
    return None


def _lacks_gpu_memory(fault: BaseException) -> bool:
    # torch's OutOfMemoryError goes by its name, so that torch need not be imported here
    return type(fault).__name__ == "OutOfMemoryError" or any(words in str(fault) for words in ON_THE_GPU)


def _lacks_machine_memory(fault: BaseException) -> bool:
    return isinstance(fault, MemoryError) or any(words in str(fault) for words in ON_THE_MACHINE)
