"""Formats that round each weight to the nearest value of a grid: is what a layer holds exactly that?

The grid is worked out from the original weights by the format's definition in plain torch. What the layer's tensors
stand for is worked out in plain torch too, and compared group by group and weight by weight. Three things must hold:
the grid is the definition's, every weight went to the value of the grid nearest to it, and no weight is left out. What
rounding leaves open is small and stated by the format (`Freedom`): which way a weight goes that lies in the middle, and
the last digit of a scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bitbudget.models.formats.base import Format, FormatSpec, Freedom, Held, parts
from bitbudget.models.formats.grid import Grid, spread

SMALLEST = torch.finfo(torch.float32).smallest_normal


@dataclass
class Comparison:
    """A layer's weights against its format's definition: squared Frobenius norms, and what is not as promised."""

    size: float = 0.0
    error: float = 0.0
    promised: float = 0.0
    wrong_groups: int = 0
    wrong: int = 0
    first: str | None = None

    @property
    def relative_error(self) -> float:
        """Of the weights that are held, against the original's."""
        return (self.error / (self.size or 1.0)) ** 0.5

    @property
    def promised_error(self) -> float:
        """Of the weights as the definition rounds them."""
        return (self.promised / (self.size or 1.0)) ** 0.5


def compare(held: Held, original: torch.Tensor, fmt: Format, spec: FormatSpec, freedom: Freedom) -> Comparison:
    """Hold what a layer's tensors stand for against what its format makes of the original weights (out, in)."""
    found = Comparison()
    for part in parts(held.codes):
        exact = original[part].detach().to(held.codes.device)
        factors = 1 if held.factors is None else held.factors
        scaled = exact if held.factors is None else exact.float() / factors
        grid = fmt.grid(scaled, spec)
        nearest, weights = grid.nearest(scaled) * factors, held.weights(part)
        found.size += exact.float().norm().item() ** 2
        found.error += (weights - exact).norm().item() ** 2
        found.promised += (nearest - exact).norm().item() ** 2
        if held.grid is None:
            # Rounded values kept as floats: they are the definition's to the last bit of their dtype.
            bad = weights != nearest.to(original.dtype)
        else:
            mine, moved = held.grid.rows(part), None if held.scale_error is None else held.scale_error[part]
            groups = _other_scales(mine, grid, moved, freedom)
            found.wrong_groups += groups.sum().item()
            # Which values lie nearest is looked at again where they are not the same: it may be a tie, and where the
            # scales were rounded afterwards, the weights had been rounded beside the definition's.
            bad = spread(groups, grid.group_size, exact.shape[1]) | (weights != nearest)
            rows = bad.any(1)
            if rows.any():
                beside = (mine if moved is None else grid).rows(rows)
                other = spread(groups[rows], grid.group_size, exact.shape[1])
                bad[rows] = other | _not_nearest(held.codes[part][rows], beside, scaled[rows], freedom)
        # The scale of zeros means nothing, and kernels may take numbers below the smallest normal one for zero.
        bad &= ~((weights.abs() < SMALLEST) & (nearest.abs() < SMALLEST))
        found.wrong += bad.sum().item()
        if found.first is None and bad.any():
            row, column = bad.nonzero()[0].tolist()
            found.first = (
                f"row {part.start + row}, column {column}: {weights[row, column]:.6g}, where the original is "
                f"{exact[row, column].item():.6g} and {fmt.name} makes {nearest[row, column]:.6g} of it"
            )
    return found


def fault_of(found: Comparison, fmt: Format) -> str | None:
    """What is not as the format promises, in words, or None."""
    if not found.wrong:
        return None
    if not found.relative_error <= 1.1 * found.promised_error:  # also where it is NaN
        return (
            f"has weights that are off by {found.relative_error:.3f}, where {fmt.name} promises "
            f"{found.promised_error:.3f} for them ({found.first})"
        )
    if found.relative_error < 0.5 * found.promised_error:
        return (
            f"has weights that are off by {found.relative_error:.4f} only, so they were not rounded as {fmt.name} "
            f"rounds ({found.first})"
        )
    if found.wrong_groups:
        what = f"{found.wrong_groups} scale{'s' * (found.wrong_groups > 1)}"
        return f"has {what} unlike those that {fmt.name} gives to these weights ({found.first})"
    return f"has {found.wrong} weight{'s' * (found.wrong > 1)} not as {fmt.name} rounds them ({found.first})"


def _other_scales(mine: Grid, grid: Grid, moved: torch.Tensor | None, freedom: Freedom) -> torch.Tensor:
    """Which groups (rows, groups, 1) have a grid that is not the definition's."""
    if mine.scale.shape != grid.scale.shape:
        return torch.ones_like(grid.scale, dtype=torch.bool)
    allowed = freedom.scale * grid.scale.abs() + torch.where(grid.scale <= freedom.least_scale, grid.scale, 0)
    if moved is not None:
        allowed = allowed + moved
    scales = (mine.scale - grid.scale).abs() <= allowed
    offsets = (mine.offset - grid.offset).abs() <= 16 * allowed + freedom.scale * grid.offset.abs()
    return ~(scales & offsets)


def _not_nearest(codes: torch.Tensor, grid: Grid, exact: torch.Tensor, freedom: Freedom) -> torch.Tensor:
    """Which weights (rows, in) got another value of the grid than the nearest."""
    slack = freedom.tie * spread(grid.scale.abs(), grid.group_size, exact.shape[1])
    return ~((grid.values(codes) - exact).abs() <= (grid.nearest(exact) - exact).abs() + slack)
