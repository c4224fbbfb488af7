"""Comparing a rerun with the study, on folders made up for it, and building the scratch folder."""

import json
import os
import time

import pytest

from bitbudget import records
from bitbudget.errors import UserError
from bitbudget.provenance import reproduction, rerun
from bitbudget.provenance.reproduction import Cell

SPEC = {
    "seed": 53, "models": ["m"], "precisions": ["float16", "int8"], "conditions": ["zero-shot"], "baseline": "float16",
    "second_pass": True,
}  # fmt: skip


def provenance(**more):
    return {"packages": {"torch": "2.13"}, "commit": "a", "finished": "noon", "seconds": 3.0} | more


def cell(folder, answers=("a", "b", "c"), value=0.5, threads=2, **more):
    """The files of a cell with three items."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"id": f"item{k}", "text": text} for k, text in enumerate(answers)]
    scores = [{"id": row["id"], "CIDEr": len(row["text"])} for row in rows]
    for name, lines in (("predictions.jsonl", rows), ("item_scores.jsonl", scores)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = {"threads": threads, "n": 3, "provenance": provenance(**more)}
    (folder / "predictions.json").write_text(json.dumps(record))
    metrics = {"CIDEr": {"value": value, "n": 3}}
    (folder / "scores.json").write_text(json.dumps({"metrics": metrics, "provenance": provenance(**more)}))
    return folder


@pytest.fixture
def before(tmp_path):
    return cell(tmp_path / "before")


def test_a_rerun_that_differs_in_provenance_alone_is_identical_and_what_changed_is_told(tmp_path, before):
    after = cell(tmp_path / "after", packages={"torch": "2.14"}, finished="midnight", seconds=9.0)
    found = reproduction.compare(before, after)
    assert found["identical"]
    assert set(found["files"].values()) == {"identical"}
    assert found["changed"] == {"provenance.packages.torch": ["2.13", "2.14"]}, "times always differ"


def test_other_threads_make_nothing_differ_by_themselves(tmp_path, before):
    found = reproduction.compare(before, cell(tmp_path / "after", threads=1))
    assert found["identical"]
    assert found["changed"] == {"threads": [2, 1]}


def test_an_answer_that_changed_is_named(tmp_path, before):
    found = reproduction.compare(before, cell(tmp_path / "after", answers=("a", "x", "c")))
    assert not found["identical"]
    assert (found["items_differing"], found["number_differing"]) == (["item1"], 1)
    assert found["files"]["predictions.jsonl"] == "1 item"
    assert found["files"]["item_scores.jsonl"] == "identical"


def test_answers_and_scores_of_one_item_count_once(tmp_path, before):
    found = reproduction.compare(before, cell(tmp_path / "after", answers=("a", "longer", "c")))
    assert found["number_differing"] == 1
    assert found["files"]["item_scores.jsonl"] == "1 item"


def test_items_that_one_run_lacks_differ_and_at_most_50_are_named(tmp_path):
    before = cell(tmp_path / "before", answers=["a"] * 80)
    found = reproduction.compare(before, cell(tmp_path / "after", answers=["a"] * 10))
    assert (found["number_differing"], len(found["items_differing"])) == (70, 50)


def test_another_order_of_the_same_items_is_not_identical(tmp_path, before):
    after = cell(tmp_path / "after")
    lines = (after / "predictions.jsonl").read_text().splitlines()
    (after / "predictions.jsonl").write_text("\n".join(lines[::-1]) + "\n")
    found = reproduction.compare(before, after)
    assert found["files"]["predictions.jsonl"] == "the order of the items"
    assert (found["identical"], found["number_differing"]) == (False, 0)


def test_a_score_that_changed_is_named_by_its_path(tmp_path, before):
    found = reproduction.compare(before, cell(tmp_path / "after", value=0.6))
    assert found["files"]["scores.json"] == "metrics.CIDEr.value"
    assert not found["identical"]


def test_a_missing_file_is_no_match(tmp_path, before):
    after = cell(tmp_path / "after")
    (after / "item_scores.jsonl").unlink()
    assert reproduction.compare(before, after)["files"]["item_scores.jsonl"] == "missing"
    assert not reproduction.compare(before, after)["identical"]
    assert reproduction.missing_files(after) == ["item_scores.jsonl"]


@pytest.mark.parametrize(("there", "here", "said"), [(b"1", b"1", "identical"), (b"1", b"2", "other bytes")])
def test_logits_are_compared_where_a_track_has_them(tmp_path, before, there, here, said):
    after = cell(tmp_path / "after")
    (before / "logits.safetensors").write_bytes(there)
    (after / "logits.safetensors").write_bytes(here)
    assert reproduction.compare(before, after)["files"]["logits.safetensors"] == said
    (after / "logits.safetensors").unlink()
    assert reproduction.compare(before, after)["files"]["logits.safetensors"] == "missing"


def test_the_cells_of_a_study_and_its_noise_floor():
    found = [str(one.folder("s")) for one in reproduction.cells(SPEC)]
    assert found == [
        "results/s/m/float16/zero-shot",
        "results/s/m/int8/zero-shot",
        "results/s/m/float16/zero-shot/noise_floor",
    ]
    assert len(reproduction.cells(SPEC | {"second_pass": False})) == 2


def test_the_last_line_says_how_much_was_compared_or_where_it_differs(tmp_path, before):
    same = reproduction.compare(before, before)
    one, two = Cell("m", "int8", "zero-shot"), Cell("m", "float16", "zero-shot", noise_floor=True)
    assert reproduction.in_one_sentence({one: same, two: same}, 6) == "identical: 6 answers and all scores of 2 cells"
    differs = reproduction.compare(before, cell(tmp_path / "after", answers=("a", "x", "c")))
    said = reproduction.in_one_sentence({one: same, two: differs}, 6)
    assert said.startswith("not identical: 1 of 6 answers or their scores differ, in 1 of 2 cells: ")
    assert "m / float16 / zero-shot (noise floor) (items item1)" in said
    scores = reproduction.compare(before, cell(tmp_path / "scores", value=0.6))
    assert "(scores.json: metrics.CIDEr.value)" in reproduction.in_one_sentence({one: scores}, 3)


def test_the_record_fits_its_schema(tmp_path, before):
    differs = reproduction.compare(before, cell(tmp_path / "after", answers=("a", "x", "c"), threads=1))
    body = {"identical": False, "cells": [vars(Cell("m", "int8", "zero-shot")) | differs]}
    records.write(tmp_path / "reproduction.json", "reproduction", {"study": "s", "seed": 53}, body)


# --- the scratch folder ---


@pytest.fixture
def work(tmp_path):
    """A working folder with a finished study, in which everything is an hour old."""
    folder = tmp_path / "work"
    study = folder / "results/s"
    for name in ("config/config.yaml", "Snakefile", "logs/x.log", ".snakemake/lock", ".git/HEAD", "ids.txt",
                 "resources/models/m/made", "resources/.partial/shard", "results/other/items.jsonl"):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    for name in ("items.jsonl", "images/1.png", "images/.snakemake_timestamp", "summary.csv", "verdicts.txt",
                 "figures/a.svg", "comparison.json", "m/float16/audit.json", "m/float16/checkpoint/made",
                 "m/float16/zero-shot/measurements.json", "m/int8/audit.json", "m/left-over/audit.json"):  # fmt: skip
        (study / name).parent.mkdir(parents=True, exist_ok=True)
        (study / name).write_text(name)
    for one in reproduction.cells(SPEC):
        cell(folder / one.folder("s"))
    ago = time.time() - 3600
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (ago, ago))
    os.utime(study / "images/.snakemake_timestamp", (ago - 60, ago - 60))
    return folder


def built(work, scratch):
    rerun.build(work, "s", reproduction.cells(SPEC), scratch)
    return {str(path.relative_to(scratch)) for path in scratch.rglob("*") if path.is_symlink() or path.is_file()}


def test_everything_stands_in_the_scratch_folder_but_what_is_to_be_made(work, tmp_path):
    assert built(work, tmp_path / "scratch") == {
        rerun.SIGN, "config", "Snakefile", "ids.txt", "resources/models", "results/s/items.jsonl", "results/s/images",
        "results/s/m/float16/audit.json", "results/s/m/float16/checkpoint", "results/s/m/int8/audit.json",
    }  # fmt: skip


def test_links_are_as_old_as_what_they_lead_to(work, tmp_path):
    scratch = tmp_path / "scratch"
    built(work, scratch)
    ages = {name: (scratch / "results/s" / name).lstat().st_mtime for name in ("items.jsonl", "images")}
    assert ages["items.jsonl"] == (work / "results/s/items.jsonl").stat().st_mtime
    assert ages["images"] == (work / "results/s/images/.snakemake_timestamp").stat().st_mtime


def test_a_scratch_folder_in_the_working_folder_does_not_hold_itself(work):
    for name in ("resources/.partial/again", "scratch/deep"):
        assert not any("scratch" in found or ".partial" in found for found in built(work, work / name))


def test_an_unfinished_rerun_is_gone_on_with_and_a_compared_one_is_not(work, tmp_path):
    scratch = tmp_path / "scratch"
    built(work, scratch)
    done = cell(scratch / "results/s/m/int8/zero-shot")
    built(work, scratch)
    assert (done / "scores.json").exists()
    rerun.served(scratch)
    built(work, scratch)
    assert not done.exists()
    assert (work / "resources/models/m/made").exists(), "links are removed, not what they lead to"


def test_a_folder_with_other_things_is_not_touched(work, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.txt").write_text("years of work")
    with pytest.raises(UserError, match="has other things in it"):
        built(work, tmp_path / "thesis")
    assert (tmp_path / "thesis/chapter.txt").exists()


def test_snakemakes_own_options_are_handed_on(tmp_path):
    found = rerun.command(tmp_path, "s", tmp_path / "scratch", 4, ["--conda-prefix=x"])
    assert "--conda-prefix=x" in found
    assert "study=s" in found
    assert found[found.index("--cores") + 1] == "4"
