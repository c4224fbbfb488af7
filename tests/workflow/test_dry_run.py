"""`snakemake -n`, with nothing installed but snakemake: every study, and every fault of a configuration."""

from __future__ import annotations

import re
import subprocess
import venv
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from checkout_copy import Checkout
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bitbudget.config import plan
from bitbudget.config.study import load_studies
from bitbudget.system.machine import look
from checkouts import ROOT

STUDIES = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / "config/studies").glob("*.yaml")}
MODELS = yaml.safe_load((ROOT / "config/models.yaml").read_text())
RESTRICTED = {name for name, entry in MODELS.items() if entry.get("restricted")}
REFUSED = {
    name for name, study in STUDIES.items() if set(study["models"]) & RESTRICTED - set(study.get("accept_licences", ()))
}


# The rules of which there is one job a checkpoint, and one a cell.
RULES = dict.fromkeys(
    ("captioning", "vqa"), (("quantize_model", "audit_checkpoint"), "predict", "measure_efficiency")
) | {
    "lambada": (("quantize_model", "audit_checkpoint"), "predict_last_words", "measure_efficiency"),
    "detection": (("quantize_detector", "audit_detector"), "detect", "measure_detector"),
}


class BareCheckout(Checkout):
    """A copy of the checkout, and snakemake in an environment of its own."""

    def __init__(self, folder: Path, python: Path):
        super().__init__(folder)
        self.python = python

    def command(self, *arguments: str) -> list[str]:
        return [str(self.python), "-m", "snakemake", *arguments]


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a virtual environment with this one's snakemake and what it needs, and nothing else."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    venv.create(folder)
    python = folder / "bin/python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.run([python, "-c", where], capture_output=True, text=True, check=True).stdout.strip())
    for name in needed_by("snakemake"):
        for source in files_of(name):
            (packages / source.name).symlink_to(source)
    heavy = "import importlib.util as u, sys; sys.exit(any(map(u.find_spec, ['torch', 'numpy', 'pandas', 'PIL'])))"
    assert subprocess.run([python, "-c", heavy]).returncode == 0
    return python


def needed_by(package: str) -> set[str]:
    """The package and all that must be installed with it, under one spelling each."""
    found, waiting = set(), {package}
    while waiting:
        name = waiting.pop()
        found.add(name)
        needs = [Requirement(text) for text in metadata.requires(name) or ()]
        waiting |= {
            canonicalize_name(one.name) for one in needs if not one.marker or one.marker.evaluate({"extra": ""})
        }
        waiting -= found
    return found


def files_of(package: str) -> set[Path]:
    """The folders and files of an installed package that lie in site-packages itself."""
    installed = metadata.distribution(package)
    tops = {file.parts[0] for file in installed.files or ()} - {"..", "__pycache__"}
    return {Path(installed.locate_file(top)) for top in tops}


@pytest.fixture
def bare(checkout: Checkout, bare_python: Path) -> BareCheckout:
    checkout.write_study("tiny")
    return BareCheckout(checkout.folder, bare_python)


@pytest.mark.parametrize("study", sorted(set(STUDIES) - REFUSED))
def test_a_dry_run_of_every_study(study: str, bare: BareCheckout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    done = bare.snakemake("-n", "--config", f"study={study}")
    assert done.returncode == 0, done.stderr
    counts = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE))
    resolved = load_studies({"study": study}, machine=look())[study]  # as there, no package is looked for
    cells = plan.cells(resolved)
    checkpoints = {(model, precision) for model, precision, _ in cells}
    made, asks, measures = RULES[resolved["track"]]
    adopted = {pair for pair in checkpoints if pair[1] in resolved["ready"]}
    assert {counts[rule] for rule in made} == {str(len(checkpoints - adopted))}
    assert {counts.get(rule, "0") for rule in ("adopt_checkpoint", "audit_ready")} == {str(len(adopted))}
    assert {counts[rule] for rule in (asks, "score", "combine_measurements")} == {str(len(cells))}
    assert counts[measures] == str(sum(len(plan.repeats(resolved, *cell[:2])) for cell in cells))
    floors = len(resolved["models"]) * len(resolved["conditions"])
    assert {counts[rule] for rule in (f"{asks}_again", "score_again")} == {str(floors)}


def test_a_language_study_plans_no_image_and_calibrates_once(bare: BareCheckout) -> None:
    done = bare.snakemake("-n", "--config", "study=lambada-small")
    assert done.returncode == 0, done.stderr
    counts = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE))
    assert counts["select_calibration"] == "1"
    assert not {"fetch_images", "resize_images", "predict", "filter_paraphrases"} & set(counts)


def test_models_that_see_are_calibrated_on_images_chosen_once(bare: BareCheckout) -> None:
    done = bare.snakemake("-n", "--config", "study=demo-bits")
    assert done.returncode == 0, done.stderr
    counts = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE))
    chosen = ("select_calibration_images", "fetch_calibration_images", "resize_calibration_images")
    assert {counts[rule] for rule in chosen} == {"1"}
    assert "select_calibration" not in counts


