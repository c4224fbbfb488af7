"""Train the demo detector from its recipe (an hour on two busy cores; resumable).

After a first pass it goes over new pictures once more, from a high learning rate again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from demo_recipes.detector import Batches, Lesson, build_model, build_processor, held_out, save
from demo_recipes.training import train

# Steps, and share of the peak learning rate.
STAGES: dict[str, dict[str, Any]] = {
    "boxes": {"steps": 1600, "rate": 1.0},
    "revision": {"steps": 900, "rate": 0.8},
}


def main() -> None:
    """Train from scratch, or go on where an interrupted run stopped, and save the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the trained model")
    for name, stage in STAGES.items():
        parser.add_argument(f"--{name}-steps", type=int, default=stage["steps"])
    parser.add_argument("--peak-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    processor = build_processor()
    model = build_model().train()
    lesson = Lesson(model)
    log = args.out / "training_log.jsonl"
    if not log.exists():
        facts = {"parameters": sum(p.numel() for p in model.parameters()), "torch": torch.__version__}
        log.write_text(json.dumps(facts | {k: v for k, v in vars(args).items() if k != "out"}) + "\n")
    for number, (name, stage) in enumerate(STAGES.items()):
        train(
            lesson.parameters(),
            lesson,
            Batches(processor, getattr(args, f"{name}_steps"), args.seed + number),
            name=name,
            peak=stage["rate"] * args.peak_rate,
            folder=args.out,
            state_of=lesson,
            examine=lambda: held_out(model, processor),
        )
    save(model.eval(), processor, args.out)
    for name in STAGES:
        (args.out / f"{name}_state.pt").unlink()


if __name__ == "__main__":
    main()
