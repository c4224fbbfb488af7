"""How a script ends: in one sentence for what a user can mend, in a traceback for a bug, and with the run it is of."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"


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


def test_a_gpu_without_memory_left_is_one_sentence():
    body = """
        class OutOfMemoryError(RuntimeError):
            pass
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\\nSee the documentation")
    """
    process = script(body)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 1
    assert err.startswith("error: ") and err.count("\n") == 1
    assert "memory" in err and "batch_size" in err


@pytest.mark.parametrize("fault", ["ValueError('a bug')", "OSError(errno.EACCES, 'Permission denied', 'x')"])
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
