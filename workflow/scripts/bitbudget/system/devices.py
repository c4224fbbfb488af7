"""Which device a job computes on, and the sentence when it is not there."""

from __future__ import annotations

from bitbudget.errors import UserError


def choose_device(wanted: str) -> str:
    """`cpu` or `cuda` for the study's `device` (`auto`, `cpu` or `cuda`).

    Raises `UserError` where a GPU is asked for and torch finds none.
    """
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        build = f"this torch is a build for {'CUDA ' + torch.version.cuda if torch.version.cuda else 'CPUs only'}"
        raise UserError(
            f"the study asks for device cuda, but torch finds no GPU ({build}): "
            "set `device: auto` or `device: cpu` in the study, or install a CUDA build of torch and the driver."
        )
    return wanted
