"""Formats that are calibrated (GPTQ, AWQ): does a layer hold what the method would make of these weights and items?

AWQ rounds to nearest, once its factors are known: it is held to its definition (`rounding`), and with GPTQ to the last
two points below. Of GPTQ no grid position can be worked out from the weights alone, because rounding one column is made
good by the others. What must hold is what the method promises and optimises:

- *Grid.* GPTQ lays a group's grid where the weights are when it comes to the group. Those of the first groups have not
  moved, so in every row their scales and zero points are those of rounding to nearest (`Format.grid`).
- *Rows.* They are still the original's: in the median row the cosine of the two is far from that of strangers. (In a
  single row of a real model at 3 bits it was 0.06, and the outputs were right; in one of a random model at 2 bits the
  outputs' was -0.77 and the weights' 0.69. So a single row is a stranger where both are low.)
- *No bias.* Rounding errors make up for one another: their mean is small against the step in most groups, where a zero
  point that is off by one moves it by a whole step.
- *Output.* On calibration inputs, as the quantized model itself makes them, the layer's output is off by no more than
  with rounding to nearest on the same grid, which is what the method is for (a tenth more is left to inputs that the
  solver did not see). How far single weights go says nothing: where inputs are small they drift by many steps (11 times
  the error of rounding was seen for a row of a real model).
- *Decision.* Integers, scales and zero points are those that the solver decided on, before anything was packed
  (`formats.packed.decision`; recorded by `quantize_model`).

Columns whose input was zero in all items are set to zero by GPTQ, and taken for zero here.
"""

from __future__ import annotations

import torch
from torch import nn

from bitbudget.models.formats.base import Format, FormatSpec, Held
from bitbudget.models.formats.grid import Uniform, grouped, spread
from bitbudget.models.formats.packed import decision

# Beside each bound, the most that was seen on SmolLM2-135M, the demo's Llama and random models with odd weights, at 2
# to 8 bits and groups of 16 to a whole row.
BIAS = 0.5  # 0.11 steps in the median group, and 0.41 where a part of every row has no negative values
DRIFTED = 1 / 3  # 0.07 of the groups, and 0.22 there
ALIKE = 0.15  # 0.23, at 2 bits whole rows with one weight 40 times as large as the others
OUTPUT = 1.1  # 1.01 times, at 2 bits a whole row with such a weight
ROW_OUTPUT = 6.0  # 1.4 times, and 4.1 where one input feature has weights 40 times as large as the others
HALF = 2**-10
HALF_STEP = 2**-24  # between float16's smallest numbers


def fault_of(
    held: Held,
    original: torch.Tensor,
    fmt: Format,
    spec: FormatSpec,
    decided: str | None = None,
) -> str | None:
    """What is wrong with a calibrated layer's weights against the original's (out, in), but for its outputs, or None.

    `decided` is the recorded `decision`; without it that question is not asked.
    """
    exact = original.detach().cpu().float()
    weights, grid = held.weights(), held.grid
    if not weights.isfinite().all():
        return "has weights that are no numbers"
    if fault := other_decision(held, fmt, decided):
        return fault
    kept = _without_lost(weights, exact)
    # It lays the grid of whole rows before it sets columns to zero, and those of groups after.
    first = fmt.grid(exact if spec["group_size"] == -1 else kept, spec)
    return _other_grid(grid, first, fmt) or _other_rows(weights, kept) or _biased(weights, kept, grid)


def other_decision(held: Held, fmt: Format, decided: str | None) -> str | None:
    """That a layer holds something else than was recorded when it was quantized, or None; also where nothing was."""
    grid = held.grid
    if decided is None or decided == decision(held.codes, grid.scale[..., 0], grid.zero[..., 0]):
        return None
    return f"holds other integers, scales or zero points than {fmt.name} decided on when it was quantized"


