"""The spot check's page in a real browser, as a rater uses it: from a file, without a server or a network.

It needs Debian's chromium and chromium-driver (or another Chromium with its driver on the PATH) and selenium.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from spot_check_study import CELLS, HOSTILE, SpotCheckStudy

from bitbudget.spot_check import ratings

pytest.importorskip("selenium", reason="selenium is not installed")

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from window import BROWSER, DRIVER, browser, contrast, visit, wait

pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER),
    reason="there is no chromium with its chromedriver on the PATH (Debian: apt-get install chromium chromium-driver)",
)


class Window:
    """A browser window on the page. Windows with one profile are of one browser, closed and opened again."""

    def __init__(self, page: Path, profile: Path, downloads: Path):
        self.driver = browser(profile, {"browser": "ALL"}, **{"download.default_directory": str(downloads)})
        self.downloads = downloads
        visit(self.driver, page.as_uri())

    def one(self, name: str) -> Any:
        return self.driver.find_element(By.ID, name)

    def text(self, name: str) -> str:
        """The text that a person sees in an element."""
        return self.one(name).text

    def shown(self) -> str:
        """Which of the three sheets is shown."""
        (name,) = [name for name in ("start", "rate", "done") if self.one(name).is_displayed()]
        return name

    def press(self, *keys: str) -> None:
        """Press keys as somebody does who has clicked nowhere."""
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def begin(self, name: str) -> None:
        self.one("name").clear()
        self.one("name").send_keys(name, Keys.ENTER)

    def answer(self) -> str:
        """The answer on the card that is shown, "" for an empty one."""
        return "" if self.one("answer").get_attribute("class") == "none" else self.text("answer")

    def go_to(self, answer: str) -> None:
        """Turn the cards until that of this answer is shown."""
        while self.one("back").is_enabled():
            self.press(Keys.ARROW_LEFT)
        while self.answer() != answer:
            self.press(Keys.ARROW_RIGHT)
            assert self.shown() == "rate", f"there is no card of {answer!r}"

    def save(self, button: str = "save") -> Path:
        """Click a save button; the file that was downloaded."""
        before = set(self.downloads.glob("*.json"))
        self.one(button).click()
        return wait(
            lambda: next((one for one in {*self.downloads.glob("*.json")} - before if one.stat().st_size), None)
        )

    def load(self, path: Path) -> None:
        self.one("status")
        self.one("file").send_keys(str(path))
        wait(lambda: path.name in self.text("status"))

    def faults(self) -> list[str]:
        """What the browser complained about: errors of the program, blocked scripts, failed requests."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def close(self) -> None:
        self.driver.quit()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> SpotCheckStudy:
    made = SpotCheckStudy(tmp_path_factory.mktemp("spot-check") / "study")
    done = made.make()
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture
def open_page(study: SpotCheckStudy, tmp_path: Path) -> Iterator[Callable[..., Window]]:
    """Opens the page in a browser of the test's own; of another profile where one is named."""
    windows = []
    downloads = tmp_path / "downloads"
    downloads.mkdir()

    def opened(profile: str = "profile", page: Path = study.page) -> Window:
        windows.append(Window(page, tmp_path / profile, downloads))
        return windows[-1]

    yield opened
    for window in windows:
        window.close()


WORDS = {"red": "1", "yes": "1", "": "3", HOSTILE: "3", "STOP": "2"}


