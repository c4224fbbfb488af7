"""Formats that are calibrated (GPTQ): does a layer hold what the method would make of these weights and texts?

No grid position can be worked out from the weights alone, because rounding one column is made good by the others. What
must hold is what the method promises and optimises:

- *Grid.* GPTQ lays a group's grid where the weights are when it comes to the group. Those of the first groups have not
  moved, so in every row their scales and zero points are those of rounding to nearest (`Format.grid`).
- *No bias.* Rounding errors make up for one another: their mean is near zero against the step, over the layer and in
  nearly every group, where a zero point that is off by one moves it by a whole step.
- *Output.* On calibration inputs, as the quantized model itself makes them, the layer's output is off by no more than
  with rounding to nearest on the same grid, which is what the method is for. How far single weights go says nothing:
  where inputs are small they drift by many steps (11 times the error of rounding was seen for a row of a real model).
- *Decision.* Integers, scales and zero points are those that the solver decided on, before anything was packed
  (`formats.packed.decision`; recorded by `quantize_model`).

Columns whose input was zero in all texts are set to zero by GPTQ, and taken for zero here.
"""

from __future__ import annotations

import torch

from bitbudget.formats.base import Format, FormatSpec, Held
from bitbudget.formats.grid import Uniform, grouped
from bitbudget.formats.packed import decision

# Beside each bound, the most that was seen on SmolLM2-135M, the demo's Llama and random models, at 2 to 8 bits and
# groups of 32 to a whole row.
LAYER_BIAS = 0.1  # 0.05 steps
DRIFTED = 0.01  # 0.0006 of the groups
ROW_OUTPUT = 4.0  # 1.9 times
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
    if decided is not None and decided != decision(held.codes, grid.scale[..., 0], grid.zero[..., 0]):
        return f"holds other integers, scales or zero points than {fmt.name} decided on when it was quantized"
    exact = _without_lost(weights, exact)
    return _other_grid(grid, fmt.grid(exact, spec), fmt) or _biased(weights - exact, grid)


def output_fault_of(held: Held, original: torch.Tensor, inputs: torch.Tensor) -> str | None:
    """What is wrong with a calibrated layer's outputs on `inputs` (positions, in), or None.

    Inputs are what the layers before made of calibration texts: they say nothing where one of those is wrong.
    """
    weights = held.weights()
    exact = _without_lost(weights, original.detach().cpu().float())
    return _worse_output(weights, exact, held.grid, inputs)


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


def _biased(errors: torch.Tensor, grid: Uniform) -> str | None:
    steps = grouped(errors, grid.group_size) / grid.scale
    mean = steps.mean(-1)
    drifted = mean.abs() > 0.5 + 2 / steps.shape[-1] ** 0.5
    if not mean.mean().abs() <= LAYER_BIAS or drifted.float().mean() > DRIFTED:
        return (
            f"has weights that are off to one side, as with a wrong zero point ({mean.mean():+.2f} steps on average; "
            f"{drifted.sum()} of {drifted.numel()} groups by more than half a step)"
        )
    return None


def _worse_output(weights: torch.Tensor, exact: torch.Tensor, grid: Uniform, inputs: torch.Tensor) -> str | None:
    x = inputs.float()
    found = (x @ (weights - exact).T).square().sum(0)
    nearest = (x @ (grid.nearest(exact) - exact).T).square().sum(0)
    if not found.sum() <= nearest.sum():
        times = (found.sum() / nearest.sum()).sqrt().item()
        return f"changes its output {times:.2f} times as much as rounding to nearest on the same grid would"
    far = found > ROW_OUTPUT * nearest + 1e-6 * nearest.mean()
    if far.any():
        row = far.nonzero()[0].item()
        times = (found[row] / nearest[row]).sqrt().item()
        return f"changes output feature {row} {times:.1f} times as much as rounding to nearest on the same grid would"
    return None
