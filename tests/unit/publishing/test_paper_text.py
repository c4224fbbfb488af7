"""What the paper says, by the records: costs, recommendations, losses by kind, methods, and what was flagged."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

import made_results
from bitbudget.publishing.paper import advice, background, costs, losses, methods, opening, screens
from bitbudget.publishing.paper.view import View
from bitbudget.telling import evidence


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Build studies once each, by their arguments."""
    folder, known = tmp_path_factory.mktemp("studies"), {}

    def build(**about):
        key = json.dumps(about, sort_keys=True)
        if key not in known:
            known[key] = made_results.build(folder / str(len(known)), **about)
        return known[key]

    return build


def view_of(folder, **changed):
    """A study as the paper sees it, with some of its records changed."""
    return View(dataclasses.replace(evidence.load(folder), **changed))


def words_in(inlines):
    return "".join(one.get("text", "") for one in inlines)


class TestCosts:
    TIMES = ("latency_median_s", "latency_median_ci_low_s", "latency_median_ci_high_s")

    def view(self, made, times):
        """A captioning study with these latencies, each with its interval or none."""
        folder = made(track="captioning", precisions=list(times))
        found = evidence.load(folder)
        rows = [dict(row) for row in found.summary]
        for row in rows:
            row.update(dict(zip(self.TIMES, times[row["precision"]], strict=True)))
        return view_of(folder, summary=rows)

    def test_smaller_and_slower_with_and_without_an_interval(self, made):
        slow, alone = (0.3, 0.28, 0.32), (0.4, None, None)
        view = self.view(made, {"float16": (0.1, 0.09, 0.11), "int8-language": slow, "nf4-language": alone})
        text = words_in(costs.paragraph(view)["c"])
        assert "Smaller is not faster here: int8-language is smaller on disk" in text
        assert "with intervals apart; that of nf4-language (400 ms) is longer as well" in text
        assert re.search(r"a single run of \d+ calls gives no interval for nf4-language", text)
        assert "overlap" not in text

    def test_some_smaller_ones_are_faster(self, made):
        slow, fast = (0.3, 0.28, 0.32), (0.05, 0.04, 0.06)
        view = self.view(made, {"float16": (0.1, 0.09, 0.11), "int8-language": slow, "nf4-language": fast})
        text = words_in(costs.paragraph(view)["c"])
        assert "Smaller is not always faster" in text and "nf4-language is smaller and faster" in text

    def test_overlapping_intervals_are_told(self, made):
        near = (0.09, 0.08, 0.12)
        view = self.view(made, {"float16": (0.1, 0.09, 0.11), "int8-language": near})
        assert "though their intervals overlap" in words_in(costs.paragraph(view)["c"])

    def test_a_value_without_interval_has_a_note(self, made):
        view = self.view(made, {"float16": (0.1, 0.09, 0.11), "int8-language": (0.4, None, None)})
        table = costs.table(view, view.cells, "")
        assert any("gives no interval" in note[0]["text"] for note in table["notes"])

    def test_what_cannot_be_compared_is_no_smallest(self, made):
        folder = made(track="captioning", precisions=["float16", "int8-language"])
        rows = [dict(row) for row in evidence.load(folder).summary]
        rows[1] |= {"audit_passed": False, "size_on_disk_MB": 0.001}
        text = words_in(costs.paragraph(view_of(folder, summary=rows))["c"])
        assert "0.001" not in text and "left aside: audit failed" in text


class TestAdvice:
    def test_equal_recommendations_are_one_sentence(self, made):
        folder = made(track="captioning", precisions=4, models=2, conditions=["zero-shot", "4-shot"])
        found = evidence.load(folder)
        chosen = [one | {"precision": "int8-language"} for one in found.verdicts["recommendations"]]
        view = view_of(folder, verdicts=found.verdicts | {"recommendations": chosen})
        said = " ".join(advice.sentences(view, view.cells))
        assert said.startswith("For all models and conditions, recommended is int8-language")
        assert said.count("recommended is") == 1

    def test_a_slower_choice_is_a_trade(self, made):
        folder = made(track="captioning", precisions=["float16", "int8-language"])
        found = evidence.load(folder)
        rows = [dict(row) for row in found.summary]
        for row, time in zip(rows, (0.1, 0.2), strict=True):
            row |= {"latency_median_s": time, "latency_median_ci_low_s": time, "latency_median_ci_high_s": time}
        chosen = [one | {"precision": "int8-language"} for one in found.verdicts["recommendations"]]
        view = view_of(folder, summary=rows, verdicts=found.verdicts | {"recommendations": chosen})
        assert re.search(
            r"the price is .*2\.00\N{MULTIPLICATION SIGN} the latency", " ".join(advice.sentences(view, view.cells))
        )

    def test_a_clear_loss_that_is_accepted_is_told(self, made):
        folder = made(track="captioning", precisions=["float16", "int8-language"])
        found = evidence.load(folder)
        judged = [one | {"kind": "loss", "accepted": True} for one in found.verdicts["verdicts"]]
        chosen = [one | {"precision": "int8-language"} for one in found.verdicts["recommendations"]]
        view = view_of(folder, verdicts=found.verdicts | {"verdicts": judged, "recommendations": chosen})
        said = " ".join(advice.sentences(view, view.cells))
        assert "It is accepted although it loses quality clearly" in said and "keeps at least 95 %" in said
        assert view.why_accepted("model-1", "int8-language", "zero-shot").startswith("loses clearly, but keeps")

    def test_only_simulated_formats(self, made):
        folder = made(track="captioning", precisions=["float16", "int8-language"])
        rows = [dict(row) for row in evidence.load(folder).summary]
        rows[1]["simulated"] = "rtn-2"
        found = evidence.load(folder).verdicts
        chosen = [one | {"precision": "float16"} for one in found["recommendations"]]
        view = view_of(folder, summary=rows, verdicts=found | {"recommendations": chosen})
        assert advice.sentences(view, view.cells) == [
            "Only simulated formats were compared, which have no costs, so nothing is recommended on costs."
        ]

    def test_what_was_not_compared_is_named_and_not_counted(self, made):
        folder = made(track="captioning", precisions=4)
        found = evidence.load(folder)
        judged = [one | {"kind": "no-loss-detected"} for one in found.verdicts["verdicts"]]
        judged[0]["kind"] = "not-compared"
        text = opening.outcome(view_of(folder, verdicts=found.verdicts | {"verdicts": judged}))
        missing = judged[0]["precision"]
        assert text == f"None of the 2 compared precisions loses quality clearly; {missing} could not be compared."


