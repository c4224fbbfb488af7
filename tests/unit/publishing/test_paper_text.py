"""What the paper says, by the records: costs, recommendations, losses by kind, methods, and what was flagged."""

from __future__ import annotations

import dataclasses
import re

import pytest

from bitbudget.publishing.paper import background, costs, discussion, figures, methods, opening, screens
from bitbudget.publishing.paper.view import View
from bitbudget.telling import evidence, record

TIMES = ("latency_median_s", "latency_median_ci_low_s", "latency_median_ci_high_s")


def view_of(folder, **changed):
    """A study as the paper sees it, with some of its records changed."""
    return View(dataclasses.replace(evidence.load(folder), **changed))


def words_in(inlines):
    return "".join(one.get("text", "") for one in inlines)


def retold(folder, change):
    """The study with its verdicts told anew, of rows of the summary that `change` has changed in place."""
    found = evidence.load(folder)
    rows = record.read_summary(folder / "summary.csv")
    for row in rows:
        change(row)
    spec = {key: found.study[key] for key in ("track", "primary", "precisions", "conditions", "baseline", "accept")}
    spec |= {"study": found.name, "models": found.models, "demo": found.demo}
    told = record.body(
        spec, found.comparison, rows, list(found.measurements.values()), list(found.scores.values()), found.blind
    )
    return View(dataclasses.replace(found, verdicts=found.verdicts | told))


def disturb(row):
    row["disturbed"] = "the machine was loaded (12.0 jobs on 2 cores)"


def text_of(blocks):
    return " ".join(words_in(block.get("c", [])) for block in blocks)


class TestCosts:
    @pytest.mark.parametrize(
        ("track", "rate"), [("lambada", "Tokens/s"), ("captioning", "Images/s"), ("detection", "Images/s"),
                            ("vqa", "Answers/s")],
    )  # fmt: skip
    def test_the_tables_rate_is_the_tracks(self, made, track, rate):
        table = costs.table(view_of(made(track=track)))
        assert any(words_in(column["title"]).startswith(rate) for column in table["columns"])

    def test_memory_of_a_gpu_is_told_in_mib_as_well(self, made):
        view = retold(made(track="captioning"), lambda row: row.update(peak_memory_kind="allocated by torch"))
        table = costs.table(view)
        at = next(i for i, one in enumerate(table["columns"]) if words_in(one["title"]).startswith("Peak"))
        assert re.fullmatch(r"\d+ \(\d+ MiB\)", words_in(table["rows"][0]["cells"][at]))

    def test_a_value_without_interval_has_a_note(self, made):
        def change(row):
            row.update(latency_median_ci_low_s=None, latency_median_ci_high_s=None)

        table = costs.table(retold(made(track="captioning"), change))
        assert any("gives no interval" in note[0]["text"] for note in table["notes"])

    def test_smaller_and_slower_is_told(self, made):
        def change(row):
            slower = row["precision"] == "int8-language"
            times = (0.3, 0.28, 0.32) if slower else (0.05, 0.04, 0.06) if not row["baseline"] else (0.1, 0.09, 0.11)
            row.update(zip(TIMES, times, strict=True))

        view = retold(made(track="captioning", precisions=["float16", "int8-language", "nf4-language"]), change)
        text = words_in(costs.paragraph(view)["c"])
        assert "Smaller is not always faster here: int8-language is smaller on disk and slower" in text
        assert "nf4-language is smaller and faster" in text

    def test_what_cannot_be_compared_is_no_smallest(self, made):
        def change(row):
            if not row["baseline"]:
                row |= {"audit_passed": False, "size_on_disk_MB": 0.001}

        text = words_in(costs.paragraph(retold(made(track="captioning", precisions=2), change))["c"])
        assert "0.001" not in text and "left aside: audit failed" in text

    def test_disturbed_timings_are_told_and_nothing_claims_speed(self, made):
        view = retold(made(track="captioning"), disturb)
        told = words_in(costs.paragraph(view)["c"])
        assert "12.0 jobs on 2 cores" in told and not re.search(r"has the lowest latency|[Ss]maller is not", told)
        notes = " ".join(note[0]["text"] for note in costs.table(view)["notes"])
        assert "12.0 jobs on 2 cores" in notes
        abstract = words_in(opening.abstract([view])["c"])
        assert "Timings were disturbed, so no speed is claimed." in abstract
        assert not re.search(r"faster|slower|energy per item", abstract)
        limits = words_in(discussion._limitations([view])["c"])
        assert "12.0 jobs on 2 cores" in limits
        assert not any("latency" in one for one in text_of(discussion._costs(view)).split())
        assert "not to be compared" in next(
            block["alt"]
            for unit in figures.of_costs(view)
            for block in unit.blocks
            if "phases" in block.get("path", "")
        )

    def test_weights_that_were_quantized_before_are_a_limitation(self, made):
        folder = made(track="captioning")
        found = evidence.load(folder)
        name = found.models[0]
        made_from = {"types": {"Q4_1": 3, "F32": 2, "Q8_0": 1}, "bits": 5.737}
        fetched = {name: found.models_fetched[name] | {"made_from": made_from}}
        limits = words_in(discussion._limitations([view_of(folder, models_fetched=fetched)])["c"])
        assert f"{name} comes from a file of weights in Q4_1 and Q8_0, 5.74 bits per weight" in limits
        floats = {name: fetched[name] | {"made_from": made_from | {"types": {"F16": 3, "F32": 2}}}}
        limits = words_in(discussion._limitations([view_of(folder, models_fetched=floats)])["c"])
        assert "comes from a file" not in limits

    def test_remarks_stand_with_the_table_and_the_limitations(self, made):
        view = retold(made(track="captioning"), lambda row: row.update(remarks="swap was in use"))
        assert any("swap was in use" in note[0]["text"] for note in costs.table(view)["notes"])
        assert "swap was in use" in words_in(discussion._limitations([view])["c"])


class TestAdvice:
    def test_only_simulated_formats(self, made):
        def change(row):
            row["simulated"] = None if row["baseline"] else "rtn-2"

        view = retold(made(track="captioning", precisions=2), change)
        assert "only simulated" in words_in(costs.paragraph(view)["c"])
        assert "The baseline, float16, is recommended" in text_of(opening.conclusion([view]))

    def test_profiles_and_the_runner_up_are_told(self, made):
        folder = made(track="captioning", precisions=4)
        found = evidence.load(folder)
        cell = found.verdicts["cells"][0]
        other = cell["profiles"][0] | {"prefer": "latency", "precision": found.baseline, "reason": "it is the fastest"}
        cell["profiles"].append(other)
        text = text_of(opening.conclusion([View(found)]))
        assert f"For the least latency, the baseline, {found.baseline}, is recommended: it is the fastest." in text
        assert "Runner-up: " in text


class TestWords:
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
        assert "gptq-4 was calibrated on 96 texts of the split calibration, none of which is evaluated." in text
        found = evidence.load(made(track="captioning", precisions=["bfloat16", "gptq-4"]))
        found.study["quantization"]["calibration"] |= {"items": 64, "split": "val"}
        text = text_of_blocks(methods.units(View(found)))
        said = "gptq-4 was calibrated on 64 images of the split val, none of which is evaluated, with the prompt and a"
        assert f"{said} reference answer beside each." in text

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
    return text_of([block for unit in units for block in unit.blocks])
