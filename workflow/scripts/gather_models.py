"""Keep with a study's results where its models came from, as they were fetched: the report tells it."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, files, records

SPEC = ("study", "seed")

KEPT = (
    "family", "model_type", "source", "revision", "licence", "restricted", "made_from", "files",
)  # fmt: skip


def main() -> None:
    arguments = cli.parser(__doc__)
    cli.spec(arguments, SPEC)
    arguments.add_argument("--models", type=Path, nargs="+", required=True, help="folders of the fetched models")
    arguments.add_argument("--out", type=Path, required=True, help="models.json to write")
    args = arguments.parse_args()

    fetched = [files.read_json(folder / "model.json") for folder in args.models]
    models = {one["model"]: {key: one[key] for key in KEPT if key in one} for one in fetched}
    identity = {key: args.spec[key] for key in ("study", "seed")}
    records.write(args.out, "models", identity, {"models": models})
    cli.log.info("%s: %s", args.out, ", ".join(models))


if __name__ == "__main__":
    cli.run(main)
