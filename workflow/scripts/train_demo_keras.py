"""Train the demo detector of TensorFlow's route from its recipe (some minutes on a core)."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import keras
import tensorflow as tf

from demo_recipes.keras_detector import batch_of, build_model, held_out, loss_of, save


def main() -> None:
    """Train from scratch, and save the model with the log of its training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the trained model")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--peak-rate", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    keras.utils.set_random_seed(args.seed)
    model = build_model()
    rate = keras.optimizers.schedules.CosineDecay(
        args.peak_rate / 10, args.steps, alpha=0.01, warmup_target=args.peak_rate, warmup_steps=100
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=1e-3, clipnorm=5.0)

    @tf.function
    def learn(pixels: tf.Tensor, *targets: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = loss_of(model(pixels, training=True), *targets)
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return loss

    args.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    with (args.out / "training_log.jsonl").open("w") as log:
        facts = {"parameters": model.count_params(), "tensorflow": tf.__version__, "keras": keras.__version__}
        log.write(json.dumps(facts | {k: v for k, v in vars(args).items() if k != "out"}) + "\n")
        for step in range(args.steps):
            loss = learn(*map(tf.constant, batch_of(step, args.seed)))
            if step % 250 == 249 or step + 1 == args.steps:
                seconds = round(time.perf_counter() - began, 1)
                row = {"step": step + 1, "loss": round(float(loss), 4), **held_out(model), "seconds": seconds}
                log.write(json.dumps(row) + "\n")
                log.flush()
    save(model, args.out / "model.keras")


if __name__ == "__main__":
    main()
