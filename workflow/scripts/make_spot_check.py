"""Put a few items' answers on one page where people rate them, blind to the precision, and keep the key apart."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, files, records
from bitbudget.errors import UserError
from bitbudget.items.available import usable_items
from bitbudget.spot_check.cards import Cell, choose_items, make_cards
from bitbudget.spot_check.page import fill, page_data
from bitbudget.spot_check.pictures import data_uris

SPEC = ("study", "seed", "prompt", "spot_check")


def answers_of(path: Path, chosen: list[str]) -> dict[str, str]:
    """The chosen items' texts. Raises `UserError` that names file and item where one is missing."""
    texts = {row.get("id"): row.get("text") for row in files.read_jsonl(path)}
    missing = next((item for item in chosen if not isinstance(texts.get(item), str)), None)
    if missing is not None:
        raise UserError(f"{path} has no answer to item {missing!r}; predict this precision again.")
    return {item: texts[item] for item in chosen}


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--items", type=Path, required=True, help="items.jsonl")
    parser.add_argument("--images", type=Path, required=True, help="images.json")
    parser.add_argument("--predictions", type=Path, nargs="+", required=True, help="all predictions.jsonl")
    parser.add_argument("--records", type=Path, nargs="+", required=True, help="their predictions.json, in that order")
    parser.add_argument("--template", type=Path, required=True, help="the page without its data")
    cli.spec(parser, SPEC)
    parser.add_argument("--out-page", type=Path, required=True, help="spot_check.html to write")
    parser.add_argument("--out-key", type=Path, required=True, help="spot_check.json to write: who gave which answer")
    args = parser.parse_args()

    spec = args.spec
    study, seed = spec["study"], spec["seed"]
    if spec["spot_check"] < 1:
        raise UserError(f"study {study} has no spot check; set `spot_check: 25` in it.")
    if len(args.predictions) != len(args.records):
        raise UserError(f"{len(args.predictions)} predictions and {len(args.records)} records: give one of each.")
    made = [files.read_json(path) for path in args.records]
    subsets = {record["subset_hash"]: path for path, record in zip(args.records, made, strict=True)}
    if len(subsets) > 1:
        raise UserError(f"{' and '.join(map(str, subsets.values()))} are of different subsets; predict both again.")
    usable = {item["id"]: item for item in usable_items(args.items, args.images)}
    chosen = choose_items(usable, spec["spot_check"], seed)
    answers: dict[Cell, dict[str, str]] = {
        (record["model"], record["precision"], record["condition"]): answers_of(path, chosen)
        for path, record in zip(args.predictions, made, strict=True)
    }
    cards = make_cards(study, seed, [usable[item] for item in chosen], answers)
    # in the order of the cards, as the choice's own order has no meaning to a rater
    pictures = list(dict.fromkeys(path for card in cards for path in usable[card.item]["images"]))
    uris = dict(zip(pictures, data_uris([Path(path) for path in pictures]), strict=True))
    html = fill(args.template.read_text(encoding="utf-8"), page_data(study, cards, usable, spec["prompt"], uris))

    key = {
        card.id: {
            "item": card.item,
            "answer": card.answer,
            "cells": [dict(zip(("model", "precision", "condition"), cell, strict=True)) for cell in card.cells],
        }
        for card in cards
    }
    files.write_text(args.out_page, html)
    identity = {"study": study, "seed": seed, "subset_hash": next(iter(subsets))}
    records.write(args.out_key, "spot_check", identity, {"items": chosen, "cards": key})
    cli.log.info(
        "%s: %d answers to %d items, %.1f MB; open it in a browser and rate them",
        args.out_page, len(cards), len(chosen), len(html) / 1e6,
    )  # fmt: skip


if __name__ == "__main__":
    cli.run(main)
