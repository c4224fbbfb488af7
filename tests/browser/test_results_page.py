"""The results page in a real browser, from a file, without a server or a network.

It needs Debian's chromium and chromium-driver (or another Chromium with its driver on the PATH) and selenium.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import made_results

pytest.importorskip("selenium", reason="selenium is not installed")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from window import BROWSER, DRIVER, Window, contrast, wait

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER),
    reason="there is no chromium with its chromedriver on the PATH (Debian: apt-get install chromium chromium-driver)",
)
DOT = """digraph snakemake_dag {
    graph[bgcolor=white, margin=0];
    0[label = "all", color = "0.00 0.6 0.85", style="rounded"];
    1[label = "predict", color = "0.30 0.6 0.85", style="rounded"];
    2[label = "<b>score</b>", color = "0.50 0.6 0.85", style="rounded"];
    1 -> 2
    2 -> 0
}
"""
# What no page may have made of the texts of a study. `onerror` and `script` would set the title.
TRAPS = ("[onerror]", "main script", "main b.trap", "a[href^='javascript']")


def write(folder: Path) -> Path:
    """The page of a made-up study, written by the script."""
    dot = folder / "rulegraph.dot"
    dot.write_text(DOT)
    script = ROOT / "workflow/scripts/write_page.py"
    spec = json.dumps({"report": {"examples": 300}})
    options = ["--spec", spec, "--results", folder, "--rulegraph", dot, "--out", folder / "index.html"]
    done = subprocess.run([sys.executable, script, *map(str, options)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "index.html"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models under two conditions, with texts that would break a careless page, and energies that are absent."""
    parent = tmp_path_factory.mktemp("page")
    options = {"models": 2, "conditions": ("zero-shot", "4-shot"), "hostile": True, "missing": ["energy_per_item"]}
    return write(made_results.build(parent, track="vqa", precisions=5, **options))


