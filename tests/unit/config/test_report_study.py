"""What a study says of its report, and what the rules that publish are told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from config_folder import ROOT, ConfigFolder, is_one_sentence

from bitbudget.config import publication, spec
from bitbudget.config.study import load_studies
from bitbudget.errors import UserError

MINE = "config/studies/mine.yaml"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConfigFolder:
    monkeypatch.chdir(tmp_path)
    return ConfigFolder(tmp_path)


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        ({"with": ["mine"]}, f"{MINE}: `report.with` names the study itself, which is in it anyway"),
        ({"with": ["demo-lambda"]}, "names 'demo-lambda', which is no study; did you mean demo-lambada?"),
        ({"words": "my-words"}, f"{MINE}: `report.words` is my-words, which is no folder"),
        ({"template": "mine.typ"}, f"{MINE}: `report.template` is mine.typ, which does not exist"),
        ({"authors": [{"affiliation": "a university"}]}, "name"),
        ({"examples": 0}, "`report.examples`"),
    ],
)
def test_what_is_not_there_is_one_sentence(report: dict[str, Any], sentence: str, config: ConfigFolder) -> None:
    assert sentence in config.refusal(report=report)


def test_a_file_of_objects_is_for_captions_and_must_be_there(config: ConfigFolder) -> None:
    assert "`inspection.instances` is none.json, which does not exist" in config.refusal(
        inspection={"instances": "none.json"}
    )
    sentence = config.refusal(
        track="lambada",
        dataset={"name": "demo-passages"},
        models=["demo-lm"],
        inspection={"instances": "none.json"},
    )
    assert "`inspection.instances` tells made-up objects in captions, and the track is lambada" in sentence


def test_own_words_are_found_by_the_studys_name(config: ConfigFolder) -> None:
    assert config.resolved()["report"]["words"] is None
    Path("paper/mine").mkdir(parents=True)
    Path("paper/mine/introduction.md").write_text("Why.")
    study = config.resolved()
    assert study["report"]["words"] == "paper/mine"
    assert publication.words(study) == ["paper/mine/introduction.md"]


def test_a_report_over_two_studies_asks_for_the_other_to_be_run(config: ConfigFolder) -> None:
    study = config.resolved(report={"with": ["demo-lambada"]})
    assert publication.told_together(study) == ["mine", "demo-lambada"]
    with pytest.raises(UserError) as caught:
        publication.finished("demo-lambada", "mine")
    assert is_one_sentence(str(caught.value).replace("'study=[demo-lambada,mine]'", "it"))
    assert "run that study first (make run STUDY=demo-lambada)" in str(caught.value)
    folder = Path("results/demo-lambada")
    folder.mkdir(parents=True)
    (folder / "study.resolved.yaml").write_text("study: demo-lambada")
    assert publication.finished("demo-lambada", "mine") == {"study": "demo-lambada"}
    there, missing = str(folder / "study.resolved.yaml"), str(folder / "summary.csv")
    assert publication.all_there([there], "demo-lambada", "mine") == [there]
    with pytest.raises(UserError, match=r"whose results/demo-lambada/summary\.csv is not there"):
        publication.all_there([there, missing], "demo-lambada", "mine")


def test_what_a_report_shows_of_formats_and_tracks_is_among_its_code(config: ConfigFolder) -> None:
    study = config.resolved(precisions=["bfloat16", "nf4-language"])
    assert publication.shown_modules([study]) == [
        "bitbudget.models.formats.bnb_nf4",
        "bitbudget.models.formats.floats",
        "bitbudget.tracks.captioning",
    ]


def test_another_author_rewrites_the_paper_and_inspects_nothing_again(config: ConfigFolder) -> None:
    before = config.resolved()
    after = config.resolved(report={"authors": [{"name": "Ada"}]})
    assert changed(before, after) == {"write_paper", "write_appendix", "write_slides"}


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """The scripts that inspect and publish and are told something else."""
    scripts = ("inspect_outputs", "gather_examples", "write_page", "write_paper", "write_appendix", "write_slides")
    return {script for script in scripts if spec.of(script, before, {}) != spec.of(script, after, {})}


def test_the_codes_address_is_one_setting(config: ConfigFolder) -> None:
    config.write_study()
    address = "https://example.org/bitbudget"
    before = load_studies({"study": "mine"})["mine"]
    after = load_studies({"study": "mine", "code": {"address": address}})["mine"]
    assert spec.of("write_paper", before, {})["report"]["code_address"] is None
    assert spec.of("write_paper", after, {})["report"]["code_address"] == address
    assert changed(before, after) == {"write_paper", "write_appendix"}


def test_the_citation_names_the_code_where_the_configuration_does() -> None:
    cited, configured = (
        yaml.safe_load((ROOT / name).read_text(encoding="utf-8")) for name in ("CITATION.cff", "config/config.yaml")
    )
    assert cited.get("repository-code") == configured["code"]["address"], "write the same into both"


def test_another_region_inspects_again_and_rewrites_nothing_by_itself(config: ConfigFolder) -> None:
    before, after = config.resolved(), config.resolved(inspection={"phone_region": "AT"})
    assert changed(before, after) == {"inspect_outputs", "gather_examples"}
