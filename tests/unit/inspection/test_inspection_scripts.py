"""The scripts that inspect outputs and gather examples: records, agreement with the comparison, refusals."""

import csv
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from asked import asked
from made_up_cells import scores

from bitbudget import files
from bitbudget.inspection import findings, truth
from bitbudget.judging import comparison
from bitbudget.telling import examples

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"
HOSTILE = "=1+1</script><script>alert(1)</script> #sys.exit() you bastard"
PRECISIONS = ["bfloat16", "int8", "nf4"]
INSPECTION = {"redact": True, "phone_region": "US"}
CELLS = {"models": ["m"], "precisions": PRECISIONS, "conditions": ["zero-shot"], "baseline": "bfloat16"}


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


class Study:
    """A folder results/s with what both scripts read. `answers` has each precision's texts in the items' order."""

    def __init__(self, root, track, primary, items, answers, values, kind="vqav2", **more):
        self.folder, self.out = root / "results" / "s", root / "results" / "s"
        self.spec = {"study": "s", "seed": 3, "track": track, "primary": primary, "kind": kind, "dataset": "d"}
        self.spec |= {"options": {}, "split": "val", "inspection": dict(INSPECTION), **CELLS}
        self.items = items
        lines(self.folder / "items.jsonl", items)
        images = {one["id"]: {"file": f"images/{one['id']}.jpg"} for item in items for one in item["images"]}
        (self.folder / "images.json").write_text(json.dumps({"images": images, "skipped": []}))
        (self.folder / "subset.json").write_text(json.dumps({"subset_hash": "c" * 64, **more}))
        key = "detections" if track == "detection" else "text"
        for precision in PRECISIONS:
            given = zip(items, answers[precision], strict=True)
            lines(self.cell(precision) / "predictions.jsonl", [{"id": i["id"], key: a} for i, a in given])
            lines(self.cell(precision) / "item_scores.jsonl", values[precision])

    def cell(self, precision):
        return self.folder / "m" / precision / "zero-shot"

    def all(self, name):
        return [self.cell(precision) / name for precision in PRECISIONS]

    def run(self, script, *more):
        command = [sys.executable, SCRIPTS / f"{script}.py", "--spec", asked(script, self.spec)]
        for name in ("subset.json", "items.jsonl", "images.json"):
            command += [f"--{name.split('.')[0]}", self.folder / name]
        command += ["--predictions", *self.all("predictions.jsonl"), *more]
        return subprocess.run([str(part) for part in command], capture_output=True, text=True)

    def inspect(self, *more):
        tail = ("--dataset", self.folder, "--out", self.out / "inspection.json", "--out-flagged")
        return self.run("inspect_outputs", *tail, self.out / "flagged.csv", *more)

    def gather(self):
        tail = ("--item-scores", *self.all("item_scores.jsonl"), "--inspection", self.out / "inspection.json")
        return self.run("gather_examples", *tail, "--out", self.out / "examples.json")

    def read(self, name):
        return files.read_json(self.out / name)


def item(number, question="What does it say?", references=("a",)):
    image = {"id": f"i{number}", "source": "x"}
    return {"id": str(number), "images": [image], "question": question, "references": list(references), "extra": {}}


def vqa_rows(values):
    return [{"id": str(i), "image": f"i{i}", "vqa_accuracy": v} for i, v in enumerate(values)]


