"""The figure of detections: which images and boxes it shows, what it calls right, and how it holds its pictures."""

import base64
import io
import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from asked import asked
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from bitbudget.errors import UserError
from bitbudget.metrics import matching
from bitbudget.publishing.figures import detections, gallery, style

SCRIPT = Path(__file__).parents[3] / "workflow" / "scripts" / "plot_detections.py"
CATEGORIES = [
    {"id": 3, "name": "car"},
    {"id": 7, "name": "traffic sign that says to give way"},
    {"id": 90, "name": "cup"},
]
NAMES = {one["id"]: one["name"] for one in CATEGORIES}
FORMATS = ["litert-float32", "litert-float16", "litert-int8", "litert-int8-dynamic", "litert-int4"]
SPEC = {
    "models": ["m"],
    "precisions": FORMATS[:2],
    "conditions": ["zero-shot"],
    "baseline": FORMATS[0],
    "note": "a demo",
}


def thing(category, *bbox, crowd=0):
    return {"category_id": category, "bbox": list(bbox), "area": bbox[2] * bbox[3], "iscrowd": crowd}


def seen(category, score, *bbox):
    return {"category_id": category, "bbox": list(bbox), "score": score}


# Of an image 400 pixels wide and 300 high.
OBJECTS = [thing(3, 40, 60, 80, 60), thing(3, 200, 60, 80, 60), thing(7, 300, 150, 60, 120)]
DETECTIONS = [
    seen(3, 0.95, 44, 62, 80, 60), seen(7, 0.9, 200, 60, 80, 60), seen(3, 0.8, 46, 60, 80, 60),
    seen(90, 0.49, 0, 0, 50, 50),
]  # fmt: skip


