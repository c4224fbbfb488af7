"""The appendix: always one page that can be read, and honest about what is not known or not shown."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from asked import asked
from jsonschema import Draft202012Validator
from pypdf import PdfReader

import made_results
from bitbudget import records
from bitbudget.errors import UserError
from bitbudget.publishing.appendix import facts, page, provenance
from bitbudget.publishing.typesetting import typst
from bitbudget.telling import evidence

TEMPLATE = typst.TEMPLATES / "appendix.typ"
REPORT = {"title": None, "authors": [{"name": "A. Author"}]}
SMALLEST = 6  # points
OTHER = {
    "system": "Linux-7.0", "cpu": "Sliderule 3", "cores": 16, "memory_mib": 131_072, "threads": 8,
    "gpus": [{"name": "GPU X", "uuid": "GPU-1", "memory_mib": 81_920, "driver": "570.1"}] * 2,
}  # fmt: skip


def loaded(folder: Path, **named: Any) -> evidence.Evidence:
    return evidence.load(made_results.build(folder, **named))


def data_of(studies: list[evidence.Evidence], less: page.Shortening = page.LEVELS[0]) -> dict[str, Any]:
    return page.data(REPORT, studies, ["typst 1.0"], less)


def pdf_of(studies: list[evidence.Evidence], out: Path) -> PdfReader:
    found = page.fitted(lambda less: data_of(studies, less), lambda content: typst.compiled(TEMPLATE, content, {})[1])
    assert typst.compile_pdf(TEMPLATE, found, out) == 1
    assert found["size"] >= SMALLEST
    return PdfReader(out)


def text_of(reader: PdfReader) -> str:
    return re.sub(r"[\s\u200b\u00a0]", "", "".join(one.extract_text() for one in reader.pages))


def pairs_of(content: dict[str, Any], heading: str) -> dict[str, str]:
    block = next(block for block in content["blocks"] if block["heading"] == heading)
    return dict(map(tuple, block["pairs"]))


@pytest.mark.parametrize(
    "named",
    [
        {"track": "captioning", "precisions": 1},
        {"track": "vqa", "precisions": 12, "models": 2, "conditions": ("zero-shot", "4-shot")},
        {"track": "detection", "precisions": 12},
        {"track": "lambada", "precisions": 12, "missing": ("energy_per_item", "latency")},
    ],
    ids=lambda named: f"{named['track']}-{named['precisions']}",
)
def test_it_is_one_page_that_names_every_checkpoint(tmp_path, named):
    made = loaded(tmp_path, **named)
    reader = pdf_of([made], tmp_path / "appendix.pdf")
    box = reader.pages[0].mediabox
    assert (len(reader.pages), round(box.width), round(box.height)) == (1, 595, 842)
    text = text_of(reader)
    assert all(precision in text for precision in made.precisions)
    for fact in (
        "torch2.13.0+cpu",
        "python3.11.2",
        "Abacus9",
        "0" * 40,
        made.subset["revision"],
    ):
        assert fact in text


def test_many_studies_are_one_page_that_says_what_it_leaves_out(tmp_path):
    studies = [loaded(tmp_path, study=f"s{i}", precisions=12) for i in range(8)]
    text = text_of(pdf_of(studies, tmp_path / "appendix.pdf"))
    assert "more" in text and "seeresults/" in text
    assert all(f"s{i}" in text for i in range(8))


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(UserError, match="does not fit on one page"):
        page.fitted(lambda less: {}, lambda content: 2)


def test_nothing_is_left_out_where_there_is_room():
    tried = []

    def make(less: page.Shortening) -> dict[str, Any]:
        tried.append(less)
        return {}

    found = page.fitted(make, lambda content: 1 if content["size"] <= 7 else 2)
    assert tried == [page.Shortening()] and found["size"] == 7


def test_a_shortened_list_says_how_many_more_and_where(tmp_path):
    made = loaded(tmp_path, precisions=12)
    content = data_of([made], page.Shortening(rows=3, checksums=0, digits=8))
    block = content["blocks"][-1]
    assert len(block["table"]["rows"]) == 3
    assert "And 9 more checkpoints: see results/made/{model}/{precision}/audit.json." in block["note"]
    assert "cut to their first digits" in block["note"]
    assert pairs_of(content, "Study made")["checksums (SHA-256)"] == "1: see results/made/subset.json"


def test_several_machines_are_told_apart_the_measurements_first(tmp_path):
    made = loaded(tmp_path)
    repeat = {"repeat": 1, "provenance": {**made_results.PROVENANCE, "hardware": OTHER}}
    measurements = {key: {**record, "repeats": [repeat]} for key, record in made.measurements.items()}
    content = data_of([dataclasses.replace(made, measurements=measurements)])
    block = content["blocks"][0]
    assert block["note"] == "The records come from 2 machines; the first measured speed."
    (steps, first), (others, second), _ = block["pairs"]
    assert steps == "measuring" and first.startswith("Sliderule 3, 16 cores, 131072 MiB (128.0 GiB) of RAM")
    assert "GPU: 2 times GPU X, 81920 MiB, driver 570.1" in first
    assert "measuring" not in others and second.startswith("Abacus 9, 4 cores") and "GPU: none" in second


def test_a_repeat_knows_where_it_was_measured_and_else_the_record_itself(tmp_path):
    made = loaded(tmp_path)
    elsewhere = {**made_results.PROVENANCE, "hardware": OTHER}
    for own, repeats in ((made_results.PROVENANCE, [{"provenance": elsewhere}]), (elsewhere, [])):
        measurements = {
            key: {**record, "provenance": own, "repeats": repeats} for key, record in made.measurements.items()
        }
        machines = provenance.machines(provenance.of_study(dataclasses.replace(made, measurements=measurements)))
        assert machines[0] == (OTHER, ["measuring"])


def test_one_machine_is_named_once_and_threads_make_no_other(tmp_path):
    made = loaded(tmp_path)
    audits = {
        key: {**one, "provenance": {**one["provenance"], "hardware": {**made_results.HARDWARE, "threads": 1}}}
        for key, one in made.audits.items()
    }
    pairs = pairs_of(data_of([dataclasses.replace(made, audits=audits)]), "Hardware")
    assert list(pairs) == ["all steps", "threads"]
    assert "OMP_NUM_THREADS 1 and 2" in pairs["threads"]


def test_versions_that_differ_between_steps_are_both_told(tmp_path):
    made = loaded(tmp_path)
    other = {**made_results.PROVENANCE, "packages": {**made_results.PACKAGES, "torch": "3.0"}}
    scores = {key: {**record, "provenance": other} for key, record in made.scores.items()}
    lines = provenance.packages(provenance.of_study(dataclasses.replace(made, scores=scores)))
    torch = next(line for line in lines if line.startswith("torch "))
    assert "3.0 (scoring)" in torch and "2.13.0+cpu (measuring, " in torch
    assert lines[0] == "python 3.11.2"


@pytest.mark.parametrize("version", ["9.27.1", None])
def test_the_snakemake_that_ran_a_step_is_in_its_record_and_on_the_page(version, tmp_path, monkeypatch):
    """As its shell names it: an environment of its own has no Snakemake, and by hand there was none."""
    monkeypatch.delenv("BITBUDGET_SNAKEMAKE", raising=False)
    if version:
        monkeypatch.setenv("BITBUDGET_SNAKEMAKE", version)
    written = records.provenance()
    assert written.get("snakemake") == version
    assert "snakemake" not in written["packages"]  # another version neither spoils answers nor forbids to pool repeats
    common = json.loads((records.SCHEMAS / "common.schema.json").read_text())
    Draft202012Validator(common["$defs"]["provenance"]).validate(written)
    study = loaded(tmp_path)
    made = {"packages": made_results.PACKAGES, **({"snakemake": version} if version else {})}
    scores = {key: {**one, "provenance": {**made_results.PROVENANCE, **made}} for key, one in study.scores.items()}
    shown = pairs_of(data_of([dataclasses.replace(study, scores=scores)]), "Software")["packages"]
    assert ("snakemake\u00a09.27.1" in shown) == (version is not None)


def test_a_commit_with_changes_is_explained(tmp_path):
    made = loaded(tmp_path)
    blind = {**made.blind, "provenance": {**made_results.PROVENANCE, "commit": "1" * 40 + "+"}}
    block = data_of([dataclasses.replace(made, blind=blind)])["blocks"][1]
    assert "not committed" in block["note"]
    unknown = {**made.blind, "provenance": {**made_results.PROVENANCE, "commit": None}}
    assert "outside a git checkout" in str(data_of([dataclasses.replace(made, blind=unknown)])["blocks"][1])


def test_a_models_revision_is_never_blank():
    local = facts.model("m", {"local": "models/m", "licence": "MIT", "family": "llava", "revision": ""}, None, 64)
    assert "local folder models/m; no published revision, as it is local; licence MIT" in local
    assert "SHA-256 of its files abcdef" in facts.model("m", {"local": "models/m"}, {"revision": "abcdef1234"}, 6)
    assert "licence not recorded" in facts.model("m", {"local": "models/m"}, None, 64)
    hub = {"hub": "org/m", "revision": "", "licence": "MIT", "family": "llama"}
    assert "Hugging Face Hub org/m; its revision is not recorded" in facts.model("m", hub, None, 64)
    assert "Hugging Face Hub org/m; revision 12ab" in facts.model("m", hub, {"revision": "12ab"}, 64)
    made_from = {"file": "m.Q4_1.gguf", "types": {"Q4_1": 210, "F32": 61}, "bits": 5.737}
    package = {"package": "m==1.0", "file": "m.Q4_1.gguf", "licence": "MIT"}
    said = facts.model("m", package, {"revision": "abcdef", "made_from": made_from}, 4)
    assert said.startswith("m: Python package m==1.0, GGUF file m.Q4_1.gguf (Q4_1, F32; 5.74 bits per weight); SHA-256")


def test_formats_are_those_of_the_audit(tmp_path):
    audit = {
        "groups": {
            "vision": {"format": "bnb-int8", "relative_error": 0.01},
            "language.mlp": {"format": "bnb-int8", "relative_error": 0.01},
            "head": {"format": "bfloat16", "relative_error": None},
        }
    }
    assert facts.formats(audit) == "bnb-int8: vision, language.mlp; bfloat16: the rest"
    assert facts.formats({"groups": {"detector": {"format": "litert-int8", "relative_error": 0.1}}}) == (
        "litert-int8 throughout"
    )
    rows = facts.checkpoints(loaded(tmp_path, precisions=12), 16)
    simulated = [row for row in rows if "(simulated by rounding)" in row[3]]
    assert [row[0] for row in simulated] == ["rtn-2", "rtn-3"]
    # a simulated format has no size of its own
    assert all(row[1] == "-" if row in simulated else row[1].endswith(" MB") for row in rows)
    assert facts.formats_in_short(audit, None) == "bnb-int8: vision, language; bfloat16: the rest"
    kept = {"groups": {**audit["groups"], "language.norm": {"format": "bfloat16", "relative_error": None}}}
    assert facts.formats_in_short(kept, "bfloat16") == "bnb-int8: vision, language.mlp"


def test_the_note_tells_what_stands_for_the_size_of_a_simulated_format(tmp_path):
    assert "simulated by rounding" in data_of([loaded(tmp_path, precisions=12)])["blocks"][-1]["note"]
    assert "simulated by rounding" not in data_of([loaded(tmp_path, precisions=2)])["blocks"][-1]["note"]


def test_formats_with_the_same_settings_stand_together_and_none_is_cut(tmp_path):
    made = loaded(tmp_path)
    given = {f"gptq-{bits}": {"language": {"format": f"gptq-{bits}", "group": 128}} for bits in (8, 4)}
    study = {**made.study, "assignments": {"m": {**given, "nf4": {"language": {"format": "bnb-nf4", "double": True}}}}}
    asked = dataclasses.replace(made, study=study)
    assert facts.quantizing(asked).startswith("gptq-8 and gptq-4: group 128; bnb-nf4: double true")
    assert facts.quantizing(asked, 30).startswith("gptq-8 and gptq-4: group 128 and 1 more: see results/made/")


def test_a_prompt_keeps_its_line_break(tmp_path):
    made = loaded(tmp_path)
    predictions = {key: {**one, "prompt": "{question}\nAnswer."} for key, one in made.predictions.items()}
    asked = dict(facts.asked(dataclasses.replace(made, predictions=predictions), None))
    assert asked["prompt"] == "“{question} / Answer.” (a slash stands for a new line)"


def test_commits_are_told_with_their_studies(tmp_path):
    one, other = loaded(tmp_path, study="one"), loaded(tmp_path, study="other")
    made = provenance.of_study(one)
    made += [
        dataclasses.replace(each, provenance={**each.provenance, "commit": "1" * 40})
        for each in provenance.of_study(other)
    ]
    assert provenance.commits(made) == [f"{'0' * 40} (one)", f"{'1' * 40} (other)"]


def test_calibration_is_told_of_studies_that_have_any(tmp_path):
    made = loaded(tmp_path)
    assert "calibration" not in facts.quantizing(made)
    asked = {**made.study, "quantization": {"calibration": {"items": 32, "split": "train", "file": None}}}
    assert "calibration on 32 items of train" in facts.quantizing(dataclasses.replace(made, study=asked))


def test_a_checkpoint_that_is_gone_has_the_size_that_was_measured(tmp_path):
    made = dataclasses.replace(loaded(tmp_path), checkpoints={})
    size = made.row("model-1", "float16", "zero-shot")["size_on_disk_MB"]
    assert facts.checkpoints(made, 16)[0][1] == f"{size:.0f} MB"


def test_run_time_is_summed_by_step(tmp_path):
    made = loaded(tmp_path, precisions=4)
    steps = provenance.seconds(provenance.of_study(made))
    assert steps["measuring"] == (4, 4.0) and steps["scoring"] == (5, 5.0)
    assert [provenance.duration(s) for s in (0.2, 41, 130, 11_100)] == ["under 1 s", "41 s", "2 min", "3 h 5 min"]


def test_hostile_prompts_are_shown_and_never_run(tmp_path):
    made = loaded(tmp_path)
    predictions = {key: {**one, "prompt": made_results.HOSTILE} for key, one in made.predictions.items()}
    text = text_of(pdf_of([dataclasses.replace(made, predictions=predictions)], tmp_path / "appendix.pdf"))
    for part in ("<script>alert(1)</script>", '#panic("x")', "$x$", "=cmd()", "*a*", "_b_", "@fig", "`c`", "[d](e)"):
        assert part in text


def test_the_code_has_an_address_or_is_in_the_archive(tmp_path):
    made = [loaded(tmp_path)]
    assert pairs_of(data_of(made), "Software")["code"] == "in made.zip, handed in with this page"
    address = "https://example.org/bitbudget"
    content = page.data(REPORT | {"code_address": address}, made, [], page.LEVELS[0])
    assert pairs_of(content, "Software")["code"] == address


def test_a_demo_says_that_it_is_one(tmp_path):
    assert data_of([loaded(tmp_path)])["demo"].startswith("This is a demo study")
    assert data_of([loaded(tmp_path, study="real", demo=False)])["demo"] == ""


def test_the_script_writes_one_page_with_the_models_revisions(tmp_path):
    folder = made_results.build(tmp_path, precisions=2)
    record = json.loads((folder / "models.json").read_text())
    record["models"]["model-1"]["revision"] = "f" * 64
    (folder / "models.json").write_text(json.dumps(record))
    out = tmp_path / "appendix.pdf"
    command = [sys.executable, "workflow/scripts/write_appendix.py", "--results", str(folder)]
    spec = asked("write_appendix", {"report": REPORT})
    root = Path(__file__).parents[3]
    environment = os.environ | {"BITBUDGET_SNAKEMAKE": "9.99.9"}  # not that of this environment
    command += ["--spec", spec, "--out", str(out)]
    subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)
    text = text_of(PdfReader(out))
    assert "f" * 64 in text
    assert re.search(r"writtenwithsnakemake9\.99\.9·typst\d", text)