@pytest.fixture(scope="module")
def vqa(tmp_path_factory):
    """Twenty questions; number 3 has a telephone number, 4 one in its references, 5 hostile answers.

    Number 12 is about the picture of number 3.
    """
    items = [item(i) for i in range(20)]
    items[12]["images"] = items[3]["images"]
    items[2]["question"] = "Who is bob@example.com?"
    items[4]["references"] = ["650-253-0000", "650-253-0000", "a"]
    answers = {name: [f"text {i}" for i in range(20)] for name in PRECISIONS}
    values = {name: [0.3] * 20 for name in PRECISIONS}
    answers["int8"][3] = answers["nf4"][3] = "call (650) 253-0000"
    answers["nf4"][5] = HOSTILE
    for place, value in ((6, 0.9), (7, 0.0), (8, 0.3), (9, 0.3 + 1e-12)):
        answers["nf4"][place], values["nf4"][place] = "another", value
    answers["int8"][10] = "another"
    values["int8"][11] = 1.0  # worth more with the same answer, as a rank can be
    values = {name: vqa_rows(of) for name, of in values.items()}
    study = Study(tmp_path_factory.mktemp("vqa"), "vqa", "vqa_accuracy", items, answers, values)
    for script in (study.inspect, study.gather):
        done = script()
        assert done.returncode == 0, done.stderr
    return study


def test_everything_flagged_is_listed_for_a_person(vqa):
    record = vqa.read("inspection.json")
    flagged = {(row["item"], row["where"]): row for row in record["flagged"]}
    assert set(flagged) == {("2", "question"), ("3", "answer"), ("4", "reference"), ("5", "answer")}
    assert flagged["3", "answer"]["precisions"] == ["int8", "nf4"]
    assert (flagged["3", "answer"]["what"], flagged["3", "answer"]["excerpt"]) == ("phone", "call [phone]")
    assert flagged["5", "answer"]["kind"] == "profanity"
    counts = {cell["precision"]: cell["flagged"] for cell in record["cells"]}
    assert counts["bfloat16"] == {"privacy": 0, "profanity": 0, "people": 0}
    assert counts["nf4"] == {"privacy": 1, "profanity": 1, "people": 0}
    assert [cell["answers_flagged"] for cell in record["cells"]] == [0, 1, 2]
    assert record["redaction"]["on"] and record["redaction"]["replaced"] == 3
    assert all("is not a description" in cell["metrics"]["chair_i"]["absent"] for cell in record["cells"])
    assert record["comparisons"] == [] and record["correction"] is None
    assert [one["absent"] is None for one in record["looked_for"]] == [False, True, True, True]
    assert "phonenumbers 9" in record["looked_for"][1]["how"]


