"""Make a finished study's answers and scores once more, and say whether they are the same."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from bitbudget import cli, files, records, reproduction, rerun
from bitbudget.errors import UserError


def main() -> None:
    """Rerun in a scratch folder, compare, and write the record; a difference is an error after it was written."""
    arguments = cli.parser(__doc__)
    arguments.add_argument("--study", required=True, help="name of the study, finished in this working folder")
    arguments.add_argument(
        "--spec",
        type=cli.json_argument,
        required=True,
        help="the study's part as JSON: seed, models, precisions, conditions, baseline, noise_floor",
    )
    arguments.add_argument("--scratch", type=Path, required=True, help="folder to rerun in; kept where answers differ")
    arguments.add_argument("--cores", type=int, required=True, help="cores for the rerun")
    arguments.add_argument("--snakemake-options", default="", help="more of Snakemake's options, as one text")
    arguments.add_argument("--out", type=Path, required=True, help="reproduction.json")
    args = arguments.parse_args()

    work, scratch = Path.cwd(), args.scratch.absolute()
    cells = reproduction.cells(args.spec)
    for cell in cells:
        lacking = reproduction.missing_files(work / cell.folder(args.study))
        if lacking:
            raise UserError(
                f"study {args.study} is not finished: {cell.folder(args.study) / lacking[0]} is missing; "
                f"run `snakemake --cores {args.cores} --config study={args.study}` first."
            )
    rerun.build(work, args.study, cells, scratch)
    base = rerun.command(work, args.study, scratch, args.cores, shlex.split(args.snakemake_options))
    targets = [str(cell.folder(args.study) / "scores.json") for cell in cells]
    others = rerun.other_rules(base, targets)
    if others:
        raise UserError(
            f"study {args.study} is not finished: {', '.join(others)} would have to run before its answers can be "
            f"made again; run `snakemake --cores {args.cores} --config study={args.study}` first."
        )
    if rerun.run(base, targets):
        raise UserError(f"the rerun of {args.study} in {scratch} failed, for the reason given above.")

    compared = {
        cell: reproduction.compare(work / cell.folder(args.study), scratch / cell.folder(args.study)) for cell in cells
    }
    identical = all(found["identical"] for found in compared.values())
    body = {"identical": identical, "cells": [vars(cell) | found for cell, found in compared.items()]}
    records.write(args.out, "reproduction", {"study": args.study, "seed": args.spec["seed"]}, body)
    answers = sum(len(files.read_jsonl(work / cell.folder(args.study) / "predictions.jsonl")) for cell in cells)
    sentence = reproduction.in_one_sentence(compared, answers)
    if not identical:
        rerun.served(scratch)
        raise UserError(f"{sentence}; all of it is in {args.out}, and the rerun in {args.scratch}.")
    shutil.rmtree(scratch)
    cli.log.info("%s", sentence)


if __name__ == "__main__":
    cli.run(main)
