"""Score one precision's predictions against the references."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget import cli, contracts, files, records, registry
from bitbudget.errors import UserError
from bitbudget.items import answer_filter
from bitbudget.items.available import expected_items
from bitbudget.runtimes import shard_files

SPEC = ("track", "primary", "seed", "top_k", "answer")

IDENTITY = ("study", "model", "precision", "condition", "seed", "checkpoint_hash", "subset_hash")
ANSWERS = {"text": str, "detections": list}  # what a track's answer is, by the key that it has in a row


def row_by_item(
    path: Path, rows: list[dict[str, Any]], items: list[dict[str, Any]], answer: str = "text"
) -> dict[str, dict[str, Any]]:
    """Each item's prediction. Raises `UserError` unless every item has exactly one with an answer, and no other has."""
    wanted = {item["id"] for item in items}
    found: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(rows, start=1):
        key = row.get("id")
        if not isinstance(row.get(answer), ANSWERS[answer]):
            raise UserError(f'{path}, line {number}, has no "{answer}" for item {key!r}; predict this precision again.')
        if key not in wanted:
            raise UserError(
                f"{path}, line {number}, predicts item {key!r}, which is not among the study's items or was skipped; "
                "predictions and items must come from the same subset: predict this precision again."
            )
        if key in found:
            raise UserError(
                f"{path}, line {number}, predicts item {key!r} a second time; each item needs exactly one line: "
                "predict this precision again."
            )
        found[key] = row
    missing = [item["id"] for item in items if item["id"] not in found]
    if missing:
        raise UserError(
            f"{path} has no prediction for item {missing[0]!r} ({len(missing)} of {len(items)} items are missing); "
            "predict this precision again."
        )
    return found


def main() -> None:
    arguments = cli.parser(__doc__)
    arguments.add_argument("--items", type=Path, required=True, help="items.jsonl of the study")
    arguments.add_argument(
        "--images", type=Path, help="images.json of a study with images, which names the skipped ones"
    )
    arguments.add_argument("--predictions", type=Path, required=True, help="predictions.jsonl")
    arguments.add_argument("--record", type=Path, required=True, help="predictions.json, whose identity is taken over")
    cli.spec(arguments, SPEC)
    arguments.add_argument(
        "--paraphrases", type=Path, help="METEOR's table as filter_paraphrases.py made it, for a track that uses it"
    )
    arguments.add_argument("--logits", type=Path, help="logits.safetensors, for a track that compares logits")
    arguments.add_argument(
        "--baseline-logits", type=Path, help="the baseline's logits.safetensors; not for the baseline itself"
    )
    arguments.add_argument("--shards", type=Path, help="where predicting kept its finished shards, to be removed")
    arguments.add_argument("--out", type=Path, required=True, help="scores.json to write")
    arguments.add_argument("--out-items", type=Path, required=True, help="item_scores.jsonl to write")
    args = arguments.parse_args()

    if args.shards:  # the answers have been accepted, or they would not be scored
        shard_files.forget(args.shards)
    record = files.read_json(args.record)
    items = expected_items(args.items, args.images)
    track = registry.module_of("track", args.spec["track"])
    answer = contracts.of(track, "ANSWER")
    rows = row_by_item(args.predictions, files.read_jsonl(args.predictions), items, answer)
    answers = rows if contracts.of(track, "ROWS") else {key: row[answer] for key, row in rows.items()}
    rules = args.spec.get("answer", {})
    if rules:
        answers = {key: answer_filter.of(rules, text, f"the answer to item {key}") for key, text in answers.items()}
    seed, primary = args.spec["seed"], args.spec["primary"]
    helps: dict[str, Any] = {"paraphrases": args.paraphrases} if args.paraphrases else {}
    helps |= {"top_k": args.spec["top_k"]} if "top_k" in args.spec else {}
    if contracts.of(track, "LOGITS"):
        helps |= {"logits": args.logits, "baseline_logits": args.baseline_logits}
    metrics, per_item = track.score(items, answers, seed, primary=primary, **helps)
    breakdown = contracts.of(track, "breakdown")
    parts = breakdown(items, per_item, seed, primary=primary) if breakdown else {}

    if rules:
        per_item = [row | {"answer": answers[row["id"]]} for row in per_item]
    files.write_jsonl(args.out_items, per_item)
    identity = {key: record[key] for key in IDENTITY}
    body = {"primary": primary, "metrics": metrics} | ({"breakdown": parts} if parts else {})
    body |= {"answer": rules} if rules else {}
    body |= {"remarks": record["remarks"]} if record.get("remarks") else {}
    records.write(args.out, "scores", identity, body)
    width = max(map(len, metrics))
    for name, metric in metrics.items():
        cli.log.info("%-*s %s", width, name, records.in_words(metric))


if __name__ == "__main__":
    cli.run(main)
