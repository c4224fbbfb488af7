"""Train the demo language model from its recipe (some minutes on two cores; resumable)."""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import torch

from demo_recipes.lm import Batches, build_model, build_tokenizer, held_out, loss_of, save
from demo_recipes.training import train


def main() -> None:
    """Train from scratch, or go on where an interrupted run stopped, and save the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the trained model")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--peak-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    random.seed(args.seed)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer).train()
    log = args.out / "training_log.jsonl"
    if not log.exists():
        facts = {"parameters": sum(p.numel() for p in model.parameters()), "torch": torch.__version__}
        log.write_text(json.dumps(facts | {k: v for k, v in vars(args).items() if k != "out"}) + "\n")
    train(
        model.parameters(),
        lambda batch: loss_of(model, batch),
        Batches(tokenizer, args.steps, args.seed),
        name="stories",
        peak=args.peak_rate,
        folder=args.out,
        state_of=model,
        examine=lambda: held_out(model, tokenizer),
    )
    save(model.eval(), tokenizer, args.out)
    (args.out / "stories_state.pt").unlink()


if __name__ == "__main__":
    main()
