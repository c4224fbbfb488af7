"""Train the demo vision-language model from its recipe (a bit over an hour on two cores; resumable).

The vision tower first learns to tell what each patch shows; then the whole model learns to write captions and to
answer questions, also after worked examples with pictures of their own; then it learns to read signs, and last it
goes over everything once more.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from bitbudget.demo.vlm import (
    Batches,
    Lesson,
    PatchBatches,
    PatchReader,
    build_model,
    build_processor,
    held_out,
    save,
)

# What follows the vision tower's own lesson: steps, share of the peak learning rate, and what `Batches` is told.
STAGES: dict[str, dict[str, Any]] = {
    "talks": {"steps": 2400, "rate": 1.0, "captions": 0.3, "signs": 0.4, "words": 0.0},
    "reading": {"steps": 700, "rate": 0.8, "captions": 0.0, "signs": 0.7, "words": 0.4},
    "revision": {"steps": 500, "rate": 0.5, "captions": 0.0, "signs": 0.4, "words": 0.3},
}


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
                torch.save({"model": state_of.state_dict(), "optimizer": optimizer.state_dict(), "step": done}, state)
            with log.open("a") as out:
                out.write(json.dumps(line) + "\n")
            print(line, flush=True)


def main() -> None:
    """Train from scratch, or go on where an interrupted run stopped, and save the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the trained model")
    parser.add_argument("--patch-steps", type=int, default=800)
    for name, stage in STAGES.items():
        parser.add_argument(f"--{name}-steps", type=int, default=stage["steps"])
    parser.add_argument("--peak-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    random.seed(args.seed)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    processor = build_processor()
    model = build_model(processor.tokenizer).train()
    log = args.out / "training_log.jsonl"
    if not log.exists():
        facts = {"parameters": sum(p.numel() for p in model.parameters()), "torch": torch.__version__}
        log.write_text(json.dumps(facts | {k: v for k, v in vars(args).items() if k != "out"}) + "\n")

    tower = model.model.vision_tower
    reader = PatchReader(tower, model.config.vision_config.hidden_size)
    train(
        reader.parameters(),
        lambda batch: reader(*batch),
        PatchBatches(processor, args.patch_steps, args.seed),
        name="patches",
        peak=1.5 * args.peak_rate,
        folder=args.out,
        state_of=reader,
        examine=dict,
    )
    for number, (name, stage) in enumerate(STAGES.items()):
        lesson = Lesson(model, reader, reading=name != "talks")
        shares = {key: stage[key] for key in ("captions", "signs", "words")}
        train(
            lesson.parameters(),
            lesson,
            Batches(processor, getattr(args, f"{name}_steps"), args.seed + number, **shares),
            name=name,
            peak=stage["rate"] * args.peak_rate,
            folder=args.out,
            state_of=lesson,
            examine=lambda: held_out(model, processor),
        )
    save(model.eval(), processor, args.out)
    for state in args.out.glob("*_state.pt"):
        state.unlink()


if __name__ == "__main__":
    main()