class Files:
    """A study's files in a folder: `sizes` gives width and height of each image's original; the files are half that."""

    def __init__(self, folder, sizes=((400, 300),) * 6, objects=OBJECTS, spec=SPEC, found=DETECTIONS):
        self.folder, self.spec = folder, spec
        self.items, prepared = [], {}
        (folder / "images").mkdir()
        for number, (width, height) in enumerate(sizes):
            pixels = np.random.default_rng(number).integers(0, 255, (max(1, height // 2), max(1, width // 2), 3))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / f"{number}.png")
            prepared[f"p{number}"] = {"file": f"images/{number}.png"}
            about = {"width": width, "height": height, "objects": [] if number == 0 else objects}
            self.items.append({"id": f"i{number}", "images": [{"id": f"p{number}"}], "extra": about})
        (folder / "subset.json").write_text(json.dumps({"categories": CATEGORIES}))
        self.write("items.jsonl", self.items)
        (folder / "images.json").write_text(json.dumps({"images": prepared, "skipped": [{"id": "p2"}]}))
        del self.items[2:3]
        for model in spec["models"]:
            for precision in spec["precisions"]:
                rows = [{"id": item["id"], "detections": found} for item in self.items]
                self.write(f"{model}/{precision}/zero-shot/predictions.jsonl", rows)

    def write(self, name, rows):
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    @property
    def predictions(self):
        return sorted(self.folder.glob("*/*/zero-shot/predictions.jsonl"))

    def load(self):
        names = (self.folder / name for name in ("subset.json", "items.jsonl", "images.json"))
        return gallery.load(*names, self.predictions, self.spec)


def draw(shown):
    with style.applied():
        return detections.draw(shown)


def text_of(figure):
    return " ".join(" ".join(text.get_text() for text in figure.findobj(Text)).split())


def labels_of(axes):
    return [text for text in axes.texts if text.get_text()]


def test_overlap_is_that_of_coco():
    assert matching.overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert matching.overlap((0, 0, 10, 10), (5, 0, 100, 100), crowd=True) == 0.5
    assert matching.overlap((0, 0, 10, 10), (20, 20, 5, 5)) == matching.overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0


def test_a_detection_is_right_once_for_each_object_of_its_category():
    found = matching.compare(OBJECTS, DETECTIONS[::-1], NAMES)
    assert [(box.name, box.score) for box in found.right] == [("car", 0.95)]
    # one of another category, and the second one of the same object; what is less than sure does not count
    assert [box.score for box in found.wrong] == [0.9, 0.8]
    assert [box.bbox[0] for box in found.missed] == [200, 300]


def test_of_several_objects_a_detection_takes_the_one_it_overlaps_most():
    objects = [thing(3, 0, 0, 100, 100), thing(3, 20, 0, 100, 100)]
    found = matching.compare(objects, [seen(3, 0.9, 18, 0, 100, 100), seen(3, 0.8, 8, 0, 100, 100)], NAMES)
    assert len(found.right) == 2 and not found.wrong and not found.missed


def test_a_detection_in_a_crowd_is_neither_right_nor_wrong():
    objects = [thing(3, 0, 0, 300, 300, crowd=1), thing(3, 10, 10, 50, 50)]
    boxes = [seen(3, 0.9, 12, 10, 50, 50), seen(3, 0.8, 100, 100, 20, 20), seen(90, 0.7, 100, 100, 20, 20)]
    found = matching.compare(objects, boxes, NAMES)
    assert [[box.score for box in part] for part in (found.right, found.in_crowd, found.wrong)] == [[0.9], [0.8], [0.7]]
    assert not found.missed


def test_the_first_images_with_an_object_are_shown(tmp_path):
    shown = Files(tmp_path).load()
    assert [picture.item for picture in shown.pictures] == ["i1", "i3", "i4", "i5"]  # 0 is empty, 2 was skipped
    assert all(picture.file.exists() for picture in shown.pictures)


@pytest.mark.parametrize(("models", "pictures"), [(2, 4), (3, 2), (9, 1)])
def test_more_models_have_fewer_images_each(tmp_path, models, pictures):
    shown = Files(tmp_path, spec=SPEC | {"models": [f"m{i}" for i in range(models)]}).load()
    assert len(shown.pictures) == pictures


def test_an_image_with_nothing_but_a_crowd_is_not_shown(tmp_path):
    with pytest.raises(UserError, match=r"no image of .*items\.jsonl has an object to show; choose another subset\."):
        Files(tmp_path, objects=[thing(3, 0, 0, 50, 50, crowd=1)]).load()


def test_missing_categories_and_predictions_are_sentences(tmp_path):
    made = Files(tmp_path)
    path = tmp_path / "m" / FORMATS[1] / "zero-shot" / "predictions.jsonl"
    made.write(path.relative_to(tmp_path), [{"id": "i1", "detections": []}])
    with pytest.raises(
        UserError, match=r"predictions\.jsonl has no prediction of item i3; predict this precision again"
    ):
        made.load()
    path.unlink()
    with pytest.raises(UserError, match=r"no predictions of m / litert-float16 / zero-shot; name their file too\."):
        made.load()
    (tmp_path / "subset.json").write_text("{}")
    with pytest.raises(UserError, match=r"subset\.json names no categories"):
        made.load()


def test_boxes_are_drawn_where_they_are_and_told_apart_without_colour(tmp_path):
    figure = draw(Files(tmp_path).load())
    truth, baseline = figure.axes[:2]
    assert [axes.get_title() for axes in figure.axes[:3]] == ["truth", "litert-float32\n(baseline)", "litert-float16"]
    outlines = [
        patch for patch in truth.patches if isinstance(patch, Rectangle) and patch.get_linestyle() == detections.DASHED
    ]
    drawn = sorted((*patch.get_xy(), patch.get_width(), patch.get_height()) for patch in outlines)
    assert drawn == sorted(tuple(one["bbox"]) for one in OBJECTS)  # in pixels of the original, not of the file
    assert truth.images[0].get_extent() == [0, 400, 300, 0]
    found = [patch for patch in baseline.patches if patch.get_edgecolor()[:3] != (1, 1, 1)]
    lines = [patch.get_linestyle() for patch in found]
    assert [lines.count(dash) for dash in (detections.DASHED, detections.SOLID, detections.DOTTED)] == [2, 1, 2]
    assert {text.get_text() for text in labels_of(baseline)} == {
        "car 0.95", f"{style.TIMES} car 0.80", f"{style.TIMES} traffic si…give way 0.90",
    }  # fmt: skip
    assert truth.get_xlabel() == "3 objects"
    assert baseline.get_xlabel() == "1 of 3 found, 2 wrong"
    words = text_of(figure)
    assert "the study's first 4 images with an object" in words and "score of at least 0.5" in words
    assert "a demo" in words and "crowd" not in words


def test_a_category_has_one_colour_in_all_columns(tmp_path):
    figure = draw(Files(tmp_path).load())

    def colours(axes, name):
        texts = [text for text in labels_of(axes) if name in text.get_text()]
        return {text.get_bbox_patch().get_edgecolor() for text in texts}

    assert colours(figure.axes[0], "car") == colours(figure.axes[1], "car")
    assert not colours(figure.axes[0], "car") & colours(figure.axes[0], "traffic")


@pytest.mark.parametrize(
    ("sizes", "models", "precisions"),
    [
        ([(400, 300)] * 2, ["m"], FORMATS[:1]),
        ([(400, 300), (2000, 60), (400, 300), (60, 2000), (300, 400)], ["m", "another model"], FORMATS),
    ],
    ids=["one precision", "a strip, a tower and two models"],
)
def test_every_shape_is_drawn_and_no_label_lies_on_another(tmp_path, sizes, models, precisions):
    objects = [thing(7, 5 * i, 4 * i, 20, 20) for i in range(9)]
    found = [seen(7, 0.9 - i / 50, 5 * i, 4 * i, 21, 20) for i in range(8)]
    spec = SPEC | {"models": models, "precisions": precisions}
    shown = Files(tmp_path, sizes=sizes, objects=objects, spec=spec, found=found).load()
    figure = draw(shown)
    figure.draw_without_rendering()
    assert len(figure.axes) == len(models) * len(shown.pictures) * (1 + len(precisions))
    assert "Labels that would hide others are left out." in text_of(figure)
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in labels_of(axes)]
        cell = axes.get_window_extent().padded(1)
        assert boxes and all(cell.x0 <= box.x0 and box.x1 <= cell.x1 for box in boxes)
        assert not [1 for one, other in combinations(boxes, 2) if one.overlaps(other)]
        left, right, bottom, top = *axes.get_xlim(), *axes.get_ylim()
        whole = axes.get_window_extent()
        assert whole.width / (right - left) == pytest.approx(whole.height / (bottom - top))  # in proportion
    assert ("another model" in text_of(figure)) == (len(models) > 1)


def test_finding_nothing_and_crowds_are_said(tmp_path):
    objects = [*OBJECTS, thing(3, 0, 200, 200, 100, crowd=1)]
    made = Files(tmp_path, objects=objects, found=[seen(3, 0.9, 20, 220, 30, 30)])
    made.write(
        f"m/{FORMATS[1]}/zero-shot/predictions.jsonl", [{"id": one["id"], "detections": []} for one in made.items]
    )
    figure = draw(made.load())
    assert [axes.get_xlabel() for axes in figure.axes[:3]] == ["3 objects", *["0 of 3 found, 0 wrong"] * 2]
    assert "car (crowd)" in [text.get_text() for text in labels_of(figure.axes[0])]
    assert "neither right nor wrong" in text_of(figure)
    widths = [patch.get_linewidth() for patch in figure.axes[1].patches if patch.get_linestyle() == "-"]
    assert min(widths) < 1


def test_the_script_embeds_each_picture_once_and_writes_the_same_bytes_twice(tmp_path):
    made = Files(tmp_path, sizes=[(1600, 1200)] * 6)
    for folder in ("first", "second"):
        command = [
            sys.executable, SCRIPT, "--subset", tmp_path / "subset.json", "--items", tmp_path / "items.jsonl",
            "--images", tmp_path / "images.json", "--predictions", *made.predictions,
            "--spec", asked("plot_detections", SPEC), "--out-dir", tmp_path / folder,
        ]  # fmt: skip
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    for name in ("detections.svg", "detections.png"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name
    svg = (tmp_path / "first" / "detections.svg").read_text()
    pictures = re.findall(
        r'<image id="([^"]+)" width="(\d+)" height="(\d+)" xlink:href="data:image/(\w+);base64,(.*?)"', svg
    )
    assert len(pictures) == len({name for name, *_ in pictures}) == svg.count("<image") == 4
    for name, width, height, kind, data in pictures:
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert picture.size == (int(width), int(height)) == (320, 240)
            assert picture.format == kind.upper() == "JPEG"  # noise is smaller so
        assert len(re.findall(f'<use xlink:href="#{name}" transform="', svg)) == 3
    assert svg.index("<defs>") < svg.index("<image") < svg.index("</defs>") < svg.index('<use xlink:href="#picture')
    assert ">litert-float16<" in svg and len(svg) < 2e6


def test_a_picture_counts_as_the_scores_do():
    """What the figure calls found and wrong is what stands in item_scores.jsonl."""
    from bitbudget.tracks import detection

    generator = np.random.default_rng(5)
    items, answers = [], {}
    for number in range(40):
        objects = [
            thing(
                int(generator.choice([3, 7])), *generator.uniform(0, 60, 2), *generator.uniform(8, 40, 2), crowd=k == 4
            )
            for k in range(5)
        ]
        found = [
            {"category_id": one["category_id"], "bbox": [float(v + generator.normal(0, 3)) for v in one["bbox"]]}
            for one in objects
            for _ in range(2)
        ]
        answers[str(number)] = [one | {"score": float(generator.uniform(0.3, 1))} for one in found]
        extra = {"width": 100, "height": 100, "objects": objects}
        items.append({"id": str(number), "images": [{"id": str(number)}], "extra": extra})
    for row in detection.score(items, answers, 0)[1]:
        seen = matching.compare(items[int(row["id"])]["extra"]["objects"], answers[row["id"]], NAMES)
        assert (len(seen.right), len(seen.wrong)) == (row["found"], row["wrong"]), row["id"]
