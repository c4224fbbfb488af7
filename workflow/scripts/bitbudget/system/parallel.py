"""Work shared out over processes, never more of them than were granted."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

FEW = 16  # below this many jobs, starting processes costs more than they save


def workers(threads: int | None = None) -> int:
    """How many processes may work: `threads` where given, else OMP_NUM_THREADS (Snakemake sets it), else the cores."""
    granted = os.environ.get("OMP_NUM_THREADS", "")
    if threads is None and granted.isdigit():
        threads = int(granted)
    if threads is None:
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, threads)


def in_order(
    function: Callable[[Job], Result], jobs: Sequence[Job], *, threads: int | None = None, title: str
) -> Iterator[Result]:
    """The results of `function` for each job, in the order of the jobs, with a progress bar called `title`.

    `function` must be importable (a module's function, or a `functools.partial` of one). Its exceptions come through.
    """
    from tqdm import tqdm

    count = min(workers(threads), len(jobs))
    if count <= 1 or len(jobs) < FEW:
        yield from tqdm(map(function, jobs), total=len(jobs), desc=title, mininterval=1)
        return
    # Fresh processes: forking a process that already runs threads (torch, OpenMP) can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        results = pool.map(function, jobs, chunksize=max(1, min(8, len(jobs) // (4 * count))))
        try:
            yield from tqdm(results, total=len(jobs), desc=title, mininterval=1)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
