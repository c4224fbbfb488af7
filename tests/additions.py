"""A track, a format, a model family and a data set that nobody needs, each one file and one line of the registry."""

from __future__ import annotations

from pathlib import Path

from checkouts import write_study

# Captions scored by the share of the references' words that they have: trivial, and without Java.
TRACK = '''"""Naming: one image, and the share of the references' words that its caption has."""

PRIMARY = "recall"
PROMPT = "Describe the image in one sentence."
RUNTIME = "transformers"
IMAGES = True
FEW_SHOT = False
DEFAULT_PRECISIONS = ("float16", "rtn-4-language")
FLOOR = "saying the most common word to every image"
RESAMPLED = "images"
ITEM = "image"
RATE = ("throughput", "images/s")
WHY_NO_OBJECTS = "words are counted, and no objects are looked for."
TASK = "naming"
GOAL = "how many words go with the bits"
APPLICATION = "Naming what a picture shows is what this toy is for."
RISK = "A name may be wrong."
RISK_IN_SHORT = "a name may be wrong"
SCORED = "Names are scored by {cited}."
METRICS = {"recall": {"label": "Word recall", "unit": "share of words", "higher_is_better": True, "range": (0, 1)}}


def score(items, predictions, seed, *, primary=None):
    from bitbudget import records
    from bitbudget.stats import bootstrap

    rows = []
    for item in items:
        wanted = {word for text in item["references"] for word in text.lower().split()}
        said = set(predictions[item["id"]].lower().split())
        rows.append({"id": item["id"], "recall": len(wanted & said) / len(wanted)})
    drawn = bootstrap.draws([resampled(rows)], seed)[0]["recall"] if len(rows) > 1 else None
    value = sum(row["recall"] for row in rows) / len(rows)
    interval = None if drawn is None else bootstrap.interval(drawn)
    return {"recall": records.metric(value, "share of words", higher_is_better=True, n=len(rows), ci=interval)}, rows


def resampled(rows):
    import numpy as np

    from bitbudget.stats import bootstrap

    values = np.array([[row["recall"]] for row in rows])
    return bootstrap.of_sums(
        values, [row["id"] for row in rows], {"recall": "recall"}, lambda sums, n: {"recall": sums[:, 0] / n}
    )


def blind_answers(items, seed, *, primary=None):
    return "a", {item["id"]: "a" for item in items}
'''

FORMAT = '''"""Round to nearest at 5 bits, simulated."""

from bitbudget.models.formats.rtn import RoundToNearest

FORMATS = {"toy-5": RoundToNearest(5)}
FORMATS["toy-5"].name = "toy-5"
'''

FAMILY = '''"""A family with the modules of the demo's captioner."""

from bitbudget.models.families.llava import GROUPS, conversation, model_class

__all__ = ["GROUPS", "conversation", "model_class"]

ABOUT = "a toy built like others"
MODEL_TYPES = ("llava",)
TRACKS = ("captioning", "naming")
'''

DATASET = '''"""A few drawn pictures of one colour, and what they are."""

from bitbudget import files
from bitbudget.datasets import coco_format

TRACKS = ("naming",)
SPLITS = ("all",)
OPTIONS = {}
REQUIRED = ()
LOCAL_PATHS = ()
ABOUT = "pictures of one colour"
COLOURS = (
    "red", "green", "blue", "yellow", "white", "black", "purple", "orange", "brown", "pink", "gray", "cyan",
)  # fmt: skip
FILE = "captions.json"


def fetch(options, folder, partial):
    from PIL import Image

    (folder / "images").mkdir(parents=True)
    content = {"images": [], "annotations": []}
    for number, colour in enumerate(COLOURS):
        Image.new("RGB", (64, 64), colour).save(folder / "images" / f"{number}.png")
        content["images"].append({"id": number, "file_name": f"{number}.png"})
        content["annotations"].append({"id": number, "image_id": number, "caption": f"{colour} a@example.com"})
    files.write_json(folder / FILE, content)
    found = files.sha256_of(folder / FILE)
    return {"revision": "1", "licence": None, "source": "drawn", "files": {FILE: found}}


def read_items(options, folder, split):
    return coco_format.read_captions(folder / FILE, lambda image: str(folder.resolve() / "images" / image["file_name"]))
'''

LIBRARY = Path("workflow/scripts/bitbudget")
ADDED = {
    "tracks/naming.py": (TRACK, "TRACKS", "naming"),
    "models/formats/toy.py": (FORMAT, "FORMATS", "toy-5"),
    "models/families/toy.py": (FAMILY, "FAMILIES", "toy"),
    "datasets/colours.py": (DATASET, "DATASETS", "colours"),
}


# What a user adds to config/: entries of known kinds, and a study that is as short as one can be.
ENTRIES = {
    "models.yaml": "toy-vlm:\n  local: demo/models/demo-vlm\n  family: toy\n  licence: Apache-2.0\n",
    "datasets.yaml": "colours:\n  kind: colours\n  options: {}\n  licence: CC0-1.0\n",
    "precisions.yaml": "toy-5-language: {language: toy-5}\n",
}
STUDY = {
    "study": "toy",
    "description": "whether what is added in one file goes all the way",
    "track": "naming",
    "dataset": {"name": "colours", "subset": "all"},
    "models": ["toy-vlm"],
    "baseline": "bfloat16",
    "precisions": ["bfloat16", "toy-5-language"],
    "generation": {"max_new_tokens": 12},
    "noise_floor": False,
    "measure": {"items": 2, "warmup": 1, "min_iterations": 2, "min_seconds": 0.1, "batch_sizes": [1], "repeats": 1},
}


def add(checkout: Path) -> None:
    """Write the four files into a checkout, and register each by one line."""
    registry = checkout / LIBRARY / "registry.py"
    text = registry.read_text(encoding="utf-8")
    for name, (code, kind, key) in ADDED.items():
        (checkout / LIBRARY / name).write_text(code, encoding="utf-8")
        module = f"bitbudget.{name.removesuffix('.py').replace('/', '.')}"
        start = f"{kind} = {{\n"
        assert text.count(start) == 1
        text = text.replace(start, f'{start}    "{key}": "{module}",\n')
    registry.write_text(text, encoding="utf-8")
    for name, entry in ENTRIES.items():
        with (checkout / "config" / name).open("a", encoding="utf-8") as file:
            file.write(entry)
    write_study(checkout, STUDY)


def remove(checkout: Path) -> None:
    """Take them out again."""
    registry = checkout / LIBRARY / "registry.py"
    lines = registry.read_text(encoding="utf-8").splitlines(keepends=True)
    keys = [f'    "{key}": ' for _, _, key in ADDED.values()]
    registry.write_text("".join(line for line in lines if not line.startswith(tuple(keys))), encoding="utf-8")
    for name in ADDED:
        (checkout / LIBRARY / name).unlink()
    for name, entry in ENTRIES.items():
        path = checkout / "config" / name
        path.write_text(path.read_text(encoding="utf-8").removesuffix(entry), encoding="utf-8")
    (checkout / "config/studies/toy.yaml").unlink()