class TestWords:
    def test_boxes_that_fit_worse(self, made):
        folder = made(track="detection", precisions=2)
        found = evidence.load(folder)
        scores = {cell: one | {"metrics": dict(one["metrics"])} for cell, one in found.scores.items()}
        for (_, precision, _), one in scores.items():
            worse = precision != found.baseline
            for name, pair in {"AP50": (0.8, 0.78), "AP75": (0.7, 0.5)}.items():
                one["metrics"][name] = {"value": pair[worse]}
        view = view_of(folder, scores=scores)
        text = words_in(losses.by_kinds(view, view.others[0]))
        assert "AP75 from 0.700 to 0.500: objects are still found, but their boxes fit worse" in text

    def test_words_of_two_tokens(self, made):
        folder = made(track="lambada", precisions=2)
        found = evidence.load(folder)
        kinds = {"target_tokens": {"1": {"value": 0.8, "n": 90}, "2": {"value": 0.7, "n": 30}}}
        lower = {"target_tokens": {"1": {"value": 0.8, "n": 90}, "2": {"value": 0.5, "n": 30}}}
        scores = {c: one | {"breakdown": kinds if c[1] == found.baseline else lower} for c, one in found.scores.items()}
        view = view_of(folder, scores=scores)
        assert "from 70.0 % to 50.0 % for words of two tokens (n = 30)" in words_in(
            losses.by_kinds(view, view.others[0])
        )

    @pytest.mark.parametrize(
        ("subset", "words"),
        [(160, "were drawn with seed 53"), ("all", "All 160"), ({"ids": "mine.txt"}, "by the study's file mine.txt")],
    )
    def test_how_items_were_chosen(self, made, subset, words):
        folder = made(track="captioning")
        study = evidence.load(folder).study
        view = view_of(folder, study=study | {"dataset": study["dataset"] | {"subset": subset}})
        assert words in text_of_blocks(methods.units(view))

    def test_examples_of_a_prompt_and_calibration(self, made):
        found = evidence.load(made(track="vqa", conditions=["4-shot"]))
        shown = {cell: one | {"shots": ["1", "2", "3", "4"]} for cell, one in found.predictions.items()}
        study = found.study | {"dataset": found.study["dataset"] | {"shots_split": "train"}}
        text = text_of_blocks(methods.units(View(dataclasses.replace(found, predictions=shown, study=study))))
        assert "the model sees 4 examples (4-shot) of the split train, none of which is evaluated" in text
        assert "calibrated" not in text
        found = evidence.load(made(track="lambada", precisions=["bfloat16", "gptq-4"]))
        found.study["quantization"]["calibration"] |= {"items": 96, "split": "calibration"}
        text = text_of_blocks(methods.units(View(found)))
        assert "gptq-4 was calibrated on 96 texts of the split calibration, none of which is evaluated" in text

    def test_metrics_that_were_not_computed_are_not_described(self, made):
        folder = made(track="captioning")
        found = evidence.load(folder)
        for one in found.scores.values():
            one["metrics"]["SPICE"] = {"absent": "no Java."}
        assert "SPICE" not in text_of_blocks(methods.units(View(found)))

    def test_options_of_formats(self, made):
        folder = made(track="captioning", precisions=["float16", "int8-language"])
        study = evidence.load(folder).study
        for groups in study["assignments"]["model-1"].values():
            for one in groups.values():
                one |= {"threshold": 0} if one["format"] == "bnb-int8" else {}
        text = text_of_blocks(background.units([view_of(folder, study=study)]))
        assert "no activation column is taken out" in text and "with a value above" not in text

    def test_findings_are_told_alike_and_apart(self, made):
        record = evidence.load(made(track="captioning")).inspection
        told = screens.flagged(record)
        assert told.startswith("52 of 640 captions name an object that is not there")
        assert re.search(r"the other screens flagged \d+ of \d+ answers \(privacy\)", told)
        given = [one | {"where": "question"} for one in record["flagged"] if one["kind"] == "privacy"]
        told = screens.flagged(record | {"flagged": given})
        assert "flagged no answer" in told and "1 finding is in what people wrote" in told
        assert screens.flagged(record | {"flagged": []}).endswith("no proof that nothing is there.")

    def test_boxes_are_not_screened(self, made):
        record = evidence.load(made(track="detection")).inspection
        assert not record["flagged"] and not screens.screened(record)


def text_of_blocks(units):
    blocks = [block for unit in units for block in unit.blocks]
    return " ".join(words_in(block.get("c", [])) for block in blocks)
