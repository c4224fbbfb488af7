"""Answer every item with one checkpoint, in shards that survive a crash."""

from __future__ import annotations

import logging
import math
from pathlib import Path

from bitbudget import cli, files, records, registry
from bitbudget.items import available

log = logging.getLogger("bitbudget")

SPEC = (
    "study", "track", "model", "precision", "condition", "seed", "family", "prompt", "prompt_template", "max_side",
    "images.max_tokens", "images.enlarge", "shots", "generation", "batch_size", "shard_size", "device", "again",
    "other_threads",
)  # fmt: skip


def main() -> None:
    """Load the checkpoint, answer what no finished shard has answered yet, and write predictions and their record."""
    parser = cli.parser(__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--subset", type=Path, required=True, help="subset.json")
    parser.add_argument("--items", type=Path, required=True, help="items.jsonl")
    parser.add_argument("--images", type=Path, required=True, help="images.json")
    available.add_shots_arguments(parser)
    cli.spec(parser, SPEC)
    parser.add_argument("--shards", type=Path, required=True, help="folder for finished shards, kept there")
    parser.add_argument("--code", default="", help="digest of the code, so that shards of other code are not reused")
    parser.add_argument("--out", type=Path, required=True, help="predictions.jsonl")
    parser.add_argument("--record", type=Path, required=True, help="predictions.json")
    args = parser.parse_args()

    import torch

    from bitbudget.judging.comparison_kinds import other_number
    from bitbudget.models import checkpoint
    from bitbudget.runtimes import prediction
    from bitbudget.runtimes.transformers import generation, prompts
    from bitbudget.system.devices import choose_device
    from bitbudget.system.quiet import quiet_libraries

    quiet_libraries()
    spec = args.spec
    family = registry.module_of("family", spec["family"])
    device = choose_device(spec["device"])
    made = checkpoint.manifest(args.checkpoint)
    subset = files.read_json(args.subset)
    items = available.usable_items(args.items, args.images)
    # by the pictures' sizes and then by the texts: an image has hundreds of tokens, how many goes by its size
    prepared = files.read_json(args.images)["images"].values()
    pixels = {str(args.images.parent / one["file"]): math.prod(one["size"]) for one in prepared}
    asked_items = prediction.asked_in(
        items, spec, lambda item: (sum(pixels[path] for path in item["images"]), len(item.get("question") or ""))
    )
    shots = available.usable_shots(args.shots, args.shot_images, spec["shots"])
    asked = {key: spec[key] for key in ("condition", "prompt", "generation")}
    images = [files.sha256_of(path) for path in (args.images, args.shot_images) if path]
    sizes = {key: spec[key] for key in ("batch_size", "shard_size")}
    # the batch size and the device, too, change answers
    given = {
        "checkpoint": made["checkpoint_hash"],
        "items": asked_items,
        "shots": shots,
        "images": images,
        "device": device,
    }
    given |= {key: spec.get(key) for key in ("prompt_template", "max_side", "images")}
    given |= {"code": args.code, "packages": records.packages()}
    if spec.get("other_threads"):  # of the noise floor
        torch.set_num_threads(other_number(torch.get_num_threads()))
        given["threads"] = torch.get_num_threads()
    folder = args.shards / files.hash_of(asked | given | sizes)

    model = checkpoint.load(args.checkpoint, family, device)
    dtype = getattr(torch, made["dtype"])
    processor, inputs_of, how_asked = prompts.of_images(args.checkpoint, model, family, spec, shots, device, dtype)
    how = generation.decoding(
        model, processor, spec["generation"]["max_new_tokens"], 0, spec["generation"]["num_beams"]
    )

    def ask(batch: list[dict]) -> list[generation.Answer]:
        given = inputs_of(batch)
        generation.check_length(model, given, how)
        return generation.answer(model, processor, given, how)

    remade: list[dict[str, str]] = []
    rows = prediction.predict(asked_items, ask, **sizes, folder=folder, remade=remade)
    rows = prediction.in_order_of(items, rows)
    files.write_jsonl(args.out, rows)
    identity = {key: spec[key] for key in ("study", "model", "precision", "condition", "seed")}
    shown = [row["image_tokens"] for row in rows]
    body = (
        asked
        | how_asked
        | {
            "checkpoint_hash": made["checkpoint_hash"],
            "subset_hash": subset["subset_hash"],
            "shots": [shot["id"] for shot in shots],
            "again": spec.get("again", False),
            "batch_size": spec["batch_size"],
            "device": device,
            "threads": torch.get_num_threads(),
            "shards_made_again": remade,
            "n": len(rows),
            "prompt_tokens": sum(row["prompt_tokens"] for row in rows),
            "image_tokens": None if None in shown else sum(shown),
            "new_tokens": sum(row["new_tokens"] for row in rows),
            "cut_off": sum(row["finish"] == "length" for row in rows),
        }
    )
    records.write(args.record, "predictions", identity, body)
    log.info("%d answers, %d cut off at the token limit", body["n"], body["cut_off"])


if __name__ == "__main__":
    cli.run(main)
