"""How a script ends: in one sentence for what a user can mend, in a traceback for a bug, and with the run it is of."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"


def script(body, run=""):
    """A process that runs `body` as a script's main function, in the run of this process id."""
    code = "import errno, time\nfrom bitbudget import cli\nfrom bitbudget.errors import UserError\n\n\ndef main():\n"
    code += textwrap.indent(textwrap.dedent(body), "    ") + "\n\n\ncli.run(main)\n"
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS), "BITBUDGET_RUN": run}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("raise UserError('the prompt is empty; write one.')", 1, "error: the prompt is empty; write one.\n"),
        (
            "raise OSError(errno.ENOSPC, 'No space left on device', 'big.bin')",
            1,
            "error: the disk is full (writing big.bin): free some space and run the same command again.\n",
        ),
        ("raise KeyboardInterrupt", 130, "interrupted: run the same command again to go on from here.\n"),
        ("cli.log.info('done')", 0, "done\n"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(body, status, said):
    process = script(body)
    out, err = process.communicate(timeout=600)
    assert (process.returncode, out, err) == (status, "", said)


MEMORY = (
    "error: this machine's memory ran out ({}): end other programs, set a smaller batch_size in the study or choose"
)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("OSError(errno.EDQUOT, 'x', 'a.bin')", "error: your share of the disk is used up (writing a.bin): free some"),
        ("OSError(errno.EFBIG, 'x', 'a.bin')", "error: a.bin grows larger than a file may be: raise the limit"),
        ("OSError(errno.EROFS, 'x', 'a.bin')", "error: a.bin is on a disk that can only be read: mount it writable"),
        ("OSError(errno.EACCES, 'x', 'a.bin')", "error: this user may not read or write a.bin: correct its owner"),
        ("OSError(errno.EPERM, 'x', 'a.bin')", "error: this user may not change a.bin: correct its owner"),
        ("OSError(errno.EIO, 'x', 'a.bin')", "error: the disk fails (reading or writing a.bin): look after it"),
        ("OSError(errno.EISDIR, 'x', 'a.part')", "error: a.part is a folder where a file is expected: remove it"),
        ("OSError(errno.ENOTDIR, 'x', 'a/b')", "error: a/b lies in a file where a folder is expected: remove"),
        ("OSError(errno.EEXIST, 'x', 'results')", "error: results is in the way of another file or folder: remove it"),
        ("OSError(errno.ELOOP, 'x', 'a')", "error: a is a link that leads back to itself: remove it"),
        ("OSError(errno.ENAMETOOLONG, 'x', 'aaa')", "error: the name aaa is longer than file systems take: correct it"),
        ("OSError(errno.ENOSPC, 'x')", "error: the disk is full (writing a file): free some space"),
        ("OSError(errno.ENOMEM, 'Cannot allocate memory')", MEMORY.format("[Errno 12] Cannot allocate memory")),
        ("MemoryError()", MEMORY.format("MemoryError")),
        ("RuntimeError(\"[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory\")",
         "error: this machine's memory ran out ([enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: "),
        ("ImportError('libx.so: failed to map segment from shared object')",
         "error: this machine's memory ran out (libx"),
        ("RuntimeError('std::bad_alloc')", MEMORY.format("std::bad_alloc")),
        ("RuntimeError(\"can't start new thread\")", MEMORY.format("can't start new thread")),
        ("RuntimeError('CUDA error: out of memory\\nmore')",
         "error: the GPU's memory ran out (CUDA error: out of memory): set a smaller batch_size in the study and run"),
        ("RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling x')", "error: the GPU's memory ran out ("),
        ("type('OutOfMemoryError', (RuntimeError,), {})('CUDA out of memory. Tried to allocate 2.00 GiB.\\nSee')",
         "error: the GPU's memory ran out (CUDA out of memory. Tried to allocate 2.00 GiB): set a smaller batch_size"),
        ("type('BrokenProcessPool', (RuntimeError,), {})('x')", "error: a process of this job was ended from outside"),
        ("FileNotFoundError(errno.ENOENT, \"No usable temporary directory found in ['/tmp']\")",
         "error: no temporary file can be written ("),
    ],
)  # fmt: skip
def test_what_the_machine_lacks_is_one_sentence_with_a_remedy(fault, said):
    process = script(f"raise {fault}")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 1
    assert err.startswith(said) and err.count("\n") == 1
    assert err.endswith("run the same command again.\n")


# What really is raised where a process may take no more memory (its address space is limited).
HUNGRY = {
    "python": "bytearray(2**42)",
    "numpy": "__import__('numpy').ones(2**40)",
    "torch": "__import__('torch').ones(2**40)",
    "many small": "[bytes(10**6) for _ in range(10**7)]",
    "a map": "__import__('mmap').mmap(-1, 2**42)",
    "a picture": "__import__('PIL.Image').Image.new('RGB', (60_000, 60_000))",
}


@pytest.mark.parametrize("kind", HUNGRY)
def test_a_machine_without_memory_left_is_one_sentence(kind):
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, 6 * 2**30))\n"
    process = script(f"{limit}{HUNGRY[kind]}")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 1
    assert err.startswith("error: this machine's memory ran out (") and err.count("\n") == 1, err


def test_nothing_that_a_library_does_at_the_end_follows_the_sentence():
    """torch imports a package at exit, which fails where there is no memory."""
    process = script("import atexit\natexit.register(lambda: bytearray(2**62))\nraise MemoryError")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 1
    assert err.startswith("error: this machine's memory ran out") and err.count("\n") == 1


def test_a_users_mistake_that_speaks_of_memory_stays_its_own_sentence():
    process = script("raise UserError('not enough memory for CUDA out of memory.')")
    assert process.communicate(timeout=600)[1] == "error: not enough memory for CUDA out of memory.\n"


@pytest.mark.parametrize("fault", ["ValueError('a bug')", "OSError(errno.ECHILD, 'No child processes')"])
def test_a_bug_is_a_traceback(fault):
    process = script(f"raise {fault}")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "Traceback" in err


def test_a_script_ends_soon_after_its_run():
    run = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(900)"])
    job = script("cli.log.info('at work')\ntime.sleep(900)", run=str(run.pid))
    try:
        assert job.stderr.readline() == "at work\n"
        time.sleep(1.5)
        assert job.poll() is None  # while the run lives
        run.kill()
        run.wait()
        assert job.wait(timeout=300) == 130
    finally:
        for process in (run, job):
            process.kill()
            process.communicate()


@pytest.mark.parametrize("run", ["", "none"])
def test_a_script_that_was_started_by_hand_goes_on(run):
    process = script("time.sleep(1.5)", run=run)
    process.communicate(timeout=600)
    assert process.returncode == 0
