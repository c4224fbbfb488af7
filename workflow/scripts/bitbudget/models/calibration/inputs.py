"""What reaches the layers of a loaded model when it reads calibration items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from bitbudget.models.calibration.walk import moved, suit

MOST = 512  # positions; of one item each is much like its neighbours, so several items are read
TEXTS, PICTURES = 16, 4  # so many items have a part in it: a picture makes many positions, and takes its time
READING = {"input_ids", "attention_mask"}


def inputs_of(
    model: nn.Module, paths: Sequence[str], inputs: Iterable[Mapping[str, torch.Tensor]], device: str
) -> dict[str, torch.Tensor]:
    """The inputs (positions, in) of the layers at these paths, on the CPU in the model's dtype; at most `MOST` of each.

    `inputs` are the model's keyword arguments for each calibration item. Of a text the first positions are read, of an
    item with pictures all, of which some are kept that lie evenly apart. A layer that none reaches is left out.
    """
    suit(inputs, model)
    found: dict[str, list[torch.Tensor]] = {path: [] for path in paths}
    each = 0

    def keep(path: str):
        def hook(_, given: tuple[torch.Tensor, ...]) -> None:
            rows = given[0].reshape(-1, given[0].shape[-1])
            some = torch.linspace(0, len(rows) - 1, min(each, len(rows))).long()
            found[path].append(rows[some.to(rows.device)].cpu())

        return hook

    hooks = [model.get_submodule(path).register_forward_pre_hook(keep(path), prepend=True) for path in paths]
    left = MOST
    try:
        with torch.inference_mode():
            for given in inputs:
                if left <= 0:
                    break
                texts = set(given) <= READING
                each = MOST // (TEXTS if texts else PICTURES)
                read = {name: value[:, :each] for name, value in given.items()} if texts else given
                model(**moved(read, device, model.dtype))
                left -= min(each, given["input_ids"].shape[1])
    finally:
        for hook in hooks:
            hook.remove()
    return {path: torch.cat(parts) for path, parts in found.items() if parts}
