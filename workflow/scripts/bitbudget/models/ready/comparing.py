"""How far weights are from the original's, also where their rows and columns were scaled against other layers'."""

from __future__ import annotations

from dataclasses import dataclass

import torch

ROUNDS = 4  # of alternating least squares, which hardly move after two
SCALED = 1.5  # times as near must scaling bring the weights, to count as the reason for the distance
STRANGE = 0.95  # relative distance of weights that the original's explain hardly better than zeros would
ROWS = 4096  # compared at a time


@dataclass(frozen=True)
class Distance:
    """Relative Frobenius distance, `scaled` where factors for rows and columns were taken out before."""

    relative: float
    scaled: bool = False

    @property
    def strange(self) -> bool:
        """Whether the weights have nothing to do with the original's."""
        return self.relative > STRANGE


def relative_distance(found: torch.Tensor, exact: torch.Tensor) -> float:
    """Frobenius norm of the difference over that of `exact`; 0 for two of zeros. Computed some rows at a time."""
    gap = size = 0.0
    for part, whole in zip(found.split(ROWS), exact.split(ROWS), strict=True):
        gap += (part.double() - whole.double()).square().sum().item()
        size += whole.double().square().sum().item()
    return (gap / size) ** 0.5 if size else float(gap > 0)


def distance(found: torch.Tensor, exact: torch.Tensor, expected: float) -> Distance:
    """How far weights (out, in) are from the original's.

    AWQ and SmoothQuant multiply a layer's columns, and divide the rows of what comes before by the same factors, which
    leaves the network's function as it is. Where the distance is larger than rounding explains (`expected`), factors
    for rows and columns are fitted by least squares, and what they leave is the distance, if that is much smaller.
    """
    plain = relative_distance(found, exact)
    if plain <= SCALED * expected:
        return Distance(plain)
    left = _after_scaling(found.float(), exact.float())
    strange = min(plain, left) > STRANGE
    return Distance(left, not strange) if SCALED * left < plain else Distance(plain)


def _after_scaling(found: torch.Tensor, exact: torch.Tensor) -> float:
    """Distance of `found` from diag(rows) `exact` diag(columns), relative to `found`, with the best such factors."""
    rows = torch.ones(len(exact), 1)
    both, square = found * exact, exact.square()
    columns = torch.ones(1, exact.shape[1])
    for _ in range(ROUNDS):
        columns = (rows * both).sum(0, keepdim=True) / (rows.square() * square).sum(0, keepdim=True).clamp(min=1e-30)
        rows = (columns * both).sum(1, keepdim=True) / (columns.square() * square).sum(1, keepdim=True).clamp(min=1e-30)
    return relative_distance(rows * exact * columns, found)