def test_a_detection_study_exports_each_model_once_and_calibrates_only_where_a_format_asks_for_it(
    bare: BareCheckout,
) -> None:
    for study, calibrates in (("yolos-tiny", True), ("detr-resnet-50", False)):
        done = bare.snakemake("-n", "--config", f"study={study}")
        counts = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE))
        assert counts["export_detector"] == "1"
        assert ("resize_calibration_images" in counts) == calibrates
        assert not {"quantize_model", "predict", "filter_paraphrases", "make_spot_check"} & set(counts)


@pytest.mark.parametrize("study", sorted(REFUSED))
def test_a_study_of_a_restricted_model_asks_for_its_licence(study: str, bare: BareCheckout) -> None:
    assert "accept_licences: [" in refusal(bare, "--config", f"study={study}")


def test_a_dry_run_of_a_list_of_studies(bare: BareCheckout) -> None:
    bare.write_study("other", precisions=["bfloat16"], baseline="bfloat16")
    done = bare.snakemake("-n", "--config", "study=[tiny,other]")
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert "results/tiny/summary.csv" in said
    assert "results/other/summary.csv" in said


def test_the_default_is_the_demo(bare: BareCheckout) -> None:
    done = bare.snakemake("-n")
    assert done.returncode == 0
    assert "results/demo-captioning/summary.csv" in done.stdout + done.stderr


def test_a_dry_run_writes_nothing(bare: BareCheckout) -> None:
    before = {path.name for path in bare.folder.iterdir()} - {".cache"}
    bare.snakemake("-n")
    assert {path.name for path in bare.folder.iterdir()} - {".cache", ".snakemake"} == before


def refusal(checkout: Checkout, *arguments: str) -> str:
    """What a refused run says on stderr: exit code 1, and no traceback of Python's."""
    done = checkout.snakemake("--cores", "1", *arguments)
    assert done.returncode == 1, done.stderr
    assert "Traceback (most recent call last)" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("study=demo-captoning", "there is no study 'demo-captoning' (config/studies/demo-captoning.yaml does not"),
        ("stduy=tiny", "config/config.yaml or --config: there is no key `stduy`; did you mean `study`?"),
        ("study=[]", "config/config.yaml or --config: `study` is empty; name at least one"),
    ],
)
def test_a_wrong_choice_of_studies_is_one_sentence(arguments: str, sentence: str, bare: BareCheckout) -> None:
    assert sentence in refusal(bare, "--config", arguments)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"bacth_size": 2}, "config/studies/tiny.yaml: there is no key `bacth_size`; did you mean `batch_size`?"),
        ({"baseline": "nf4-language"}, "nf4-language: the baseline must hold every group in one float format"),
    ],
)
def test_a_wrong_study_is_one_sentence(keys: dict, sentence: str, bare: BareCheckout) -> None:
    bare.write_study("tiny", **keys)
    said = refusal(bare, "--config", "study=tiny")
    assert sentence in said
    assert said.count(sentence) == 1


def test_broken_yaml_in_the_config_is_named(bare: BareCheckout) -> None:
    (bare.folder / "config/config.yaml").write_text("study: [a\n")
    assert "Config file is not valid JSON or YAML" in refusal(bare)
    (bare.folder / "config/config.yaml").write_text("study: tiny\n")
    (bare.folder / "config/studies/tiny.yaml").write_text("study: tiny\n  track: x\n")
    assert "config/studies/tiny.yaml, line 2, is not valid YAML" in refusal(bare)


def test_a_precision_of_another_study_is_refused_with_a_sentence(bare: BareCheckout) -> None:
    bare.write_study("other", precisions=["bfloat16"], baseline="bfloat16")
    target = "results/tiny/demo-vlm/bfloat16/zero-shot/scores.json"
    said = refusal(bare, target, "--config", "study=[tiny,other]")
    assert "study tiny has no precision 'bfloat16'; did you mean" in said or "known are" in said


def test_a_study_that_is_not_picked_makes_nothing(bare: BareCheckout) -> None:
    assert "results/tiny/summary.csv" in refusal(bare, "results/tiny/summary.csv")


def test_the_dag_is_clean_text(bare: BareCheckout) -> None:
    done = bare.snakemake("--dag", "--config", "study=tiny")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("digraph snakemake_dag {")
    assert done.stdout.rstrip().endswith("}")
    graph = bare.snakemake("--rulegraph", "mermaid-js", "--config", "study=tiny")
    assert graph.returncode == 0, graph.stderr
    assert "flowchart" in graph.stdout


def test_every_stage_is_a_target(checkout: Checkout) -> None:
    stages = ("subsets", "checkpoints", "audits", "predictions", "scores", "measurements")
    assert checkout.snakemake("-n", *stages).returncode == 0
