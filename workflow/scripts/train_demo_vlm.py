"""Train the demo vision-language model from its recipe (a bit over an hour on two cores; resumable).

The vision tower first learns to tell what each patch shows; then the whole model learns to write captions and to
answer questions, also after worked examples with pictures of their own; then it learns to read signs, and last it
goes over everything once more.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import torch

from demo_recipes.training import train
from demo_recipes.vlm import Batches, Lesson, PatchBatches, PatchReader, build_model, build_processor, held_out, save

# What follows the vision tower's own lesson: steps, share of the peak learning rate, and what `Batches` is told.
STAGES: dict[str, dict[str, Any]] = {
    "talks": {"steps": 2400, "rate": 1.0, "captions": 0.3, "signs": 0.4, "words": 0.0},
    "reading": {"steps": 700, "rate": 0.8, "captions": 0.0, "signs": 0.7, "words": 0.4},
    "revision": {"steps": 500, "rate": 0.5, "captions": 0.0, "signs": 0.4, "words": 0.3},
}


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
