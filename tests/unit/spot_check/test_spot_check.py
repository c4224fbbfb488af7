"""The page that people rate on: which answers are on it, in what order, and that nothing tells a precision."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image
from spot_check_study import CELLS, HOSTILE, ROOT, SpotCheckStudy, row

from bitbudget.spot_check import pictures
from bitbudget.spot_check.cards import card_id, choose_items, make_cards
from bitbudget.spot_check.page import counted, embedded, fill

A, B, C = ("m", "bfloat16", "zero-shot"), ("m", "int8-language", "zero-shot"), ("m", "rtn-2-language", "zero-shot")


@pytest.fixture
def study(tmp_path: Path) -> SpotCheckStudy:
    return SpotCheckStudy(tmp_path / "study")


class Scripts(HTMLParser):
    """The script elements of a page as a browser would find them."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[str] = []
        self.texts: dict[str, str] = {}
        self._inside: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "script":
            self._inside = dict(attributes).get("id")

    def handle_endtag(self, tag: str) -> None:
        self._inside = None if tag == "script" else self._inside

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[self._inside] = self.texts.get(self._inside, "") + data


def data_of(study: SpotCheckStudy) -> dict:
    return json.loads(Scripts(study.page.read_text()).texts["data"])


# ---- which items and cards ----


def test_the_choice_depends_on_seed_and_ids_only() -> None:
    ids = [f"i{number}" for number in range(200)]
    chosen = choose_items(ids, 25, 53)
    assert len(set(chosen)) == 25
    assert choose_items(reversed(ids), 25, 53) == chosen
    assert choose_items(ids, 25, 54) != chosen


def test_the_choice_is_apart_from_that_of_the_subset() -> None:
    """Else a spot check of a subset's first items would be of the same items whatever else the study evaluates."""
    from bitbudget.items import subset

    ids = [f"i{number}" for number in range(200)]
    assert set(choose_items(ids, 25, 53)) != set(subset.choose(ids, 25, 53))


def test_fewer_items_than_wanted_are_all_taken() -> None:
    assert sorted(choose_items(["b", "a"], 25, 53)) == ["a", "b"]


def test_equal_answers_share_a_card_and_white_space_makes_none() -> None:
    answers = {A: {"i": "red", "j": "1"}, B: {"i": "red \n", "j": "1"}, C: {"i": "Red", "j": ""}}
    cards = {(card.item, card.answer): card.cells for card in make_cards("s", 1, [row("i"), row("j")], answers)}
    assert cards == {("i", "red"): (A, B), ("i", "Red"): (C,), ("j", "1"): (A, B), ("j", ""): (C,)}


def test_the_order_is_shuffled_and_says_nothing_about_cells() -> None:
    items = [f"i{number}" for number in range(40)]
    rows = [row(item) for item in items]
    answers = {A: dict.fromkeys(items, "a"), B: dict.fromkeys(items, "b")}
    cards = make_cards("s", 1, rows, answers)
    order = [card.id for card in cards]
    assert order == [card.id for card in make_cards("s", 1, rows, dict(reversed(answers.items())))]
    assert order != [card.id for card in make_cards("s", 2, rows, answers)]
    first_half = [card.cells[0] for card in cards[:40]]
    assert 8 < first_half.count(A) < 32
    neighbours = sum(one.item == other.item for one, other in pairwise(cards))
    assert neighbours < 10


def test_a_card_keeps_its_id_when_predictions_change() -> None:
    before = make_cards("s", 1, [row("i")], {A: {"i": "red"}})
    after = make_cards("s", 9, [row("i")], {A: {"i": "blue"}, B: {"i": "red"}})
    assert before[0].id in {card.id for card in after}
    text = b'["s", "i", "What about i?", ["x"], "red"]'
    assert card_id("s", row("i"), "red") == before[0].id == hashlib.sha256(text).hexdigest()[:16]
    assert card_id("other", row("i"), "red") != before[0].id


def test_another_question_under_the_same_id_is_another_card() -> None:
    """A generated set with another seed has the same ids: a rating must not pass to a question nobody saw."""
    asked_again = row("i") | {"question": "And now?"}
    judged_otherwise = row("i") | {"references": ["y"]}
    assert len({card_id("s", one, "red") for one in (row("i"), asked_again, judged_otherwise)}) == 3


