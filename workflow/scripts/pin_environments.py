"""Write the conda environments envs/*.yaml from envs/groups.toml and the locks: each package with all that it needs."""

from __future__ import annotations

import importlib.metadata
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bitbudget import cli, files
from bitbudget.errors import UserError

ROOT = Path(__file__).parents[2]
GROUPS = ROOT / "envs/groups.toml"
LOCKS = (ROOT / "requirements.lock", ROOT / "requirements-gptq.lock")
# conda-forge alone. `nodefaults` would be taken for a channel by conda 26.7 and later, which then creates nothing.
CHANNELS = ("conda-forge",)
# The CUDA build of torch brings these in versions of its own choice; its CPU build brings none.
CUDA_OF_TORCH = ("nvidia-", "cuda-", "triton")


def main() -> None:
    """Write every environment anew; run in the environment that the locks describe."""
    arguments = cli.parser(__doc__)
    arguments.add_argument("--out-dir", type=Path, default=ROOT / "envs", help="folder to write to")
    args = arguments.parse_args()
    groups, pins = read_groups(), locked()
    for name in groups["envs"]:
        files.write_text(args.out_dir / f"{name}.yaml", environment(name, groups, pins))


def read_groups() -> dict[str, Any]:
    """The content of envs/groups.toml: `python`, `pip`, and `envs` with each environment's `conda`, `pypi`, `lock`."""
    content = tomllib.loads(GROUPS.read_text(encoding="utf-8"))
    return {key: content.pop(key) for key in ("python", "pip")} | {"envs": content}


def locked(locks: Iterable[Path] = LOCKS) -> dict[str, str]:
    """The version of every package in these locks, by canonical name."""
    lines = [line for path in locks for line in path.read_text(encoding="utf-8").splitlines()]
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pins}


def environment(name: str, groups: Mapping[str, Any], pins: Mapping[str, str]) -> str:
    """The text of an environment's file: what its packages need, or all of a `lock` that is its own.

    Raises `UserError` for a package that the locks do not pin or that is not installed here.
    """
    own = groups["envs"][name]
    if "lock" in own:
        pins = locked([ROOT / own["lock"]])
    from_conda = sorted([*own.get("conda", ()), f"python={groups['python']}", f"pip={groups['pip']}"])
    needed = set(pins) if "lock" in own else closure(own["pypi"], groups["python"])
    unpinned = sorted(needed - set(pins))
    if unpinned:
        raise UserError(f"envs/{name}.yaml needs {', '.join(unpinned)}, which no lock pins: run `make lock` first.")
    lines = ["# Written by `make envs` from envs/groups.toml and the locks.", "channels:"]
    lines += [f"  - {channel}" for channel in CHANNELS]
    lines += ["dependencies:", *(f"  - {entry}" for entry in from_conda), "  - pip:"]
    lines += [f"      - {entry}" for entry in sorted(f"{package}=={pins[package]}" for package in needed)]
    return "\n".join(lines) + "\n"


def closure(packages: Iterable[str], python: str) -> set[str]:
    """These packages with all that they need on Linux, by canonical name, but for the CUDA packages of torch.

    What a package needs is what it says where it is installed, here; `python` is the version that is asked for. Raises
    `UserError` for a package that is not installed here.
    """
    found: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(name), "") for name in packages]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        waiting += [
            (canonicalize_name(needed.name), more)
            for needed in _needs(name, extra, python)
            if not (name == "torch" and needed.name.startswith(CUDA_OF_TORCH))
            for more in ("", *sorted(needed.extras))
        ]
    return {name for name, _ in found}


def _needs(name: str, extra: str, python: str) -> Iterator[Requirement]:
    """What a package asks for under one of its extras; under "" what it always asks for."""
    target = {
        "extra": extra, "implementation_name": "cpython", "implementation_version": python, "os_name": "posix",
        "platform_machine": "x86_64", "platform_python_implementation": "CPython", "platform_system": "Linux",
        "python_full_version": python, "python_version": python.rpartition(".")[0], "sys_platform": "linux",
    }  # fmt: skip
    try:
        wanted = importlib.metadata.requires(name) or ()
    except importlib.metadata.PackageNotFoundError:
        raise UserError(f"{name} is not installed here: run `make envs`, which works in .venv.") from None
    for needed in map(Requirement, wanted):
        if needed.marker is None or needed.marker.evaluate(target):
            yield needed


if __name__ == "__main__":
    cli.run(main)