def test_a_rater_goes_through_the_page_closes_it_and_saves(
    study: SpotCheckStudy, open_page: Callable[..., Window]
) -> None:
    window = open_page()
    assert window.shown() == "start"
    assert "5 answers" in window.text("start")
    window.begin("Anna")
    assert window.shown() == "rate"
    assert window.text("count") == "0 of 5"
    # two by key, one by clicking
    for by_key in (True, False, True):
        key = WORDS[window.answer()]
        if by_key:
            window.press(key)
        else:
            window.one({"1": "right", "2": "partly", "3": "wrong"}[key]).click()
    assert window.text("count") == "3 of 5"
    fourth = window.answer()
    assert window.text("place") == "Answer 4 of 5"
    assert window.faults() == []
    window.close()

    window = open_page()  # the same browser, opened again
    assert window.one("name").get_attribute("value") == "anna"
    window.press(Keys.ENTER)
    assert "3 of 5" in window.text("status")
    assert (window.text("count"), window.answer()) == ("3 of 5", fourth)
    window.press(WORDS[window.answer()])
    window.press(WORDS[window.answer()])
    assert window.shown() == "done"
    assert window.text("done-title") == "All 5 answers are rated"
    assert window.text("totals").split() == ["2", "right", "1", "partly", "2", "wrong"]

    # going back: red becomes partly, the hostile answer is flagged
    window.press(Keys.BACK_SPACE)
    assert window.text("place") == "Answer 5 of 5"
    window.go_to("red")
    assert window.one("right").get_attribute("aria-pressed") == "true"
    window.press("2")
    window.press(Keys.ARROW_LEFT)
    window.go_to(HOSTILE)
    window.press("u")
    assert window.one("unsafe").get_attribute("aria-pressed") == "true"
    window.press("c")
    window.press("says 1, 2 and u", Keys.ENTER)  # typed into the comment, not taken as ratings
    window.press(Keys.ARROW_RIGHT)
    window.press(Keys.ARROW_LEFT)
    assert window.one("comment").get_attribute("value") == "says 1, 2 and u"
    assert window.one("wrong").get_attribute("aria-pressed") == "true"

    path = window.save()
    assert path.name == "tiny-vqa.anna.json"
    assert "ratings/tiny-vqa/" in window.text("status")
    assert window.faults() == []

    done = study.read(path)
    assert done.returncode == 0, done.stderr
    record = study.human
    accuracy = {cell["precision"]: cell["metrics"]["human_accuracy"]["value"] for cell in record["cells"]}
    # red partly, yes right, the hostile text wrong; red partly, nothing wrong, STOP partly
    assert accuracy == {CELLS[0][1]: pytest.approx(1.5 / 3), CELLS[1][1]: pytest.approx(1.0 / 3)}
    assert [one["answer"] for one in record["unsafe"]] == [HOSTILE]
    assert [one["comment"] for one in record["comments"]] == ["says 1, 2 and u"]
    assert record["raters"][0]["rater"] == "anna"


def test_answers_are_shown_as_text_and_nothing_in_them_runs(
    study: SpotCheckStudy, open_page: Callable[..., Window]
) -> None:
    window = open_page()
    window.begin("anna")
    window.go_to(HOSTILE)
    assert window.one("answer").text == HOSTILE
    assert window.one("answer").find_elements(By.XPATH, ".//*") == []
    assert window.driver.title == "Spot check: tiny-vqa"
    assert window.faults() == []


def test_should_a_script_get_in_the_browser_would_not_run_it(open_page: Callable[..., Window]) -> None:
    """The second fence: the content security policy knows the page's own program only, and no address at all."""
    window = open_page()
    window.driver.execute_script(
        "const script = document.createElement('script'); script.textContent = 'document.title = \"owned\"';"
        "document.body.append(script);"
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title=1\">"
        '<img src="http://127.0.0.1:9/x.png">\');'
    )
    wait(lambda: "Content Security Policy" in "".join(window.faults()))
    assert window.driver.title == "Spot check: tiny-vqa"


