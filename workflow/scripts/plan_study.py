"""Say what a run of a study would do on this machine: its baseline, what is left out and why, what is downloaded."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bitbudget import cli, files
from bitbudget.config.plan import files_of
from bitbudget.config.study import load_studies

RESOURCES = Path("resources")
GIGABYTE = 10**9


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("study", help="name of the study")
    args = parser.parse_args()
    said: list[str] = []
    study = load_studies({"study": args.study}, tell=said.append)[args.study]
    for line in lines(study, said):
        print(line)


def lines(study: dict[str, Any], said: list[str]) -> Iterator[str]:
    """The plan of a resolved study; `said` is what was told while it was resolved."""
    yield f"{study['study']}: {study['description'] or study['track']}"
    if study["machine"]:
        yield f"for {study['machine']['title']}"
    for sentence in said:
        yield from textwrap.wrap(sentence.removeprefix(f"{study['study']}: "), 120, subsequent_indent="  ")
    yield ""
    width = max(map(len, study["precisions"]))
    for precision in study["precisions"]:
        if precision in study["ready"]:
            yield f"  {precision:{width}}  a ready checkpoint, as it is"
            continue
        groups = next(iter(study["assignments"].values()))[precision]
        by_format: dict[str, list[str]] = {}
        for group, spec in groups.items():
            if groups.get(group.rpartition(".")[0]) != spec:  # else it is told with the group that it lies in
                by_format.setdefault(spec["format"], []).append(group)
        base = next(iter(study["assignments"].values()))[study["baseline"]]
        kept = {spec["format"] for spec in base.values()}
        told = [f"{name} ({', '.join(found)})" for name, found in by_format.items() if name not in kept]
        yield f"  {precision:{width}}  {'; '.join(told) or 'all in this format'}"
    yield ""
    yield from (f"  model {name}: {_model(study, name)}" for name in study["models"])
    for name, by_model in study["ready"].items():
        yield from (f"  checkpoint {name} of {model}: {_checkpoint(source)}" for model, source in by_model.items())
    yield f"  data set {study['dataset']['name']}: {_where(RESOURCES / 'datasets' / study['dataset']['name'])}"
    yield f"  free on this disk: {shutil.disk_usage(Path()).free / GIGABYTE:.0f} GB"


def _model(study: dict[str, Any], name: str) -> str:
    entry = study["models"][name]
    if found := _found(entry, RESOURCES / "models" / name):
        return found
    source = next(f"{key} {entry[key]}" for key in ("hub", "package", "url") if key in entry)
    known = "gigabytes" in entry
    size = f"about {_size(entry['gigabytes'] * GIGABYTE)}" if known else "of a size that is not known before"
    return f"is downloaded, {size} ({source}; licence {entry['licence']})"


def _checkpoint(source: dict[str, Any]) -> str:
    found = _found(source, RESOURCES / "checkpoints" / source["folder"])
    return found or f"is downloaded, of a size that is not known before ({source['checkpoint']})"


def _found(source: dict[str, Any], folder: Path) -> str | None:
    """How large a model or checkpoint on this disk is; None where it has to be downloaded into this folder."""
    if (folder / "model.json").exists():
        return f"here, {_size(sum(one['bytes'] for one in files.read_json(folder / 'model.json')['files'].values()))}"
    if "local" in source:
        return (
            f"on this disk, {_size(sum(Path(path).stat().st_size for path in files_of(source)))}, in {source['local']}"
        )
    return None


def _where(folder: Path) -> str:
    return "here" if folder.exists() else "is downloaded or made by the first run"


def _size(found: float) -> str:
    return f"{found / GIGABYTE:.2f} GB" if found >= GIGABYTE else f"{found / 10**6:.0f} MB"


if __name__ == "__main__":
    cli.run(main)
