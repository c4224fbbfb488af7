"""Score the last word of every passage with one checkpoint, in shards that survive a crash."""

from __future__ import annotations

import logging
from pathlib import Path

from bitbudget import cli, files, records, registry
from bitbudget.items import available

log = logging.getLogger("bitbudget")

SPEC = (
    "study", "model", "precision", "condition", "seed", "family", "bos", "batch_size", "shard_size", "device", "again",
    "other_threads",
)  # fmt: skip

WITH_LOGITS = 32  # the first items, whose logits are kept for comparing precisions


def main() -> None:
    """Load the checkpoint, score what no finished shard has yet, and write predictions, their record and logits."""
    parser = cli.parser(__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--subset", type=Path, required=True, help="subset.json")
    parser.add_argument("--items", type=Path, required=True, help="items.jsonl")
    cli.spec(parser, SPEC)
    parser.add_argument("--shards", type=Path, required=True, help="folder for finished shards, kept there")
    parser.add_argument("--code", default="", help="digest of the code, so that shards of other code are not reused")
    parser.add_argument("--out", type=Path, required=True, help="predictions.jsonl")
    parser.add_argument("--record", type=Path, required=True, help="predictions.json")
    parser.add_argument("--out-logits", type=Path, required=True, help="logits.safetensors")
    args = parser.parse_args()

    import torch
    from safetensors.torch import save_file

    from bitbudget.judging.comparison_kinds import other_number
    from bitbudget.models import checkpoint
    from bitbudget.runtimes import prediction
    from bitbudget.runtimes.transformers import generation, last_word
    from bitbudget.system.devices import choose_device
    from bitbudget.system.quiet import quiet_libraries

    quiet_libraries()
    spec = args.spec
    family = registry.module_of("family", spec["family"])
    device = choose_device(spec["device"])
    made = checkpoint.manifest(args.checkpoint)
    items = available.expected_items(args.items)
    model = checkpoint.load(args.checkpoint, family, device)
    tokenizer = generation.load_tokenizer(args.checkpoint)
    begin = last_word.beginning(tokenizer, spec["bos"])
    room = last_word.positions(model)
    passages = {item["id"]: last_word.encode(tokenizer, begin, item, room) for item in items}
    # those with logits come first, so that a run that goes on from shards asks only their few batches again
    asked_items = [
        item
        for part in (items[:WITH_LOGITS], items[WITH_LOGITS:])
        for item in prediction.asked_in(part, spec, lambda item: passages[item["id"]].read)
    ]
    sizes = {key: spec[key] for key in ("batch_size", "shard_size")}
    # the batch size and the device, too, change answers
    given = {"checkpoint": made["checkpoint_hash"], "items": asked_items, "bos": spec["bos"], "device": device}
    given |= {"code": args.code, "packages": records.packages()}
    if spec.get("other_threads"):  # of the noise floor
        torch.set_num_threads(other_number(torch.get_num_threads()))
        given["threads"] = torch.get_num_threads()
    folder = args.shards / files.hash_of(given | sizes)

    wanted = [item["id"] for item in items[:WITH_LOGITS]]
    logits: dict[str, torch.Tensor] = {}

    def ask(batch: list[dict]) -> list[last_word.LastWord]:
        chosen = [passages[item["id"]] for item in batch]
        found = last_word.score(model, tokenizer, chosen, device, spec["precision"])
        for passage, (_, first) in zip(chosen, found, strict=True):
            if passage.id in wanted:
                logits[passage.id] = first
        return [row for row, _ in found]

    remade: list[dict[str, str]] = []
    rows = prediction.predict(asked_items, ask, **sizes, folder=folder, remade=remade)
    rows = prediction.in_order_of(items, rows)
    for batch in prediction.batches(asked_items, **sizes):
        if not all(item["id"] in logits for item in batch if item["id"] in wanted):
            ask(batch)  # its shard is of an earlier run
    with files.written_whole(args.out_logits) as temporary:
        save_file({"logits": torch.stack([logits[name] for name in wanted])}, temporary)
    files.write_jsonl(args.out, rows)
    identity = {key: spec[key] for key in ("study", "model", "precision", "condition", "seed")}
    how = {
        "bos": spec["bos"],
        "bos_added": bool(begin),
        "bos_token": "".join(tokenizer.convert_ids_to_tokens(begin)) or None,
        "shortened": sum(passage.shortened for passage in passages.values()),
        "merged": sum(passage.merged for passage in passages.values()),
    }
    body = {
        "checkpoint_hash": made["checkpoint_hash"],
        "subset_hash": files.read_json(args.subset)["subset_hash"],
        "prompt": None,
        "shots": [],
        "last_word": how,
        "again": spec.get("again", False),
        "batch_size": spec["batch_size"],
        "device": device,
        "threads": torch.get_num_threads(),
        "shards_made_again": remade,
        "n": len(rows),
        "prompt_tokens": sum(row["prompt_tokens"] for row in rows),
        "target_tokens": sum(row["target_tokens"] for row in rows),
    }
    records.write(args.record, "predictions", identity, body)
    if how["shortened"]:
        log.info("longer than the model's %d positions, and read without their beginning: %d", room, how["shortened"])
    first = sum(row["rank"] == 1 for row in rows)
    log.info("%d of %d last words begin with the likeliest token", first, len(rows))


if __name__ == "__main__":
    cli.run(main)