# ---- the page ----


def test_page_and_key(study: SpotCheckStudy) -> None:
    done = study.make()
    assert done.returncode == 0, done.stderr
    assert "5 answers to 3 items" in done.stderr
    key, data = study.key, data_of(study)
    assert [card["id"] for card in data["cards"]] == list(key["cards"])
    assert sorted(key["items"]) == ["q1", "q2", "q3"]
    assert (key["seed"], key["subset_hash"]) == (53, "c" * 64)
    shared = key["cards"][study.card("q1", "red")]
    assert [(c["model"], c["precision"], c["condition"]) for c in shared["cells"]] == CELLS
    card = next(card for card in data["cards"] if card["item"] == "q1")
    assert card["question"] == "What colour is the circle?"
    assert card["references"] == [["red", 8], ["maroon", 2]]


def test_nothing_on_the_page_tells_who_answered(study: SpotCheckStudy) -> None:
    study.make()
    text = study.page.read_text().lower()
    for name in {name for cell in CELLS for name in cell}:
        assert name not in text
    assert all(
        set(card) == {"id", "item", "question", "answer", "references", "images"} for card in data_of(study)["cards"]
    )


def test_the_page_is_the_same_whatever_the_order_of_the_cells(study: SpotCheckStudy) -> None:
    study.make()
    before = study.page.read_text()
    study.answers = dict(reversed(study.answers.items()))
    study.make()
    assert study.page.read_text() == before


def test_the_page_needs_no_network_and_runs_only_its_own_program(study: SpotCheckStudy) -> None:
    study.make()
    text = study.page.read_text()
    without_images = re.sub(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", without_images)
    page = Scripts(text)
    assert page.tags.count("script") == 2  # the data and the program
    assert "link" not in page.tags
    assert "iframe" not in page.tags
    program = base64.b64encode(hashlib.sha256(page.texts["program"].encode()).digest()).decode()
    assert f"script-src 'sha256-{program}'" in text
    assert "default-src 'none'" in text
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b", page.texts["program"])


def test_a_hostile_answer_stays_text(study: SpotCheckStudy) -> None:
    study.make()
    assert HOSTILE in {card["answer"] for card in data_of(study)["cards"]}
    assert HOSTILE not in study.page.read_text()


def test_what_is_embedded_can_close_no_element() -> None:
    content = ["</script><!--<script>", "a & b", "\u2028", "é😀"]
    text = embedded(content)
    assert not set(text) & set("<>&\u2028")
    assert json.loads(text) == content


def test_a_text_that_looks_like_a_place_is_not_filled() -> None:
    template = '{{program hash}} {{data}} <script id="program">run()</script>'
    filled = fill(template, {"answer": "{{data}} {{program hash}}"})
    assert '{"answer":"{{data}} {{program hash}}"}' in filled
    with pytest.raises(ValueError, match="a template needs"):
        fill("no place at all", {})


def test_references_are_counted_the_most_frequent_first() -> None:
    assert counted(["maroon", "red", "red ", "red"]) == [("red", 3), ("maroon", 1)]


def test_an_item_without_question_is_shown_with_the_prompt(study: SpotCheckStudy) -> None:
    study.items = [item | {"question": None} for item in study.items]
    study.make()
    data = data_of(study)
    assert data["prompt"] == "Describe it."
    assert {card["question"] for card in data["cards"]} == {None}


# ---- images ----


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))))


def test_an_image_that_several_cards_show_stands_once(study: SpotCheckStudy) -> None:
    study.items[1]["images"] = study.items[0]["images"]
    study.make()
    data = data_of(study)
    assert len(data["images"]) == len(set(data["images"])) == 2
    assert {tuple(card["images"]) for card in data["cards"] if card["item"] in ("q1", "q2")} == {
        tuple(next(card["images"] for card in data["cards"] if card["item"] == "q1"))
    }


def test_each_card_shows_its_own_image(study: SpotCheckStudy) -> None:
    study.make()
    data = data_of(study)
    colours = {"q1": (255, 0, 0), "q2": (0, 0, 255), "q3": (0, 128, 0)}
    for card in data["cards"]:
        centre = decoded(data["images"][card["images"][0]]).getpixel((160, 120))
        assert max(abs(a - b) for a, b in zip(centre, colours[card["item"]], strict=True)) < 12