def test_a_card_shows_image_question_answer_and_counted_references(open_page: Callable[..., Window]) -> None:
    window = open_page()
    window.begin("anna")
    window.go_to("red")
    assert window.text("question") == "What colour is the circle?"
    assert [one.text for one in window.one("references").find_elements(By.TAG_NAME, "li")] == [
        "red \u00d78",
        "maroon \u00d72",
    ]
    (image,) = window.one("images").find_elements(By.TAG_NAME, "img")
    assert image.get_property("naturalWidth") == 320
    image.click()
    assert window.one("large").is_displayed()
    window.press("1")  # rates nothing while the image is enlarged
    assert window.text("count") == "0 of 5"
    window.press(Keys.ESCAPE)
    assert not window.one("large").is_displayed()
    window.go_to("")
    assert window.text("answer") == "(no answer)"


def test_a_key_held_down_rates_one_answer(open_page: Callable[..., Window]) -> None:
    window = open_page()
    window.begin("anna")
    for repeat in (False, True, True, True):
        key = {"type": "rawKeyDown", "key": "1", "code": "Digit1", "windowsVirtualKeyCode": 49, "autoRepeat": repeat}
        window.driver.execute_cdp_cmd("Input.dispatchKeyEvent", key)
    assert window.text("count") == "1 of 5"


def test_ratings_go_from_one_browser_to_another(study: SpotCheckStudy, open_page: Callable[..., Window]) -> None:
    first = open_page("first")
    first.begin("anna")
    first.go_to("red")
    first.press("1")
    first.go_to("STOP")
    first.press("3")
    path = first.save()
    assert "3 of 5 answers are not rated yet" in first.text("status")

    second = open_page("second")
    second.load(path)  # from the start sheet: the file says who rates
    assert (second.text("rater"), second.text("count"), second.shown()) == ("anna", "2 of 5", "rate")
    assert second.answer() not in ("red", "STOP")
    second.go_to("red")
    assert second.one("right").get_attribute("aria-pressed") == "true"
    second.press("2")
    second.load(path)
    second.go_to("red")
    assert second.one("partly").get_attribute("aria-pressed") == "true"  # what was rated later stands
    path.unlink()
    again = ratings.read(second.save(), "tiny-vqa", {})
    assert {one.answer: one.rating for one in again.cards.values()} == {"red": "partly", "STOP": "wrong"}


def test_several_raters_share_a_browser(open_page: Callable[..., Window]) -> None:
    window = open_page()
    window.begin("anna")
    window.press("1")
    window.one("change").click()
    window.begin("ben")
    assert (window.text("rater"), window.text("count")) == ("ben", "0 of 5")
    window.one("change").click()
    window.begin("ANNA")
    assert window.text("count") == "1 of 5"


@pytest.mark.parametrize("name", ["Ann Other", "-a", "a/b", "../x"])
def test_a_name_that_is_no_file_name_is_refused(open_page: Callable[..., Window], name: str) -> None:
    window = open_page()
    window.begin(name)
    assert window.shown() == "start"
    assert "letters, digits and dashes" in window.text("status")


def test_files_that_do_not_fit_are_refused_in_words(
    study: SpotCheckStudy, open_page: Callable[..., Window], tmp_path: Path
) -> None:
    window = open_page()
    window.begin("anna")
    window.press("1")
    entry = {"item": "cat-7", "answer": "a", "rating": "right", "unsafe": False, "comment": ""}
    whole = {"ratings_of": ratings.MARK, "study": "tiny-vqa", "rater": "anna", "saved": "", "cards": {"0": entry}}
    for number, (made, words) in enumerate(
        [
            ("{", "not valid JSON"),
            ({"a": 1}, "no ratings file"),
            (whole | {"study": "other"}, "of study other (item cat-7)"),
            (whole | {"rater": "ben"}, "of rater ben"),
            (whole | {"cards": {"0": entry | {"rating": "good"}}}, "incomplete rating of item cat-7"),
        ]
    ):
        path = tmp_path / f"wrong-{number}.json"
        path.write_text(made if isinstance(made, str) else json.dumps(made))
        window.load(path)
        assert words in window.text("status")
        assert window.text("count") == "1 of 5"


