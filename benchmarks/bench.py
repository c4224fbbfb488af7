"""How fast each format is on this machine, side by side: `make bench`.

Two studies are measured by the workflow itself, with one thread: a language model of 135 million parameters, and a
vision-language model of SmolVLM-256M's shape. Beside them llama.cpp's own server times the same file that our runtime
does. The table goes to docs/benchmarks.md. Nothing else should run meanwhile; it takes about half an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import smolvlm_shape

from bitbudget import files, records
from bitbudget.system import machine

ROOT = Path(__file__).parents[1]
LANGUAGE, VISION = "bench-language", "bench-vision"
SMOLLM, SHAPE = "smollm2-135m-instruct-q4", "smolvlm-256m-shape"
WORK = ROOT / "benchmarks" / "work"  # a copy of the checkout, with the studies and the model of benchmarks/ in it
OUT = ROOT / "docs" / "benchmarks.md"
TOKENS, PROMPT = 64, 100


@dataclass(frozen=True)
class Row:
    """What was measured of a precision: medians, in seconds and tokens a second; None where it has no such phase."""

    precision: str
    megabytes: float
    answer: float
    vision: float | None
    prefill: float
    decode: float
    share: float | None  # of what the memory's bandwidth allows, in decode

    @classmethod
    def read(cls, path: Path) -> Row:
        """Of measurements.json."""
        found = files.read_json(path)
        value = {name: metric.get("value") for name, metric in found["metrics"].items()}
        return cls(
            found["precision"], value["size_on_disk"], value["latency"], value.get("latency_vision"),
            value["prefill_rate"], value["decode_rate"], value.get("share_of_floor_decode"),
        )  # fmt: skip


def prepare() -> None:
    """Bring the copy up to date."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            (WORK / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, WORK / name)
    for study in (ROOT / "benchmarks" / "studies").glob("*.yaml"):
        shutil.copy2(study, WORK / "config" / "studies")
    with (WORK / "config" / "models.yaml").open("a") as models:
        models.write((ROOT / "benchmarks" / "models.yaml").read_text())


def snakemake(study: str, *targets: str) -> None:
    """Run the workflow for some targets of a study."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "--config", f"study={study}", "--"]
    subprocess.run([*command, *targets], cwd=WORK, check=True)


def rows(study: str, model: str) -> list[Row]:
    """The rows of a study that was measured, in its order."""
    resolved = files.read_yaml(WORK / "results" / study / "study.resolved.yaml")
    folder = WORK / "results" / study / model
    return [Row.read(folder / one / "zero-shot" / "measurements.json") for one in resolved["precisions"]]


def server_decode(path: Path) -> float:
    """Tokens a second that llama.cpp's own server says it writes with this file, one thread, after a prompt."""
    code = f"""
import json, xllamacpp
given = xllamacpp.CommonParams()
given.model.path, given.n_ctx, given.n_parallel = {str(path)!r}, 512, 1
given.cpuparams.n_threads = given.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(given)
asked = {{"prompt": list(range(1000, {1000 + PROMPT})), "n_predict": {TOKENS}, "temperature": 0, "ignore_eos": True,
          "cache_prompt": False}}
found = [server.handle_completions(asked)["timings"]["predicted_per_second"] for _ in range(6)]
print("FOUND", json.dumps(sorted(found)[3]))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return json.loads(next(line for line in said.splitlines() if line.startswith("FOUND")).removeprefix("FOUND"))


def table(found: list[Row]) -> str:
    """The rows as a table of Markdown, each beside the first."""
    first = found[0]
    sees = first.vision is not None
    lines = [
        "| precision | MB | answer, s | faster |"
        + (" vision, s | faster |" if sees else "")
        + " prefill, tokens/s | decode, tokens/s"
        " | faster | of the floor |",
        "|---|" + "---|" * (9 if sees else 7),
    ]
    for row in found:
        vision = f" {row.vision:.2f} | {first.vision / row.vision:.2f} |" if sees else ""
        share = "" if row.share is None else f"{row.share:.0%}"
        lines.append(
            f"| {row.precision} | {row.megabytes:.0f} | {row.answer:.2f} | {first.answer / row.answer:.2f} |{vision} "
            f"{row.prefill:.0f} | {row.decode:.1f} | {row.decode / first.decode:.2f} | {share} |"
        )
    return "\n".join(lines)


def aims(language: list[Row], vision: list[Row], ours: float, theirs: float) -> str:
    """What issue 18 aimed at, and what was reached here."""
    base, seen = language[0], vision[0]
    four = [row for row in language if any(bits in row.precision for bits in ("q4", "nf4", "int4"))]
    eight = [row for row in language if any(bits in row.precision for bits in ("q8", "int8"))]
    best = max(four, key=lambda row: row.decode)
    shares = [max((row.share or 0) for row in rows) for rows in (four, eight)]
    floats = min(row.vision for row in vision if "int8" not in row.precision)
    whole = min(vision, key=lambda row: row.answer)
    tower = min((row for row in vision if "int8" in row.precision), key=lambda row: row.vision)
    return "\n".join(
        (
            "| | aim | reached |",
            "|---|---|---|",
            f"| decode, best 4-bit format over float32 ({best.precision}) | 4 | {best.decode / base.decode:.1f} |",
            f"| share of the bandwidth floor, best 4- and 8-bit formats | 45 % | {shares[0]:.0%}, {shares[1]:.0%} |",
            f"| vision tower, int8 over the best float ({tower.precision}) | 1.5 | {floats / tower.vision:.2f} |",
            f"| whole answer, best precision over float32 ({whole.precision}) | 2 | {seen.answer / whole.answer:.2f} |",
            f"| our llama.cpp runtime over llama.cpp's server, same file | 0.95 | {ours / theirs:.2f} "
            f"({ours:.1f} and {theirs:.1f} tokens/s) |",
        )
    )


def main() -> None:
    """Measure both studies, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", default="gguf-q4_k_m", help="the precision whose file llama.cpp's server runs too")
    chosen = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    prepare()
    snakemake(LANGUAGE, f"resources/models/{SMOLLM}")
    if not (WORK / "benchmarks" / SHAPE / "config.json").exists():
        smolvlm_shape.make(WORK / "benchmarks" / SHAPE, WORK / "resources" / "models" / SMOLLM)
    for study in (LANGUAGE, VISION):
        snakemake(study, "measurements")
    language, vision = rows(LANGUAGE, SMOLLM), rows(VISION, SHAPE)
    made = WORK / "results" / LANGUAGE / SMOLLM / chosen.file / "checkpoint"
    ours = next(row.decode for row in language if row.precision == chosen.file)
    theirs = server_decode(next(made.glob("*.gguf")))
    packages = records.packages()
    used = ", ".join(f"{name} {packages[name]}" for name in ("torch", "onnxruntime", "xllamacpp") if name in packages)
    OUT.write_text(
        f"# How fast fewer bits are\n\n`make bench` on {machine.look(()).title('cpu')}, one thread; {used}. "
        "Medians of one process; `faster`: so many times the first row.\n\n"
        f"## SmolLM2-135M, prompts of a story, {TOKENS} new tokens\n\n{table(language)}\n\n"
        "## A model of SmolVLM-256M's shape (random weights), one tile, 32 new tokens\n\n"
        f"{table(vision)}\n\n## Aims\n\n{aims(language, vision, ours, theirs)}\n"
    )
    print(OUT.read_text())


if __name__ == "__main__":
    main()
