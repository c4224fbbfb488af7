"""A small study with answers to rate: its files in a folder, and the two scripts of the spot check run on them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from asked import asked
from PIL import Image, ImageDraw

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "workflow" / "scripts"
HOSTILE = '<img src=x onerror="document.title=\'owned\'"></script><script>document.title="owned"</script>'
SUBSET_HASH = "c" * 64
CELLS = [("tiny-vlm", "bfloat16", "zero-shot"), ("tiny-vlm", "rtn-2-language", "4-shot")]
# Each item's question, the colour of its circle, and the answer of each cell.
QUESTIONS = {
    "q1": ("What colour is the circle?", "red", ("red", "red")),
    "q2": ("Is there a circle in this image?", "blue", ("yes", "")),
    "q3": ("What is written on the sign?", "green", (HOSTILE, "STOP")),
}
REFERENCES = {"q1": ["red"] * 8 + ["maroon"] * 2, "q2": ["yes"] * 9 + ["no"], "q3": ["STOP"] * 10}


def row(item: str) -> dict[str, Any]:
    """The item's line in items.jsonl; a made-up one for an item that the study does not have."""
    question = QUESTIONS[item][0] if item in QUESTIONS else f"What about {item}?"
    images = [{"id": f"image-{item}", "source": "x"}]
    references = REFERENCES.get(item, ["x"])
    return {"id": item, "images": images, "question": question, "references": references, "extra": {}}


def lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


class SpotCheckStudy:
    """The study's folder. `answers` has each cell's texts by item id; `scores` each answer's value of the metric."""

    def __init__(self, folder: Path, study: str = "tiny-vqa"):
        self.folder, self.study = folder, study
        self.spec = {"study": study, "seed": 53, "spot_check": 25, "prompt": "Describe it."}
        self.spec |= {"primary": "vqa_accuracy", "primary_range": [0, 1]}
        self.answers = {
            cell: {item: given[place] for item, (_, _, given) in QUESTIONS.items()} for place, cell in enumerate(CELLS)
        }
        self.items = [row(item) for item in QUESTIONS]
        (folder / "images").mkdir(parents=True)
        for item, (_, colour, _) in QUESTIONS.items():
            picture = Image.new("RGB", (320, 240), "#f4efe4")
            ImageDraw.Draw(picture).ellipse((90, 50, 230, 190), fill=colour)
            picture.save(folder / f"images/image-{item}.png")

    def write(self) -> None:
        """Write what the scripts read."""
        lines(self.folder / "items.jsonl", self.items)
        images = {image["id"]: {"file": f"images/{image['id']}.png"} for item in self.items for image in item["images"]}
        (self.folder / "images.json").write_text(json.dumps({"images": images, "skipped": []}))
        for cell, texts in self.answers.items():
            names = dict(zip(("model", "precision", "condition"), cell, strict=True))
            record = {"study": self.study, **names, "subset_hash": SUBSET_HASH}
            lines(self.cell(cell, "predictions.jsonl"), [{"id": item, "text": text} for item, text in texts.items()])
            self.cell(cell, "predictions.json").write_text(json.dumps(record))
            lines(
                self.cell(cell, "item_scores.jsonl"),
                [{"id": item, self.spec["primary"]: self.value(item, text)} for item, text in texts.items()],
            )
            self.cell(cell, "scores.json").write_text(json.dumps(record))

    def value(self, item: str, text: str) -> float:
        """VQA accuracy, roughly: the share of the references that say this, but full from three on."""
        return min(1.0, REFERENCES[item].count(text) / 3)

    def cell(self, cell: tuple[str, str, str], name: str) -> Path:
        return self.folder.joinpath(*cell, name)

    def all(self, name: str) -> list[Path]:
        return [self.cell(cell, name) for cell in self.answers]

    @property
    def page(self) -> Path:
        return self.folder / "spot_check.html"

    @property
    def key(self) -> dict[str, Any]:
        return json.loads((self.folder / "spot_check.json").read_text())

    def card(self, item: str, answer: str) -> str:
        """The id of the card of this answer."""
        return next(i for i, c in self.key["cards"].items() if (c["item"], c["answer"]) == (item, answer))

    def make(self) -> subprocess.CompletedProcess[str]:
        """Write everything and run make_spot_check."""
        self.write()
        return self._run(
            "make_spot_check", "--items", "items.jsonl", "--images", "images.json",
            "--predictions", *self.all("predictions.jsonl"), "--records", *self.all("predictions.json"),
            "--template", ROOT / "workflow/report/spot_check.html",
            "--out-page", "spot_check.html", "--out-key", "spot_check.json",
        )  # fmt: skip

    def read(self, *ratings: Path) -> subprocess.CompletedProcess[str]:
        """Run read_ratings."""
        return self._run(
            "read_ratings", "--key", "spot_check.json", "--ratings", *ratings,
            "--item-scores", *self.all("item_scores.jsonl"), "--scores", *self.all("scores.json"),
            "--out", "human.json",
        )  # fmt: skip

    @property
    def human(self) -> dict[str, Any]:
        return json.loads((self.folder / "human.json").read_text())

    def _run(self, script: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, SCRIPTS / f"{script}.py", *arguments, "--spec", asked(script, self.spec)]
        return subprocess.run([str(part) for part in command], cwd=self.folder, capture_output=True, text=True)
