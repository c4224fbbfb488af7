"""What reaches the layers of a loaded model when it reads calibration texts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

MOST = 512  # positions; of one text each is much like its neighbours, so several texts are read


def inputs_of(
    model: nn.Module, paths: Sequence[str], texts: Sequence[list[int]], device: str
) -> dict[str, torch.Tensor]:
    """The inputs (positions, in) of the layers at these paths, on the CPU in the model's dtype; at most `MOST` of each.

    `texts` are token numbers. The first `MOST` / 16 positions of each are read, so that 16 texts have a part in it.
    """
    found: dict[str, list[torch.Tensor]] = {path: [] for path in paths}

    def keep(path: str):
        return lambda _, given: found[path].append(given[0].reshape(-1, given[0].shape[-1]).cpu())

    hooks = [model.get_submodule(path).register_forward_pre_hook(keep(path)) for path in paths]
    each, left = MOST // 16, MOST
    try:
        with torch.inference_mode():
            for text in texts:
                if left <= 0:
                    break
                model(input_ids=torch.tensor([text[:each]], device=device))
                left -= len(text[:each])
    finally:
        for hook in hooks:
            hook.remove()
    return {path: torch.cat(parts) for path, parts in found.items() if parts}