def test_the_table_holds_no_formula(vqa):
    with (vqa.out / "flagged.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["item"] for row in rows] == ["2", "3", "4", "5"]
    assert rows[3]["excerpt"] == "'" + HOSTILE and rows[1]["precisions"] == "int8, nf4"


def test_nothing_personal_is_in_the_examples(vqa):
    record = vqa.read("examples.json")
    text = json.dumps({**record, "provenance": None})  # whose digests and seconds may have any digits
    assert "253" not in text and "bob" not in text
    assert record["redacted"] and "3 were replaced" in record["redacted_why"]
    items = {one["id"]: one for one in record["items"]}
    assert items["2"]["question"] == "Who is [e-mail]?"
    assert items["4"]["references"] == [["[phone]", 2], ["a", 1]]
    assert items["3"]["answers"]["m"]["zero-shot"]["nf4"]["flags"] == ["phone"]
    assert items["5"]["answers"]["m"]["zero-shot"]["nf4"]["text"] == HOSTILE
    for withheld in ("2", "3", "4", "12"):  # the last shows the picture of number 3
        assert items[withheld]["image"] is None and "not published" in items[withheld]["withheld"]
    assert items["5"]["image"] == "images/i5.jpg" and items["5"]["withheld"] is None
    assert not {"2", "3", "4", "5", "12"} & set(record["qualitative"])


def test_changes_are_those_of_the_comparison(vqa):
    agrees(vqa, "vqa")
    (answers,) = vqa.read("examples.json")["items"][9]["answers"].values()
    assert answers["zero-shot"]["nf4"]["change"] == "changed", "a difference by rounding is none"
    assert answers["zero-shot"]["bfloat16"]["change"] is None


def agrees(study, track):
    """Counts of better, worse and other answers are those of `comparison.compare` on the same files."""
    for precision in PRECISIONS:
        made = scores(track, files.read_jsonl(study.cell(precision) / "item_scores.jsonl"), precision)
        (study.cell(precision) / "scores.json").write_text(json.dumps(made))
    answer = "detections" if track == "detection" else "text"
    cells = comparison.read_cells(*map(study.all, ("scores.json", "item_scores.jsonl", "predictions.jsonl")), answer)
    compared = comparison.compare(study.spec, cells, resamples=20)["comparisons"]
    assert len(compared) == 2
    found = study.read("examples.json")["items"]
    for one in compared:
        changes = Counter(i["answers"]["m"]["zero-shot"][one["precision"]]["change"] for i in found)
        expected = one["answers"]
        assert (changes["better"], changes["worse"]) == (expected["better"], expected["worse"])
        assert changes["same"] + changes["changed"] == expected["same"]
        before, after = cells[0].answers, next(c.answers for c in cells if c.key[1] == one["precision"])
        told = {i["id"]: i["answers"]["m"]["zero-shot"][one["precision"]]["change"] for i in found}
        differ = {key for key in before if before[key] != after[key]}
        assert len(differ) == expected["changed"]
        assert {key for key, change in told.items() if change == "changed"} <= differ
        assert not differ & {key for key, change in told.items() if change == "same"}


def test_an_inspection_of_another_subset_is_refused(vqa, tmp_path):
    stale = vqa.read("inspection.json") | {"subset_hash": "d" * 64}
    vqa.out, kept = tmp_path, vqa.out
    (tmp_path / "inspection.json").write_text(json.dumps(stale))
    try:
        done = vqa.gather()
    finally:
        vqa.out = kept
    assert done.returncode == 1 and "is of another subset" in done.stderr and "Traceback" not in done.stderr


def test_the_switch_shows_everything_and_still_flags(vqa, tmp_path):
    vqa.out, kept = tmp_path, vqa.out
    vqa.spec["inspection"]["redact"] = False
    try:
        assert vqa.inspect().returncode == vqa.gather().returncode == 0
        assert [row["item"] for row in vqa.read("inspection.json")["flagged"]] == ["2", "3", "4", "5"]
        record = vqa.read("examples.json")
    finally:
        vqa.out = kept
        vqa.spec["inspection"]["redact"] = True
    assert record["items"][3]["answers"]["m"]["zero-shot"]["nf4"]["text"] == "call (650) 253-0000"
    assert record["items"][3]["image"] == "images/i3.jpg"
    assert not record["redacted"] and "switches replacing off" in record["redacted_why"]
    assert not {"2", "3", "4", "5", "12"} & set(record["qualitative"])


def test_detections_are_told_right_and_wrong(tmp_path):
    objects = [{"category_id": 1, "bbox": [0, 0, 10, 10], "iscrowd": 0, "area": 100}]
    items = [item(i, None, ()) for i in range(12)]
    for one in items:
        one["extra"] = {"width": 50, "height": 40, "objects": objects}
    hit, miss = ({"category_id": 1, "bbox": box, "score": 0.9} for box in ([0, 0, 10, 10], [30, 30, 5, 5]))
    faint = {"category_id": 1, "bbox": [1, 1, 5, 5], "score": 0.1}
    answers = {"bfloat16": [[hit, faint]] * 12, "int8": [[hit]] * 12, "nf4": [[miss]] * 6 + [[hit, faint]] * 6}
    from bitbudget.tracks import detection

    values = {
        name: detection.score(items, {i["id"]: a for i, a in zip(items, of, strict=True)}, 1)[1]
        for name, of in answers.items()
    }
    study = Study(
        tmp_path, "detection", "AP", items, answers, values, categories=[{"id": 1, "name": "fox"}], kind="demo-boxes"
    )
    assert study.inspect().returncode == 0
    inspection = study.read("inspection.json")
    assert all(cell["flagged"] == {} and cell["answers_flagged"] is None for cell in inspection["cells"])
    assert inspection["flagged"] == [] and all(one["absent"] for one in inspection["looked_for"])
    done = study.gather()
    assert done.returncode == 0, done.stderr
    agrees(study, "detection")
    first = study.read("examples.json")["items"][0]
    assert (first["width"], first["height"]) == (50, 40)
    assert first["objects"] == [{"name": "fox", "bbox": [0, 0, 10, 10], "crowd": False}]
    told = first["answers"]["m"]["zero-shot"]
    assert told["bfloat16"]["text"] == "fox 0.90" and told["int8"]["change"] == "changed"
    assert told["nf4"]["text"] == "fox 0.90 (wrong); missed: fox" and told["nf4"]["change"] == "worse"
    assert told["nf4"]["detections"] == [{"name": "fox", "bbox": [30, 30, 5, 5], "score": 0.9, "right": False}]


def captioning(root, count=12):
    items = [item(i, None, ["a picture"]) for i in range(count)]
    answers = {name: ["a red ring"] * count for name in PRECISIONS}
    answers["nf4"] = ["a red ring and a star"] * count
    return Study(root, "captioning", "CIDEr", items, answers, {name: [] for name in PRECISIONS}, kind="nocaps")


def test_hallucinated_objects_are_listed_and_compared(tmp_path):
    study = captioning(tmp_path)
    names = [{"id": n, "name": name} for n, name in enumerate(("ring", "star"))]
    images = [{"id": f"i{n}", "file_name": "x.jpg", "width": 9, "height": 9} for n in range(12)]
    boxes = [{"id": n, "image_id": f"i{n}", "category_id": 0, "bbox": [0, 0, 2, 2]} for n in range(12)]
    given = tmp_path / "objects.json"
    given.write_text(json.dumps({"images": images, "annotations": boxes, "categories": names}))
    done = study.inspect("--instances", given)
    assert done.returncode == 0, done.stderr
    record = study.read("inspection.json")
    assert [cell["metrics"]["chair_i"]["value"] for cell in record["cells"]] == [0, 0, 0.5]
    differences = {one["precision"]: one["metrics"] for one in record["comparisons"]}
    assert differences["int8"]["chair_s"]["value"] == 0 and differences["nf4"]["chair_s"]["p_value"] < 0.001
    assert differences["nf4"]["chair_s"]["family"] == 2 and "after Holm" in record["correction"]
    assert differences["nf4"]["chair_s"]["p_holm"] == 2 * differences["nf4"]["chair_s"]["p_value"]
    assert [cell["answers_flagged"] for cell in record["cells"]] == [0, 0, 0], "CHAIR counts made-up objects"
    assert len(record["flagged"]) == 12
    assert record["flagged"][0]["what"] == "not in the image: star" and record["flagged"][0]["precisions"] == ["nf4"]
    assert record["looked_for"][0]["absent"] is None


def objects(path, names):
    """A file of the objects of twelve images, each of which shows the first category."""
    images = [{"id": f"i{n}", "file_name": "x.jpg", "width": 9, "height": 9} for n in range(12)]
    boxes = [{"id": n, "image_id": f"i{n}", "category_id": 0, "bbox": [0, 0, 2, 2]} for n in range(12)]
    categories = [{"id": n, "name": name} for n, name in enumerate(names)]
    path.write_text(json.dumps({"images": images, "annotations": boxes, "categories": categories}))
    return path


def test_digits_are_objects_and_signs_are_left_out_with_a_remark(tmp_path):
    study = captioning(tmp_path)
    lines(study.cell("nf4") / "predictions.jsonl", [{"id": str(i), "text": "a 7 and a 9"} for i in range(12)])
    done = study.inspect("--instances", objects(tmp_path / "objects.json", ["7", "9", "\N{DOG FACE}", "..."]))
    assert done.returncode == 0, done.stderr
    record = study.read("inspection.json")
    assert "value" not in record["cells"][0]["metrics"]["chair_i"]  # "a red ring" names none of the four
    assert record["cells"][2]["metrics"]["chair_i"]["value"] == 0.5
    assert record["flagged"][0]["what"] == "not in the image: 9"
    (said,) = (one for one in record["limits"] if "categories" in one)
    assert said.startswith("2 of the 4 categories are not looked for") and "'...'" in said


def test_categories_without_any_word_leave_the_objects_out_with_their_reason(tmp_path):
    study = captioning(tmp_path)
    done = study.inspect("--instances", objects(tmp_path / "objects.json", ["\N{DOG FACE}", "!"]))
    assert done.returncode == 0, done.stderr
    record = study.read("inspection.json")
    assert all(one["metrics"]["chair_s"]["absent"] == truth.NO_WORDS for one in record["cells"])
    assert record["looked_for"][0]["absent"] == truth.NO_WORDS and record["comparisons"] == []


def test_an_answer_with_several_findings_is_counted_once(tmp_path):
    study = captioning(tmp_path)
    lines(
        study.cell("nf4") / "predictions.jsonl", [{"id": str(i), "text": "a fat man, you bastard"} for i in range(12)]
    )
    assert study.inspect().returncode == 0
    (cell,) = (one for one in study.read("inspection.json")["cells"] if one["precision"] == "nf4")
    assert cell["flagged"] == {"privacy": 0, "profanity": 12, "people": 12} and cell["answers_flagged"] == 12


@pytest.mark.parametrize(("kind", "on"), [("local-captions", True), ("hub-captions", True), ("nocaps", False)])
def test_captions_of_unknown_pictures_are_redacted(tmp_path, kind, on):
    study = captioning(tmp_path)
    study.spec["kind"] = kind
    lines(study.cell("nf4") / "predictions.jsonl", [{"id": str(i), "text": "mail bob@example.com"} for i in range(12)])
    assert study.inspect().returncode == 0
    record = study.read("inspection.json")
    assert record["redaction"]["on"] is on and ("bob@" in json.dumps(record["flagged"])) is not on


def test_without_objects_the_record_says_why(tmp_path):
    study = captioning(tmp_path)
    assert study.inspect().returncode == 0
    record = study.read("inspection.json")
    assert "inspection.instances" in record["looked_for"][0]["absent"] and record["comparisons"] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inspection": {"redact": True, "phone_region": "QQ"}}, "no region 'QQ'"),
        ({"precisions": ["bfloat16", "gone"]}, "no predictions of m / gone / zero-shot"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, change, message):
    study = captioning(tmp_path)
    study.spec |= change
    done = study.inspect()
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr


def test_an_item_without_an_answer_is_refused(tmp_path):
    study = captioning(tmp_path)
    lines(study.cell("int8") / "predictions.jsonl", [{"id": "0", "text": "x"}])
    predictions = {path.parts[-4:-1]: path for path in study.all("predictions.jsonl")}
    with pytest.raises(Exception, match="no answer to item '1'"):
        findings.read_answers(study.spec, study.items, predictions)


def test_the_examples_to_show_follow_the_rule():
    def one(key, *changes, withheld=None):
        answers = {f"p{n}": {"change": change} for n, change in enumerate(changes)}
        return {"id": key, "withheld": withheld, "answers": {"m": {"c": answers}}}

    items = [
        one("hidden", "worse", "worse", "worse", withheld="because"),
        one("calm", "same", "same", "same"),
        one("changed", "changed", "changed", "changed"),
        one("moved", "changed", "better", "changed"),
        one("worse", "worse", "worse", "same"),
        one("calm too", "same", "same", "same"),
    ]
    assert examples.qualitative(items, "m", "c") == ["moved", "worse", "calm"]
    assert examples.qualitative(items[:2], "m", "c") == ["calm"]
    assert examples.qualitative(items[:1], "m", "c") == []


def test_an_item_that_changed_in_another_condition_only_is_no_example():
    def one(key, here, there):
        told = {c: {"base": {"change": None}, "low": {"change": change}} for c, change in (("c", here), ("d", there))}
        return {"id": key, "withheld": None, "answers": {"m": told}}

    items = [one("elsewhere", "same", "worse"), one("here", "worse", "same"), one("both", "changed", "changed")]
    assert examples.qualitative(items, "m", "c")[0] == "here"