LONG = (
    "float16", "int8-language", "int8-language-attention-and-mlp", "nf4-language-embeddings-projector",
    "gptq-2-language-attention-and-mlp",
)  # fmt: skip
BROKEN = LONG[-1]


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models under two conditions; all names are long, and one precision is broken."""
    models, conditions = ("smolvlm2-500m-video-instruct", "llava-onevision-qwen2-0.5b"), ("zero-shot", "4-shot")
    options = {"models": models, "conditions": conditions, "precisions": LONG}
    return write(made_results.build(tmp_path_factory.mktemp("long"), track="vqa", **options))


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(made_results.build(tmp_path_factory.mktemp("boxes"), track="detection", precisions=3))


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    opened = Window(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.driver.quit()


def examples(page: Path) -> list[dict[str, Any]]:
    return json.loads((page.parent / "examples.json").read_text())["items"]


def test_everything_is_drawn_without_a_request_or_a_complaint(window: Window, page: Path) -> None:
    window.open(page)
    window.requests()
    window.open(page)
    assert window.text("#title") == "made"
    assert window.one("#demo").is_displayed()
    # all four recommend the same: one card, the reasons on demand, and every verdict in one table
    assert len(window.all(".verdict")) == 1 and not window.one(".reason").is_displayed()
    assert len(window.all(".verdict .reason")) == 4
    assert (len(window.all(".matrix tbody tr")), len(window.all(".matrix thead th"))) == (4, 5)
    names = [trace["type"] for trace in window.traces("scatter")]
    assert names == ["scatter"] * len(names) and len(names) == 6  # five precisions and the Pareto front
    assert len(window.traces("forest")) == 4
    assert [trace["name"] for trace in window.traces("phases")][-1] == "whole call"
    assert [trace["type"] for trace in window.traces("treemap")] == ["treemap"]
    window.see("graph")
    assert len(window.all("#graph svg .node")) == 3
    assert window.texts("#graph svg .node text") == ["all", "predict", "<b>score</b>"]
    assert "reads predict" in window.texts("#graph-words dd")
    assert (window.requests(), window.faults()) == ([], [])
    # the policy holds: neither a request nor a foreign script is let through
    blocked = "return await fetch('https://example.org/').then(() => 'sent', () => 'blocked')"
    assert window.run(f"return (async () => {{ {blocked} }})()") == "blocked"
    assert wait(window.faults)


def test_texts_of_others_are_text(window: Window, page: Path) -> None:
    window.open(page)
    assert [window.all(trap) for trap in TRAPS] == [[]] * len(TRAPS)
    first = window.text(".question")
    assert made_results.HOSTILE in first
    assert made_results.HOSTILE in window.text(".references li")
    assert made_results.HOSTILE in window.text(".answer .text")
    assert made_results.HOSTILE in window.text("#description")
    window.see("treemap")
    assert window.run("return document.title") == "made: results"
    assert window.faults() == []


def test_the_table_is_sorted_by_keyboard(window: Window, page: Path) -> None:
    window.open(page)
    order = "#summary tbody th"
    given = window.texts(order)
    window.run("arguments[0].focus()", window.one("[data-key=quality]"))
    window.press(Keys.ENTER)
    assert window.one("th:has([data-key=quality])").get_attribute("aria-sort") == "ascending"
    values = [float(text.removesuffix(" %")) for text in window.texts("#summary tbody td:nth-child(2) .value")]
    assert values == sorted(values)
    assert window.run("return document.activeElement.dataset.key") == "quality"
    window.press(Keys.SPACE)
    values = [float(text.removesuffix(" %")) for text in window.texts("#summary tbody td:nth-child(2) .value")]
    assert values == sorted(values, reverse=True)
    window.press(Keys.ENTER)
    assert window.texts(order) == given


def test_an_absent_value_says_why_by_keyboard(window: Window, page: Path) -> None:
    window.open(page)
    (dash, *_) = [one for one in window.all("#summary .absent") if made_results.REASON in one.accessible_name]
    assert dash.text == "\N{EM DASH}"
    window.run("arguments[0].focus()", dash)
    assert window.one("#tip").is_displayed()
    assert window.text("#tip") == made_results.REASON
    window.press(Keys.ESCAPE)
    assert not window.one("#tip").is_displayed()
    window.choose("#scatter-cost", "energy_per_item")
    window.see("scatter")
    assert made_results.REASON.rstrip(".") in window.text("#scatter-note")


def test_another_model_and_condition_is_shown_everywhere(window: Window, page: Path) -> None:
    window.open(page)
    window.see("scatter")
    before = window.text("#summary tbody")
    window.choose("#model", "model-2")
    window.choose("#condition", "4-shot")
    assert window.text("#summary caption") == "model-2, 4-shot"
    assert window.text("#summary tbody") != before
    assert "model-2" in window.text("#groups caption")


@pytest.mark.parametrize("precision", ["", "int8-language"])
@pytest.mark.parametrize("kind", ["changed", "worse", "better"])
def test_filters_count_and_show_what_they_say(window: Window, page: Path, kind: str, precision: str) -> None:
    study = json.loads((page.parent / "examples.json").read_text())
    wanted = {"changed": {"changed", "worse", "better"}}.get(kind, {kind})
    names = [precision] if precision else study["precisions"]
    expected = {
        item["id"]
        for item in study["items"]
        if any(item["answers"]["model-1"]["zero-shot"][name]["change"] in wanted for name in names)
    }
    window.open(page)
    window.choose("#filter-precision", precision)
    window.run("arguments[0].click()", window.one(f"#filter [value={kind}]"))
    words = {"worse": "scores lower (VQA accuracy)", "better": "scores higher (VQA accuracy)"}.get(kind, kind)
    assert window.text(f"#filter-{kind}") == f"{words} {len(expected)}"
    shown = set()
    for _ in expected:
        shown.add(window.text("#place").rpartition(" ")[2])
        window.run("document.getElementById('next').click()")
    assert shown == expected
    assert window.one("#next").get_property("disabled")


def test_arrow_keys_step_and_an_id_leads_to_its_item(window: Window, page: Path) -> None:
    window.open(page)
    window.run("document.getElementById('item').scrollIntoView({block: 'center'})")
    place = [window.text("#place")]
    window.press(Keys.ARROW_RIGHT)
    place.append(window.text("#place"))
    window.press(Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert window.text("#place") == place[1] != place[0]
    assert place[0].startswith("1 of 6") and place[1].startswith("2 of 6")
    window.one("#jump").send_keys("3", Keys.ENTER)
    assert window.text("#place").endswith("item 3")
    assert "licence of this picture" in window.text(".withheld")
    # the address leads back to it
    window.open(page, hash=window.run("return location.hash"))
    assert window.text("#place").endswith("item 3")
    window.one("#jump").send_keys("999", Keys.ENTER)
    assert "no item 999" in window.text("#place")


def test_after_a_filter_is_chosen_by_pointer_the_arrows_step(window: Window, page: Path) -> None:
    window.open(page)
    label = window.one("#filter label:nth-of-type(2)")
    window.run("arguments[0].scrollIntoView({block: 'center'})", label)
    label.click()
    assert window.run("return document.activeElement.id") == "item"
    chosen, first = "return document.querySelector('#filter :checked').value", window.text("#place")
    window.press(Keys.ARROW_RIGHT)
    assert window.run(chosen) == "changed" and first.startswith("1 of") and window.text("#place").startswith("2 of")
    # reached by keyboard the radios keep the arrows, and J and K step
    window.run("arguments[0].focus()", window.one("#filter :checked"))
    window.press(Keys.ARROW_RIGHT)
    assert window.run(chosen) == "worse" and window.run("return document.activeElement.name") == "filter"
    window.press(Keys.ARROW_LEFT)
    at = window.text("#place")
    window.press("k")
    back = window.text("#place")
    window.press("j")
    assert (window.run(chosen), window.text("#place")) == ("changed", at) and back != at


def test_remarks_disturbed_timings_and_every_profile_are_told(window: Window, tmp_path: Path) -> None:
    folder = made_results.build(tmp_path, track="captioning", precisions=3)
    path = folder / "verdicts.json"
    told = json.loads(path.read_text())
    (cell,) = told["cells"]
    cell["disturbed"] = "the timings of float16 were disturbed; measure again on a quiet machine"
    cell["remarks"] = ["int8-vision: the second half of a round was slower"]
    first = cell["profiles"][0]
    cell["profiles"] = [
        first,
        first | {"prefer": "latency", "precision": "float16", "clauses": ["runner-up: int8-vision"]},
    ]
    path.write_text(json.dumps(told))
    window.open(write(folder))
    said = "The timings of float16 were disturbed; measure again on a quiet machine."
    assert window.text("#disturbed") == said == window.text(".verdict .disturbed")
    assert "int8-vision: the second half of a round was slower." in window.text("#remarks")
    assert "Peak memory is not compared: it is the largest resident set" in window.text("#remarks")
    assert window.texts(".verdict .big") == [first["precision"], "float16"]
    assert [text.split(":")[0] for text in window.texts(".verdict .why b")] == ["Least memory", "Least latency"]
    assert "Runner-up: int8-vision." in window.text(".verdict")
    assert len(window.all(".chips")) == 1  # none of the baseline
    window.choose("#scatter-cost", "latency")
    window.see("scatter")
    assert said in window.text("#scatter-note")
    assert window.faults() == []


def test_a_row_stops_the_keyboard_once_for_one_reason(window: Window, page: Path) -> None:
    window.open(page)
    rows = window.all("#summary tbody tr")
    assert len(window.all("#summary tbody td .absent")) > len(rows)
    assert max(len(row.find_elements(By.CSS_SELECTOR, "button, [tabindex]")) for row in rows) == 1


@pytest.mark.parametrize("width", [1280, 390])
def test_the_graph_can_be_read_and_what_scrolls_says_so(window: Window, page: Path, width: int) -> None:
    window.open(page, width=width)
    assert window.one("#graph-text").get_property("open") is (width == 390)
    window.see("graph")
    size = """
        const drawn = document.querySelector('#graph svg');
        const letters = parseFloat(getComputedStyle(drawn.querySelector('text')).fontSize);
        return letters * drawn.getBoundingClientRect().width / drawn.viewBox.baseVal.width;
    """
    wait(lambda: window.run(size) >= 11)
    wide = "const one = document.getElementById('summary'); return one.scrollWidth > one.clientWidth"
    assert wait(lambda: window.one("#table .sideways").is_displayed() is window.run(wide))
    assert window.run(wide) is (width == 390)
    name = window.one("#summary tbody th")
    left = window.run("return arguments[0].getBoundingClientRect().left", name)
    window.run("document.getElementById('summary').scrollLeft = 200")
    assert window.run("return arguments[0].getBoundingClientRect().left", name) == left


def test_the_audit_is_zoomed_by_keyboard_and_by_a_click(window: Window, page: Path) -> None:
    window.open(page)
    window.see("treemap")
    level = "return document.getElementById('treemap').data[0].level"
    assert (window.run(level), window.texts("#crumbs li")) == ("0", ["model-1"])
    labels = window.texts("#treemap-part option")
    window.choose("#treemap-part", window.one("#treemap-part option:nth-child(2)").get_attribute("value"))
    assert window.texts("#crumbs li") == ["model-1", labels[1]]
    window.run("arguments[0].click()", window.one("#crumbs button"))
    assert window.run(level) == "0"
    window.run("arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))", window.all("#treemap .slice")[1])
    wait(lambda: len(window.texts("#crumbs li")) == 2)
    assert window.faults() == []


def test_a_picture_and_the_words_that_differ(window: Window, page: Path) -> None:
    window.open(page, hash="#item=4&filter=all&precision=&model=model-1&condition=zero-shot")
    wait(lambda: window.run("return document.querySelector('.asked img').naturalWidth") == 160)
    changed = window.one(".answer[data-precision=int8-vision]")
    removed = [one.text for one in changed.find_elements(By.TAG_NAME, "del")]
    added = [one.text for one in changed.find_elements(By.TAG_NAME, "ins")]
    assert (removed, added) == (["red"], ["int8-vision"])
    assert "e-mail" in changed.text
    assert not window.all(".answer:first-child ins")


def test_a_flagged_answer_leads_to_its_item(window: Window, page: Path) -> None:
    window.open(page)
    window.run("arguments[0].click()", window.one("#screens .link"))
    assert window.text("#place").endswith("item 4")


def test_boxes_are_told_apart_by_more_than_colour(window: Window, boxes: Path) -> None:
    window.open(boxes)
    panels = window.all(".panels figure")
    assert len(panels) == 4  # the annotated objects and three precisions
    window.one("#jump").send_keys("1", Keys.ENTER)
    items = {item["id"]: item for item in examples(boxes)}
    answers = items["1"]["answers"]["model-1"]["zero-shot"]
    for panel, (name, answer) in zip(window.all(".panels figure")[1:], answers.items(), strict=True):
        assert name in panel.text
        (found,) = answer["detections"]
        kinds = [one.get_attribute("class") for one in panel.find_elements(By.CSS_SELECTOR, "rect:not(.halo)")]
        assert kinds == (["right"] if found["right"] else ["missed", "wrong"])
        assert ("missed: circle" in panel.text) is not found["right"]
    styles = [window.run("return getComputedStyle(arguments[0]).strokeDasharray", one) for one in window.all("rect")]
    assert len(set(styles)) > 1
    assert window.faults() == []


def test_no_badge_is_cut_on_a_phone(window: Window, boxes: Path) -> None:
    window.open(boxes, width=360)
    cut = """
        return [...document.querySelectorAll('.panels .tag')].filter((tag) => {
          tag.textContent = '~ changed, worth the same';
          return tag.getBoundingClientRect().right > tag.closest('figcaption').getBoundingClientRect().right;
        }).length
    """
    assert window.all(".panels .tag") and window.run(cut) == 0
    assert "right" not in window.text(".panels figure:first-child figcaption")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 360])
def test_nothing_sticks_out_and_text_stands_out(window: Window, page: Path, scheme: str, width: int) -> None:
    window.open(page, scheme, width)
    for name in DRAWN:
        window.see(name)
    assert window.run("return document.documentElement.scrollWidth") <= width
    for selector in CONTRASTS:
        assert contrast(window.driver, window.one(selector)) >= 4.5, selector
    assert window.faults() == []


CONTRASTS = (
    "#title", "#demo", ".big", ".matrix .kind", ".matrix small", ".tag", "thead th button", "td .value", "td small",
    ".answer .text", ".answer .worth", "del", "ins", "#place", "nav a", "footer", "#filter input:checked + span",
)  # fmt: skip


DRAWN = ("scatter", "forest", "phases", "treemap", "graph")
WIDTHS = [1280, 768, 390, 360]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_lies_beside_the_page(window: Window, long: Path, scheme: str, width: int) -> None:
    """A phone's window grows with what sticks out of the page, so `innerWidth` says nothing; one can pan there."""
    window.open(long, scheme, width)
    for name in DRAWN:
        window.see(name)
    window.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    size = "const {scrollWidth, clientWidth} = document.documentElement; return [scrollWidth, clientWidth, scrollX]"
    scrolled, seen, _ = window.run(size)
    assert scrolled <= seen <= width
    window.run("scrollTo(10000, 0)")
    window.driver.execute_cdp_cmd(
        "Input.synthesizeScrollGesture", {"x": width // 2, "y": 20, "xDistance": -600, "speed": 4000}
    )
    scrolled, seen, moved = window.run(size)
    assert scrolled <= seen and moved == 0


# The parts of names that stand on more than one line: of each text that holds a name, and of each of its words.
BROKEN_WORDS = """
    const names = arguments[0];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (!node.parentElement.checkVisibility() || node.parentElement.closest('script, svg, .unseen, option')) continue;
      for (const name of names) {
        let from = node.data.indexOf(name);
        for (; from >= 0; from = node.data.indexOf(name, from + 1)) {
          let start = from;
          for (const word of name.split(/(?<=-)/)) {
            const range = document.createRange();
            range.setStart(node, start);
            range.setEnd(node, start += word.length);
            const lines = new Set([...range.getClientRects()].map((box) => Math.round(box.top)));
            if (lines.size > 1) found.push(`${word} of ${name} in #${node.parentElement.closest('[id]')?.id}`);
          }
        }
      }
    }
    return found;
"""


@pytest.mark.parametrize("width", [*WIDTHS, 1100])
def test_names_break_at_hyphens_only(window: Window, long: Path, width: int) -> None:
    window.open(long, width=width)
    for name in DRAWN:
        window.see(name)
    window.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    found = window.run(BROKEN_WORDS, LONG)
    assert not found, found
    sticks = """
        return [...document.querySelectorAll('.big, .who, .answer header b')].filter((one) => {
          const range = document.createRange();
          range.selectNodeContents(one);
          const edge = one.parentElement.getBoundingClientRect().right;
          return range.getBoundingClientRect().right > edge + 1;
        }).map((one) => one.textContent)
    """
    assert window.run(sticks) == []
    # in plots, too, names are whole, in lines that end at hyphens
    labels = window.texts("#forest .ytick text")
    assert sorted(labels) == sorted(LONG[1:])
    lines = window.texts("#forest .ytick tspan.line")
    assert all(line.endswith("-") or any(name.endswith(line) for name in LONG) for line in lines)
    assert set(LONG) <= {text.removesuffix(" (baseline)") for text in window.texts("#scatter .legendtext")}


def test_a_broken_precision_is_an_arrow_at_the_end_of_the_axis_and_told_in_words(window: Window, long: Path) -> None:
    window.open(long)
    drawn = """
        const place = document.getElementById(arguments[0]);
        const axis = arguments[0] === 'scatter' ? 'yaxis' : 'xaxis';
        const arrows = place.data.filter((one) => String(one.marker?.symbol).match(/triangle/) && one.text);
        return [place.layout[axis].range, arrows.map((one) => [one[axis[0]][0], one.marker.symbol, one.text[0]])];
    """
    for name, symbol, number in (
        ("scatter", "triangle-down", "3.82"),
        ("forest", "triangle-left", "\N{MINUS SIGN}66.0"),
    ):
        window.see(name)
        (low, high), arrows = window.run(drawn, name)
        ((place, mark, text),) = arrows
        assert (mark, text) == (symbol, number)
        assert low < place < low + 0.1 * (high - low) and high - low < 20  # of a hundred
        assert f"beyond it, as an arrow: {BROKEN} at {number} [" in window.text(f"#{name}-note")
        assert number in window.texts(f"#{name} .textpoint text")
    window.choose("#forest-metric", "exact_match")
    assert window.faults() == []