def test_images_are_reduced_until_they_fit_and_never_enlarged(tmp_path: Path) -> None:
    noise = Image.effect_noise((1500, 900), 90)
    noise.convert("RGB").save(tmp_path / "large.png")
    Image.new("RGB", (50, 40), "red").save(tmp_path / "small.png")
    paths = [tmp_path / "large.png", tmp_path / "small.png"]
    large, small = (decoded(uri) for uri in pictures.data_uris(paths, budget=100_000_000))
    assert (large.size, small.size) == ((1500, 900), (50, 40))
    assert large.format == "JPEG"
    at_800 = sum(map(len, pictures.data_uris(paths, sides=(800,), budget=0)))
    assert decoded(pictures.data_uris(paths, sides=(1280, 800, 640), budget=at_800)[0]).size == (800, 480)
    assert decoded(pictures.data_uris(paths, budget=1)[0]).size == (640, 384)


def test_a_transparent_image_becomes_white_paper_and_loses_its_metadata(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (60, 60), (0, 0, 0, 0))
    exif = Image.Exif()
    exif[0x010E] = "where it was taken"
    picture.save(tmp_path / "clear.png", exif=exif)
    shown = decoded(pictures.data_uris([tmp_path / "clear.png"])[0])
    assert shown.getpixel((30, 30)) == (255, 255, 255)
    assert not shown.getexif()


# ---- mistakes ----


def test_a_missing_answer_names_file_and_item(study: SpotCheckStudy) -> None:
    del study.answers[CELLS[1]]["q2"]
    done = study.make()
    assert done.returncode == 1
    assert "rtn-2-language/4-shot/predictions.jsonl has no answer to item 'q2'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not study.page.exists()


def test_a_study_without_spot_check_says_how_to_get_one(study: SpotCheckStudy) -> None:
    study.spec["spot_check"] = 0
    done = study.make()
    assert done.returncode == 1
    assert "set `spot_check: 25`" in done.stderr


def test_skipped_images_are_not_asked_about(study: SpotCheckStudy) -> None:
    study.make()
    images = json.loads((study.folder / "images.json").read_text())
    del images["images"]["image-q3"]
    images["skipped"] = [{"id": "image-q3", "reason": "cannot be decoded"}]
    write = study.write
    study.write = lambda: (write(), (study.folder / "images.json").write_text(json.dumps(images)))
    assert study.make().returncode == 0
    assert sorted(study.key["items"]) == ["q1", "q2"]


def test_the_folder_of_ratings_needs_nothing_but_python() -> None:
    """The Snakefile imports it."""
    import subprocess
    import sys

    code = (
        "import sys; import bitbudget.spot_check.folder;"
        "sys.exit(any(name in sys.modules for name in ('numpy', 'PIL', 'jsonschema')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "workflow/scripts", check=False)
    assert done.returncode == 0


def test_captions_are_rated_as_answers_are(study: SpotCheckStudy, tmp_path: Path) -> None:
    """CIDEr does not say whether one caption is right: people's own share stands alone, and the rest says why not."""
    study.spec |= {"primary": "CIDEr", "primary_range": None}
    study.items = [{**item, "question": None} for item in study.items]
    assert study.make().returncode == 0
    assert all(card["question"] is None for card in data_of(study)["cards"])
    entries = {
        card: {"item": about["item"], "answer": about["answer"], "rating": "right", "unsafe": False, "comment": ""}
        for card, about in study.key["cards"].items()
    }
    content = {"ratings_of": "bitbudget spot check", "study": study.study, "rater": "anna", "saved": "now"}
    path = study.folder / "anna.json"
    path.write_text(json.dumps({**content, "cards": entries}), encoding="utf-8")
    done = study.read(path)
    assert done.returncode == 0, done.stderr
    for cell in study.human["cells"]:
        assert cell["metrics"]["human_accuracy"]["value"] == 1 and cell["metrics"]["human_accuracy"]["n"] == 3
        assert cell["metrics"]["human_agreement"]["absent"].startswith("CIDEr does not say whether a single answer")
    assert "value" not in study.human["overall"]["metrics"]["kappa"]
