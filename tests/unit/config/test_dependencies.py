"""The digest of a job's code: an edited file changes the jobs that use it, and no others."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from config_folder import ROOT

from bitbudget import registry
from bitbudget.config import dependencies, plan, publication
from bitbudget.config.study import load_studies

SCRIPTS = ROOT / "workflow/scripts"
CELL_STEPS = (
    "quantize_model",
    "audit_checkpoint",
    "predict",
    "predict_last_words",
    "measure_efficiency",
    "count_flops",
)
INSPECTING = ("inspect_outputs", "gather_examples")
PUBLISHING = ("write_page", "write_paper", "write_appendix", "write_slides")
DRAWN = {"plot_figures", "plot_breakdown", "plot_comparison", "plot_ablation", "plot_detections"}


class Library:
    """A copy of the scripts and the library that a test may edit."""

    def __init__(self, folder: Path, study: dict):
        shutil.copytree(SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
        self.folder, self.study = folder, study

    def edit(self, name: str, text: str = "# edited\n") -> None:
        path = self.folder / name
        assert path.is_file()
        path.write_text(path.read_text() + text)
        dependencies.forget()

    def digests(self) -> dict[str, str]:
        """The digest of every rule; of those on one precision, that of each of the study's precisions."""
        study = self.study
        reader = registry.DATASETS[study["dataset"]["kind"]]
        track = registry.TRACKS[study["track"]]
        steps = {
            "fetch_dataset": [reader],
            "select_subset": [reader],
            "fetch_images": [],
            "resize_images": [],
            "fetch_model": [registry.FAMILIES["llava"]],
            "resolve_study": [],
            "filter_paraphrases": [],
            "score": [track],
            "score_blind": [track],
            "summarize_study": [track],
            "plot_figures": [track],
            "plot_breakdown": [track],
            "compare_precisions": [track],
            "recommend_precision": [track],
            "plot_comparison": [],
            "tabulate_ablation": [track],
            "plot_ablation": [track],
            "combine_measurements": [],
            "probe_machine": [],
            "tabulate_carbon": [],
            "select_shots": [reader],
            "select_calibration": [reader],
            "select_calibration_images": [reader],
            "export_detector": [registry.FAMILIES["yolos"]],
            "plot_detections": [track],
            "make_spot_check": [],
            "read_ratings": [],
            "gather_models": [],
            "draw_rulegraph": [],
            "bundle_study": [],
            **{name: [track] for name in (*INSPECTING, *PUBLISHING)},
        }
        shown = dict.fromkeys((*PUBLISHING, "recommend_precision"), publication.speaking_modules([study]))
        shown |= dict.fromkeys(INSPECTING, publication.inspected_modules(study))
        found = {step: dependencies.code_of(step, modules, shown.get(step, ())) for step, modules in steps.items()}
        for model, precision, _ in plan.cells(study):
            for step in CELL_STEPS:
                found[f"{step} {precision}"] = dependencies.code_of(step, plan.modules(study, model, precision))
        return found

    def changed_by(self, *names: str) -> set[str]:
        before = self.digests()
        for name in names:
            self.edit(name)
        after = self.digests()
        return {key for key in before if before[key] != after[key]}


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    monkeypatch.chdir(ROOT)
    study = load_studies({"study": "demo-captioning"})["demo-captioning"]
    monkeypatch.setattr(dependencies, "SCRIPTS", tmp_path / "scripts")
    dependencies.forget()
    yield Library(tmp_path / "scripts", study)
    dependencies.forget()  # what other tests of this process ask for lies elsewhere


def names_of(files: list[Path]) -> set[str]:
    return {str(path.relative_to(dependencies.SCRIPTS)) for path in files}


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("tradeoff", {"plot_figures"}),
        ("delta", {"plot_comparison"}),
        ("ablated", {"plot_ablation"}),
        ("by_type", {"plot_breakdown"}),
        ("detections", {"plot_detections"}),
        ("style", DRAWN | {"write_slides", "write_paper"}),  # whose charts have the figures' colours
        ("__init__", DRAWN | {"write_slides", "write_paper"}),
    ],
)
def test_figures_code_changes_only_the_figures_that_it_draws(name: str, drawn: set[str], library: Library) -> None:
    assert library.changed_by(f"bitbudget/publishing/figures/{name}.py") == drawn


def test_a_formats_code_changes_only_the_precisions_that_use_it(library: Library) -> None:
    wanted = {f"{step} nf4-language" for step in CELL_STEPS}
    assert library.changed_by("bitbudget/models/formats/bnb_nf4.py") == wanted
    wanted = {f"{step} int8-{part}" for step in CELL_STEPS for part in ("language", "vision", "language-vision")}
    assert library.changed_by("bitbudget/models/formats/bnb_int8.py") == wanted
    wanted = {f"{step} rtn-{bits}-language-vision" for step in CELL_STEPS for bits in (2, 3)}
    assert library.changed_by("bitbudget/models/formats/rtn.py") == wanted


def test_the_registry_changes_nothing(library: Library) -> None:
    assert library.changed_by("bitbudget/registry.py") == set()


def test_the_config_code_changes_nothing(library: Library) -> None:
    names = [f"bitbudget/config/{path.name}" for path in (library.folder / "bitbudget/config").glob("*.py")]
    # what a detector takes in and gives out is completed and checked as the tables are
    assert library.changed_by(*names) == {"export_detector"}


def test_a_script_changes_its_own_rule(library: Library) -> None:
    assert library.changed_by("resize_images.py") == {"resize_images"}
    assert library.changed_by("predict.py") == {key for key in library.digests() if key.startswith("predict ")}


