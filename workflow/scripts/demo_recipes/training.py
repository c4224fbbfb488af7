"""Training that can be interrupted, for the recipes of the demo models."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from bitbudget import files


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over 100 steps, then half a cosine down to a fiftieth of the peak."""
    if step < 100:
        return peak * (step + 1) / 100
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - 100) / max(1, steps - 100))))


def train(
    parameters: Iterator[torch.nn.Parameter],
    loss_of: Callable[[Any], torch.Tensor],
    batches: torch.utils.data.Dataset,
    *,
    name: str,
    peak: float,
    folder: Path,
    state_of: torch.nn.Module,
    examine: Callable[[], dict[str, float]],
) -> None:
    """One stage of training; its state is kept every 200 steps, and a stage that was interrupted goes on from there."""
    parameters = list(parameters)
    optimizer = torch.optim.AdamW(parameters, lr=peak, betas=(0.9, 0.98), weight_decay=0.05)
    state, log = folder / f"{name}_state.pt", folder / "training_log.jsonl"
    steps, first = len(batches), 0
    if state.exists():
        saved = torch.load(state)
        state_of.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]
    loader = torch.utils.data.DataLoader(
        torch.utils.data.Subset(batches, range(first, steps)), batch_size=None, num_workers=1, prefetch_factor=8
    )
    started, running = time.perf_counter(), None
    for step, batch in enumerate(loader, start=first):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, peak)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        running = loss.item() if running is None else 0.95 * running + 0.05 * loss.item()
        done = step + 1
        if done % 50 == 0 or done == steps:
            line = {"stage": name, "step": done, "loss": round(running, 4)}
            line["seconds"] = round(time.perf_counter() - started, 1)
            if done % 200 == 0 or done == steps:
                line |= examine()
                kept = {"model": state_of.state_dict(), "optimizer": optimizer.state_dict(), "step": done}
                with files.written_whole(state) as temporary:
                    torch.save(kept, temporary)
            with log.open("a") as out:
                out.write(json.dumps(line) + "\n")
            print(line, flush=True)
