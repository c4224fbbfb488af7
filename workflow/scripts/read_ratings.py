"""Read people's ratings, join them with the precisions, and hold them against the metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget import cli, files, records
from bitbudget.errors import UserError
from bitbudget.spot_check import human, ratings
from bitbudget.spot_check.cards import Card, Cell

SPEC = ("study", "primary", "primary_range")

CELL = ("model", "precision", "condition")


def cards_of(key: dict[str, Any]) -> list[Card]:
    """The cards of the key that make_spot_check wrote."""
    return [
        Card(card, about["item"], about["answer"], tuple(tuple(cell[name] for name in CELL) for cell in about["cells"]))
        for card, about in key["cards"].items()
    ]


def values_of(path: Path, items: list[str], primary: str, value_range: tuple[float, float]) -> dict[str, float]:
    """The metric of each of these items, brought to the range from 0 to 1.

    Raises `UserError` that names file and item where a value is missing or outside `value_range`.
    """
    low, high = value_range
    rows = {row["id"]: row.get(primary) for row in files.read_jsonl(path)}
    found = {}
    for item in items:
        value = rows.get(item)
        if not isinstance(value, int | float) or not low <= value <= high:
            raise UserError(
                f"{path} has no {primary} from {low:g} to {high:g} for item {item!r}; score this precision again."
            )
        found[item] = (value - low) / (high - low)
    return found


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--key", type=Path, required=True, help="spot_check.json")
    parser.add_argument("--ratings", type=Path, nargs="+", required=True, help="the raters' files")
    parser.add_argument("--item-scores", type=Path, nargs="+", required=True, help="all item_scores.jsonl")
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="their scores.json, in that order")
    cli.spec(parser, SPEC)
    parser.add_argument("--out", type=Path, required=True, help="human.json to write")
    args = parser.parse_args()

    spec = args.spec
    study, primary, value_range = spec["study"], spec["primary"], spec["primary_range"]
    key = files.read_json(args.key)
    cards = cards_of(key)
    given = ratings.read_all(args.ratings, study, {card.id: card for card in cards})
    if len(args.item_scores) != len(args.scores):
        raise UserError(f"{len(args.item_scores)} files of item scores and {len(args.scores)} of scores: pair them.")
    values: dict[tuple[Cell, str], float] | None = None
    if value_range is not None:
        values = {}
        for rows, path in zip(args.item_scores, args.scores, strict=True):
            record = files.read_json(path)
            if record["subset_hash"] != key["subset_hash"]:
                raise UserError(f"{path} is not of the subset that {args.key} is of; score this precision again.")
            cell = (record["model"], record["precision"], record["condition"])
            for item, value in values_of(rows, key["items"], primary, tuple(value_range)).items():
                values[cell, item] = value
    body = human.report(cards, given, values, primary, key["seed"])
    identity = {name: key[name] for name in ("study", "seed", "subset_hash")}
    records.write(args.out, "human", identity, {"primary": primary, **body})

    for one in body["raters"]:
        cli.log.info("%s rated %d of %d answers", one["rater"], one["n_rated"], len(cards))
        if one["n_ignored"]:
            cli.log.info("  %d ratings are of answers that no model gives any more: ignored", one["n_ignored"])
    if any(cell["n_rated"] < cell["n_cards"] for cell in body["cells"]):
        cli.log.info("not every answer is rated: the precisions below are judged on different items.")
    for cell in body["cells"]:
        cli.log.info("%-50s %s", " ".join(cell[n] for n in CELL), records.in_words(cell["metrics"]["human_accuracy"]))
    cli.log.info("agreement with %s: %s", primary, records.in_words(body["overall"]["metrics"]["agreement"]))
    if len(given) > 1:
        kappa = records.in_words(body["raters_agreement"]["mean_kappa"])
        cli.log.info("raters among themselves, Cohen's kappa: %s", kappa)
    if body["unsafe"]:
        cli.log.info("%d answers were flagged as unsafe or offensive: see %s", len(body["unsafe"]), args.out)


if __name__ == "__main__":
    cli.run(main)