def test_a_reader_changes_only_what_reads_the_data_set(library: Library) -> None:
    reads = {"fetch_dataset", "select_subset", "select_shots", "select_calibration", "select_calibration_images"}
    assert library.changed_by("bitbudget/datasets/demo_scenes.py") == reads
    assert library.changed_by("bitbudget/datasets/nocaps.py") == set()


def test_another_family_changes_nothing(library: Library) -> None:
    assert library.changed_by("bitbudget/models/families/qwen2_vl.py") == set()
    steps = {f"{step} {precision}" for step in CELL_STEPS for precision in library.study["precisions"]}
    assert library.changed_by("bitbudget/models/families/llava.py") == steps | {"fetch_model"}


def test_the_caption_metrics_change_only_scoring(library: Library) -> None:
    changed = library.changed_by("bitbudget/metrics/captions.py")
    assert {"filter_paraphrases", "score", "score_blind"} <= changed
    assert not any(key.startswith(CELL_STEPS) for key in changed)


def test_a_comment_counts_and_a_date_does_not(library: Library) -> None:
    before = library.digests()
    (library.folder / "predict.py").touch()
    assert library.digests() == before


def test_a_module_imported_inside_a_function_is_found(library: Library) -> None:
    assert "bitbudget/models/checkpoint.py" in names_of(dependencies.files_of("quantize_model"))
    assert "bitbudget/models/formats/simulated.py" in names_of(
        dependencies.files_of("predict", ["bitbudget.models.formats.rtn"])
    )


def test_the_init_files_of_packages_count(library: Library) -> None:
    found = names_of(dependencies.files_of("plot_figures"))
    assert {"bitbudget/__init__.py", "bitbudget/publishing/figures/__init__.py"} <= found


def test_a_new_import_is_followed(library: Library) -> None:
    (library.folder / "bitbudget/new.py").write_text("")
    library.edit("bitbudget/items/images.py", "\n\ndef late():\n    from bitbudget import new\n    return new\n")
    assert "bitbudget/new.py" in names_of(dependencies.files_of("resize_images"))
    assert library.changed_by("bitbudget/new.py") == {
        "resize_images",
        "make_spot_check",
        "write_page",
    }


def test_every_registered_module_is_a_file() -> None:
    for names in registry.KINDS.values():
        for module in names.values():
            assert SCRIPTS.joinpath(*module.split(".")).with_suffix(".py").is_file()


def test_an_import_in_any_kind_of_statement_is_found() -> None:
    code = """
import a
class One:
    from b import c
    async def two(self):
        try:
            import d
        except ValueError as fault:
            import e
        else:
            import f
        finally:
            with self, self:
                import g
        for one in self:
            while one:
                import h
            else:
                import i
        match self:
            case 1:
                import j
if a:
    pass
elif a:
    import k
else:
    import l.m
from .n import o
"""
    assert dependencies._names_imported(code) == {*"abdefghijk", "b.c", "l.m"}


@pytest.mark.parametrize("path", sorted(SCRIPTS.rglob("*.py")), ids=lambda path: str(path.relative_to(SCRIPTS)))
def test_no_file_of_the_library_uses_an_import_that_would_not_be_followed(path: Path) -> None:
    """Relative imports, and names from the whole package at once, are not resolved by `dependencies`."""
    text, imported = path.read_text(encoding="utf-8"), set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            assert not node.level
            assert all(alias.name != "*" for alias in node.names)
            imported |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
    assert imported <= dependencies._names_imported(text)


def test_a_demo_models_recipe_counts_for_its_training_alone(library: Library) -> None:
    assert "demo_recipes/lm.py" in names_of(dependencies.files_of("train_demo_lm"))
    assert "demo_recipes/vlm.py" not in names_of(dependencies.files_of("train_demo_lm"))
    before = dependencies.code_of("train_demo_lm")
    assert library.changed_by("demo_recipes/lm.py") == set()
    assert dependencies.code_of("train_demo_lm") != before


def test_rules_whose_code_reads_word_lists_depend_on_these(library: Library) -> None:
    reading = {
        path.stem
        for path in library.folder.glob("*.py")
        if "bitbudget/inspection/words.py" in names_of(dependencies.files_of(path.stem))
    }
    rules = re.split(r"(?m)^rule ", "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk")))
    depending = {rule.split(":")[0] for rule in rules if 'content_of("workflow/data/words")' in rule}
    assert reading == depending == {"inspect_outputs", "gather_examples"}


TELLING = {*PUBLISHING, "recommend_precision"}


@pytest.mark.parametrize(
    ("name", "start", "showing"),
    [
        ("tracks/captioning.py", 'RISK = (\n    "', TELLING | {*INSPECTING}),
        ("datasets/demo_scenes.py", 'ABOUT = "', TELLING | {*INSPECTING}),
        ("datasets/generated.py", '": "', TELLING | {*INSPECTING}),
        ("models/families/llava.py", 'ABOUT = "', TELLING),
        ("models/formats/bnb_int8.py", '    title = "', TELLING),
    ],
)
def test_a_word_in_a_registered_module_reruns_what_shows_it(
    library: Library, name: str, start: str, showing: set[str]
) -> None:
    """A data set is not fetched, a model not quantized, and nothing scored again for a sentence."""
    path = library.folder / "bitbudget" / name
    text = path.read_text()
    assert text.count(start) == 1
    before = library.digests()
    path.write_text(text.replace(start, f"{start}Word "))
    dependencies.forget()
    assert {key for key, digest in library.digests().items() if digest != before[key]} == showing
