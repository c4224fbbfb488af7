"""Which Python and which programs a job finds: those of its environment, else those of the Snakemake that runs it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# No package of the user's site-packages may slip into an environment, and nothing but the fetch rules goes online.
ALWAYS = {"PYTHONNOUSERSITE": "1", "HF_HUB_OFFLINE": "1"}
# How conda makes environments of conda-forge alone, whose files name no other channel. It asks the channels of the
# user's .condarc after that one, and Snakemake has no option against it. So `defaults` means conda-forge, too, and what
# conda-forge has is taken from nowhere else. (conda's documentation: "Using the .condarc conda configuration file".)
FOR_CONDA = {"CONDA_DEFAULT_CHANNELS": "conda-forge", "CONDA_CHANNEL_PRIORITY": "strict"}

# The kernel kills without a word what takes more memory than there is; 137 is the status of what was killed.
KILLED = (
    "trap '[ $? -ne 137 ] || echo \"error: this job was killed; if nobody did that, memory ran out: end other "
    "programs, set a smaller batch_size in the study or choose a smaller model, and run the same command "
    "again.\" >&2' EXIT"
)


def tensorflow_python(root: Path, python: str, conda: bool) -> str:
    """The Python of TensorFlow's jobs: of their conda environment, of `make tensorflow`, or else the running one."""
    own = root / ".venv-tensorflow/bin/python"
    return "python" if conda else str(own) if own.exists() else python


def prefix(
    python: str, snakemake: str, conda: bool, more: Mapping[str, str], environment: Mapping[str, str] = os.environ
) -> str:
    """What every rule's shell command begins with, as `shell.prefix` takes it: Snakemake formats it.

    `python` is the path of the interpreter that runs Snakemake, `snakemake` its version, `more` variables to set, and
    `conda` says whether rules run in conda environments. These are activated before the prefix, so it must not stand in
    their way. Without them `python` is the running one, whatever the PATH calls so, and programs are looked for beside
    it first, as in a virtual environment that was activated; where the PATH has its folder, in the order of the PATH.

    The command itself is the same either way, so that nothing is rerun by a change from one to the other.
    """
    # A prefix takes the place of Snakemake's own, which is the first of these: without pipefail, `| tee` would hide
    # that a script failed. A script ends when the run that started it has ended (bitbudget.cli), even by `kill -9`.
    words = [f"{name}={shlex.quote(value)}" for name, value in {**ALWAYS, **more}.items()]
    words += ["BITBUDGET_RUN=$PPID", f"BITBUDGET_PYTHON={shlex.quote(python)}"]
    words += [f"BITBUDGET_SNAKEMAKE={shlex.quote(snakemake)}"]
    lines = ["set -euo pipefail", KILLED, f"export {' '.join(words)}"]
    if not conda:
        lines.append('python() { "$BITBUDGET_PYTHON" "$@"; }')
        beside = str(Path(python).parent)
        if beside not in environment.get("PATH", "").split(os.pathsep):
            lines.append(f'export PATH={shlex.quote(beside)}:"$PATH"')
    return "; ".join(lines).replace("{", "{{").replace("}", "}}") + "; "


def options(settings: Any) -> list[str]:
    """The options that give another Snakemake the same environments, of `workflow.deployment_settings`.

    Folders are absolute, as the other may run elsewhere: an environment belongs to the folder that it lies in.
    """
    methods = sorted(str(method) for method in settings.deployment_method)
    found = ["--software-deployment-method", *methods] if methods else []
    folders = {
        "--conda-prefix": settings.conda_prefix or ("conda" in methods and ".snakemake/conda"),
        "--conda-base-path": settings.conda_base_path,
        "--apptainer-prefix": settings.apptainer_prefix or ("apptainer" in methods and ".snakemake/singularity"),
    }
    found += [f"{option}={Path(folder).absolute()}" for option, folder in folders.items() if folder]
    if settings.conda_cleanup_pkgs:
        found.append(f"--conda-cleanup-pkgs={settings.conda_cleanup_pkgs}")
    if settings.conda_not_block_search_path_envvars:
        found.append("--conda-not-block-search-path-envvars")
    if settings.apptainer_args:
        found.append(f"--apptainer-args={settings.apptainer_args}")
    return found