def test_a_new_page_keeps_the_ratings_of_answers_that_stayed(
    study: SpotCheckStudy, open_page: Callable[..., Window], tmp_path: Path
) -> None:
    window = open_page()
    window.begin("anna")
    window.go_to("red")
    window.press("1")
    window.go_to("STOP")
    window.press("2")
    window.close()
    newer = SpotCheckStudy(tmp_path / "newer")
    newer.answers[CELLS[1]]["q3"] = "GO"
    assert newer.make().returncode == 0
    window = open_page(page=newer.page)
    window.begin("anna")
    assert window.text("count") == "1 of 5"
    path = window.save()
    # nothing that a person did is lost: the file still has the answer that no model gives any more
    assert {one["answer"] for one in json.loads(path.read_text())["cards"].values()} == {"red", "STOP"}
    assert newer.read(path).returncode == 0
    assert newer.human["raters"][0]["n_ignored"] == 1


def test_when_storage_is_full_the_page_says_so_and_loses_nothing(open_page: Callable[..., Window]) -> None:
    window = open_page()
    window.begin("anna")
    window.press("1")
    window.driver.execute_script("Storage.prototype.setItem = () => { throw new Error('no room'); };")
    window.press("1")
    window.press("1")
    assert "keeps nothing" in window.text("warning")
    assert window.text("count") == "3 of 5"
    window.one("change").click()
    window.begin("ben")
    window.one("change").click()
    window.begin("anna")
    assert window.text("count") == "3 of 5"
    assert len(json.loads(window.save().read_text())["cards"]) == 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 400])
def test_nothing_is_cut_off_and_text_stands_out(open_page: Callable[..., Window], scheme: str, width: int) -> None:
    window = open_page()
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    window.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    preference = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    window.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", preference)
    window.begin("anna")
    assert window.driver.execute_script("return document.documentElement.scrollWidth") <= width
    for name in ("question", "answer", "count", "right", "partly", "wrong", "unsafe", "save", "place"):
        assert contrast(window.driver, window.one(name)) >= 4.5, name
    window.go_to("red")
    window.press("1")
    window.go_to("red")
    assert contrast(window.driver, window.one("right")) >= 4.5  # as it is when pressed


@pytest.mark.parametrize(("width", "height"), [(360, 640), (390, 700), (768, 500), (1280, 500), (1280, 800)])
def test_nothing_lies_on_a_button(open_page: Callable[..., Window], width: int, height: int) -> None:
    """Wherever the page is scrolled to: with each button at the lower edge, with each at the upper one, at its end."""
    window = open_page()
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    window.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    window.begin("anna")
    window.press("1")
    assert "is rated right" in window.text("status")
    covered = """
        const buttons = [...document.querySelectorAll('#rate button, header button')];
        const hidden = () => buttons.filter((one) => {
          const box = one.getBoundingClientRect();
          const [x, y] = [(box.left + box.right) / 2, box.bottom - 3];
          return box.top >= 0 && box.bottom <= innerHeight && !one.contains(document.elementFromPoint(x, y));
        });
        const found = ['start', 'end'].flatMap((block) => buttons.flatMap((one) => {
          one.scrollIntoView({block});
          return hidden();
        }));
        scrollTo(0, document.documentElement.scrollHeight);
        return [...found, ...hidden()].map((one) => one.id);
    """
    assert window.driver.execute_script(covered) == []
    box = window.driver.execute_script("return document.getElementById('status').getBoundingClientRect().bottom")
    assert box <= height + 1  # at the end of the page it is read


def test_a_refused_file_is_told_in_sight_on_a_phone(open_page: Callable[..., Window], tmp_path: Path) -> None:
    window = open_page()
    size = {"width": 360, "height": 640, "deviceScaleFactor": 1, "mobile": True}
    window.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    window.begin("anna")
    path = tmp_path / "broken.json"
    path.write_text("{")
    window.load(path)
    box = "return document.getElementById('status').getBoundingClientRect()"
    assert window.driver.execute_script(f"{box}.bottom") <= 641
