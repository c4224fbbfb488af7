"""Make the answers and scores of finished studies once more, and say whether they are the same."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitbudget import cli, files, records
from bitbudget.errors import UserError
from bitbudget.provenance import reproduction, rerun
from bitbudget.provenance.reproduction import Cell

SPEC = ("seed", "models", "precisions", "conditions", "baseline", "second_pass")


@dataclass(frozen=True)
class Rerun:
    """A finished study, and Snakemake's command line that makes its answers again in its scratch folder."""

    study: str
    seed: int
    cells: list[Cell]
    command: list[str]

    @property
    def scratch(self) -> Path:
        """Its scratch folder, below the working folder."""
        return rerun.SCRATCH / self.study

    @property
    def targets(self) -> list[str]:
        """What is asked of Snakemake."""
        return [str(cell.folder(self.study) / "scores.json") for cell in self.cells]


def main() -> None:
    """Rerun every study in a scratch folder of its own, compare, and write its record; a difference is an error.

    No study is rerun where one of them is not finished. A difference in one does not keep the others from being rerun.
    """
    arguments = cli.parser(__doc__)
    arguments.add_argument(
        "--study", action="append", required=True, help="name of a study, finished in this working folder; repeatable"
    )
    cli.spec(arguments, SPEC, "append")
    arguments.add_argument("--cores", type=int, required=True, help="cores for the reruns")
    arguments.add_argument("--snakemake-options", default="", help="more of Snakemake's options, as one text")
    args = arguments.parse_args()
    if len(args.study) != len(args.spec):
        raise UserError(f"{len(args.study)} --study and {len(args.spec)} --spec were given; give one of each a study.")

    options = shlex.split(args.snakemake_options)
    ready = [prepared(*asked, args.cores, options) for asked in zip(args.study, args.spec, strict=True)]
    wrong = []
    for one in ready:
        try:
            cli.log.info("%s: %s", one.study, reproduced(one))
        except UserError as fault:
            wrong.append(f"{one.study}: {fault}")
    if wrong:
        raise UserError("\n".join(wrong))


def prepared(study: str, spec: Mapping[str, Any], cores: int, options: list[str]) -> Rerun:
    """Make the study's scratch folder. Raises `UserError` where anything but its answers and scores is to be made."""
    work, scratch = Path.cwd(), Path.cwd() / rerun.SCRATCH / study
    cells = reproduction.cells(spec)
    remedy = f"run `snakemake --cores {cores} --config study={study}` first."
    for cell in cells:
        lacking = reproduction.missing_files(cell.folder(study))
        if lacking:
            raise UserError(f"study {study} is not finished: {cell.folder(study) / lacking[0]} is missing; {remedy}")
    rerun.build(work, study, cells, scratch)
    found = Rerun(study, spec["seed"], cells, rerun.command(work, study, scratch, cores, options))
    others = rerun.other_rules(found.command, found.targets)
    if others:
        raise UserError(
            f"study {study} is not finished: {', '.join(others)} would have to run before its answers can be made "
            f"again; {remedy}"
        )
    return found


def reproduced(asked: Rerun) -> str:
    """Rerun a study, write its record, and return what came out in one sentence.

    Raises `UserError` where the rerun fails, and where anything differs, after the record was written.
    """
    study, scratch = asked.study, asked.scratch
    if rerun.run(asked.command, asked.targets):
        raise UserError(f"the rerun in {scratch} failed, for the reason given above.")
    folders = {cell: cell.folder(study) for cell in asked.cells}
    compared = {cell: reproduction.compare(folder, scratch / folder) for cell, folder in folders.items()}
    identical = all(found["identical"] for found in compared.values())
    body = {"identical": identical, "cells": [vars(cell) | found for cell, found in compared.items()]}
    out = Path("results") / study / "reproduction.json"
    records.write(out, "reproduction", {"study": study, "seed": asked.seed}, body)
    answers = sum(len(files.read_jsonl(folder / "predictions.jsonl")) for folder in folders.values())
    sentence = reproduction.in_one_sentence(compared, answers)
    if not identical:
        rerun.served(scratch)
        raise UserError(f"{sentence}; all of it is in {out}, and the rerun in {scratch}.")
    shutil.rmtree(scratch)
    return sentence


if __name__ == "__main__":
    cli.run(main)