def output_fault_of(
    held: Held, original: torch.Tensor, inputs: torch.Tensor, fmt: Format, spec: FormatSpec
) -> str | None:
    """What is wrong with a calibrated layer's outputs on `inputs` (positions, in), or None.

    Inputs are what the layers before made of calibration items: they say nothing where one of those is wrong. What
    rounding to nearest would do is reckoned on the layer's own grid, and where that is of weights which were multiplied
    with factors (AWQ), on the grid of the weights as they are.
    """
    weights, exact = held.weights(), original.detach().cpu().float()
    if fmt.rounds_to_nearest:
        return _worse_output(weights, exact, fmt.grid(exact, spec), inputs)
    return _worse_output(weights, _without_lost(weights, exact), held.grid, inputs)


def _without_lost(weights: torch.Tensor, exact: torch.Tensor) -> torch.Tensor:
    """The original without the columns that are zero in the layer, as GPTQ sees them."""
    return exact.masked_fill((weights == 0).all(0), 0)


def _other_grid(grid: Uniform, first: Uniform, fmt: Format) -> str | None:
    same = (grid.scale - first.scale).abs() <= HALF * first.scale + HALF_STEP
    same &= grid.zero == first.zero
    if same.all(0).any():
        return None
    ratio = (grid.scale / first.scale).median().item()
    return (
        f"has no group whose scales and zero points are those that {fmt.name} begins with for these weights "
        f"(its scales are {ratio:.3f} times those, in the median)"
    )


def _other_rows(weights: torch.Tensor, exact: torch.Tensor) -> str | None:
    alike = (weights * exact).sum(1) / (weights.norm(dim=1) * exact.norm(dim=1))
    alike = alike[(exact != 0).any(1)]
    if not alike.numel() or alike.median() >= ALIKE:
        return None
    return f"has weights that are not the original's (the cosine of the median row is {alike.median():.2f})"


def _biased(weights: torch.Tensor, exact: torch.Tensor, grid: Uniform) -> str | None:
    """Weights beyond a group's grid are taken for its end: GPTQ cuts off symmetric groups without negative values."""
    low, high = (spread(end * grid.scale, grid.group_size, exact.shape[1]) for end in (grid.low, grid.high))
    steps = grouped(weights - exact.clamp(low, high), grid.group_size) / grid.scale
    mean = steps.mean(-1)
    drifted = mean.abs() > 0.5 + 2 / steps.shape[-1] ** 0.5
    if not mean.median().abs() <= BIAS or drifted.float().mean() > DRIFTED:
        return (
            f"has weights that are off to one side, as with a wrong zero point ({mean.median():+.2f} steps in the "
            f"median group; {drifted.sum()} of {drifted.numel()} groups by more than half a step)"
        )
    return None


def _worse_output(weights: torch.Tensor, exact: torch.Tensor, grid: Uniform, inputs: torch.Tensor) -> str | None:
    x = inputs.float()
    cosine = nn.functional.cosine_similarity
    alike = cosine(x @ weights.T, x @ exact.T, dim=0)
    if (strange := ~(alike >= ALIKE) & ~(cosine(weights, exact) >= ALIKE) & (exact != 0).any(1)).any():
        row = strange.nonzero()[0].item()
        return f"does not compute output feature {row} of the original (the cosine of the two is {alike[row]:.2f})"
    found = (x @ (weights - exact).T).square().sum(0)
    nearest = (x @ (grid.nearest(exact) - exact).T).square().sum(0)
    # Scales were rounded to float16 afterwards, which changes small ones much.
    rounded = spread(HALF / 2 + HALF_STEP / 2 / grid.scale, grid.group_size, exact.shape[1])
    allowed = nearest + (x @ (weights * rounded).T).square().sum(0)
    if not found.sum() <= OUTPUT**2 * allowed.sum():
        times = (found.sum() / nearest.sum()).sqrt().item()
        return f"changes its output {times:.2f} times as much as rounding to nearest on the same grid would"
    far = found > ROW_OUTPUT**2 * allowed + 1e-6 * nearest.mean()
    if far.any():
        row = far.nonzero()[0].item()
        times = (found[row] / nearest[row]).sqrt().item()
        return f"changes output feature {row} {times:.1f} times as much as rounding to nearest on the same grid would"
    return None
