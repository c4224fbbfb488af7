"""What runs again after what: with stand-ins for the scripts, the whole workflow takes seconds."""

from __future__ import annotations

import os
import re
import shutil
import signal

import psutil
import pytest
from checkout_copy import Checkout, ended, wait_until

CELL = "results/tiny/demo-vlm"
NOISE_FLOOR = f"{CELL}/float16/zero-shot/noise_floor"
PUBLISHED = {"write_page", "write_paper", "write_appendix", "write_slides", "bundle_study"}
RESOLVED = {"resolve_study", "draw_rulegraph"}
INSPECTED = {"inspect_outputs", "gather_examples"}
SHOWN = {"compare_precisions", "recommend_precision", "plot_comparison"} | PUBLISHED
AFTER_PREDICT = {"predict", "score", "summarize_study", "plot_figures"} | INSPECTED | SHOWN
MEASURED = {"measure_efficiency", "combine_measurements", "tabulate_carbon"}


def rules_of(jobs: list[tuple[str, str]]) -> set[str]:
    return {rule for rule, _ in jobs}


def precisions_of(jobs: list[tuple[str, str]]) -> set[str]:
    """The precisions whose own files were written."""
    return {match[1] for _, wrote in jobs if (match := re.match(rf"{CELL}/([^/]+)/", wrote))}


def test_the_first_run_makes_everything_and_says_where_it_is(fresh: Checkout) -> None:
    done = fresh.snakemake("--cores", "1")
    assert done.returncode == 0, done.stderr
    said = done.stderr
    assert "demo study tiny: results/tiny/\n" in said
    assert "table: results/tiny/summary.csv   figures: results/tiny/figures/" in said
    jobs = fresh.jobs()
    assert len(jobs) == len({(job["rule"], job["wrote"]) for job in jobs})  # none ran twice
    assert (fresh.folder / "results/tiny/study.resolved.yaml").exists()
    logs = list((fresh.folder / "logs").rglob("*.log"))
    assert len(logs) == len(jobs)
    assert all("is at work" in path.read_text() for path in logs)


def test_a_second_run_has_nothing_to_do(run: Checkout) -> None:
    done = run.snakemake("--cores", "1")
    assert "Nothing to be done" in done.stderr


def test_a_deleted_result_as_target_rebuilds_just_it(run: Checkout) -> None:
    target = f"{CELL}/nf4-language/zero-shot/scores.json"
    (run.folder / target).unlink()
    assert run.run(target) == [("score", target)]


def test_a_deleted_figure_is_drawn_and_packed_again(run: Checkout) -> None:
    (run.folder / "results/tiny/figures/quality.svg").unlink()
    assert rules_of(run.run()) == {"plot_figures", "bundle_study"}


def test_a_deleted_final_file_is_rebuilt_alone(run: Checkout) -> None:
    (run.folder / "results/tiny/tiny.zip").unlink()
    assert run.run() == [("bundle_study", "results/tiny/tiny.zip")]


def test_a_deleted_intermediate_file_and_final_file_are_rebuilt(run: Checkout) -> None:
    (run.folder / "results/tiny/summary.csv").unlink()
    shown = {"summarize_study", "plot_figures", "recommend_precision", "plot_comparison"}
    assert rules_of(run.run()) == shown | PUBLISHED


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("publishing/figures/tradeoff.py", {"plot_figures"}),
        ("publishing/figures/delta.py", {"plot_comparison"}),
        ("publishing/figures/__init__.py", {"plot_figures", "plot_comparison"}),
    ],
)
def test_changed_figures_code_reruns_the_figures_and_what_shows_them(name: str, drawn: set[str], run: Checkout) -> None:
    path = run.folder / "workflow/scripts/bitbudget" / name
    path.write_text(path.read_text() + "# changed\n")
    again = {(rule, wrote) for rule, wrote in run.run() if rule not in PUBLISHED}
    assert again == {(rule, "results/tiny/figures") for rule in drawn}
    assert run.run() == []


def test_a_changed_format_reruns_only_the_precision_that_uses_it(run: Checkout) -> None:
    run.edit("workflow/scripts/bitbudget/models/formats/bnb_nf4.py", "BLOCK, ROWS = 64, 32", "BLOCK, ROWS = 64, 64")
    jobs = run.run()
    assert precisions_of(jobs) == {"nf4-language"}
    assert rules_of(jobs) == AFTER_PREDICT | MEASURED | {"quantize_model", "audit_checkpoint"}


def test_a_changed_registry_or_readme_reruns_nothing(run: Checkout) -> None:
    path = run.folder / "workflow/scripts/bitbudget/registry.py"
    path.write_text(path.read_text() + "# changed\n")
    (run.folder / "README.md").write_text("changed")
    assert run.run() == []


def test_another_prompt_predicts_again_and_does_not_quantize(run: Checkout) -> None:
    run.edit("config/studies/tiny.yaml", "What is it?", "What is that?")
    jobs = run.run()
    assert rules_of(jobs) == AFTER_PREDICT | MEASURED | RESOLVED | {"count_flops"}
    assert ("predict", f"{NOISE_FLOOR}/predictions.jsonl") in jobs
    assert precisions_of(jobs) == {"float16", "int8-language", "nf4-language"}


@pytest.mark.parametrize(
    ("new", "remade"),
    [
        ("images: {max_side: 99}\nprompt:", {"resize_images", "predict"}),
        ("images: {on_corrupt: skip}\nprompt:", {"resize_images", "predict"}),
        ("seed: 7\nprompt:", {"select_subset", "resize_images", "predict"}),
    ],
)
def test_other_images_and_items_are_asked_about_and_do_not_quantize(new: str, remade: set[str], run: Checkout) -> None:
    """What is quantized waits for them, to name what the model cannot take, and does not depend on them."""
    run.edit("config/studies/tiny.yaml", "prompt:", new)
    rules = rules_of(run.run())
    assert rules >= remade
    assert not rules & {"quantize_model", "audit_checkpoint"}


def test_nothing_is_quantized_before_the_images_are_there(fresh: Checkout) -> None:
    done = fresh.snakemake("--cores", "1")
    assert done.returncode == 0, done.stderr
    order = [job["rule"] for job in sorted(fresh.jobs(), key=lambda job: job["start"])]
    assert order.index("resize_images") < order.index("quantize_model")


def test_another_option_of_a_precision_reruns_only_that_precision(run: Checkout) -> None:
    old = "int8-language: {language: bnb-int8}"
    run.edit("config/precisions.yaml", old, "int8-language: {language: {format: bnb-int8, threshold: 3}}")
    jobs = run.run()
    assert precisions_of(jobs) == {"int8-language"}
    assert "quantize_model" in rules_of(jobs)


def test_another_repeat_measures_once_more_and_makes_nothing_old(run: Checkout) -> None:
    run.edit("config/studies/tiny.yaml", "prompt:", "measure: {repeats: 4}\nprompt:")
    measured = [wrote for rule, wrote in run.run() if rule == "measure_efficiency"]
    assert sorted(measured) == sorted(
        f"{CELL}/{p}/zero-shot/measurements/repeat-4.json" for p in ("float16", "int8-language", "nf4-language")
    )


def test_another_country_or_another_limit_measures_nothing(run: Checkout) -> None:
    run.edit("config/studies/tiny.yaml", "prompt:", "carbon: {country: NOR}\nprompt:")
    assert not rules_of(run.run()) & {"measure_efficiency", "predict", "score"}
    run.edit("config/studies/tiny.yaml", "prompt:", "accept: {quality: 0.5}\nprompt:")
    redrawn = {"recommend_precision", "plot_figures", "plot_comparison"}  # all of them are drawn from the verdicts
    assert rules_of(run.run()) == RESOLVED | PUBLISHED | redrawn


def test_the_noise_floor_is_the_baselines_and_can_be_switched_off(fresh: Checkout) -> None:
    fresh.write_study("tiny", noise_floor=False)
    assert not any("noise_floor" in wrote for _, wrote in fresh.run())
    fresh.write_study("tiny")
    jobs = fresh.run()
    assert [job for job in jobs if job[1].startswith(CELL)] == [
        ("predict", f"{NOISE_FLOOR}/predictions.jsonl"),
        ("score", f"{NOISE_FLOOR}/scores.json"),
    ]
    assert rules_of(jobs) >= SHOWN


@pytest.mark.parametrize("cores", ["1", "4"])
def test_precisions_are_measured_in_turn_after_all_else_is_answered(cores: str, fresh: Checkout) -> None:
    done = fresh.snakemake("--cores", cores)
    assert done.returncode == 0, done.stderr
    order = [(job["rule"], job["wrote"]) for job in fresh.jobs() if job["rule"] in ("predict", "measure_efficiency")]
    assert [rule for rule, _ in order[:4]] == ["predict"] * 4  # three precisions, and the noise floor
    repeats = [re.search(r"repeat-(\d)", wrote)[1] for _, wrote in order[4:]]
    assert repeats == list("111222333")


def test_an_ablation_adds_its_precisions_and_measures_none_of_them_twice(fresh: Checkout) -> None:
    fresh.write_study("tiny", precisions=["bfloat16"], ablation={"format": "rtn-3", "groups": ["vision", "projector"]})
    jobs = fresh.run()
    assert {"tabulate_ablation", "plot_ablation"} <= rules_of(jobs)
    added = {"only-vision-rtn-3", "only-projector-rtn-3", "every-group-rtn-3"}
    assert precisions_of(jobs) == {"bfloat16"} | added
    measured = [wrote for rule, wrote in jobs if rule == "measure_efficiency"]
    assert len(measured) == 3 + len(added)


def test_another_precision_adds_its_own_jobs_only(run: Checkout) -> None:
    run.edit("config/studies/tiny.yaml", "- nf4-language", "- nf4-language\n- rtn-2-language")
    assert precisions_of(run.run()) == {"rtn-2-language"}


def test_new_weights_of_a_local_model_are_noticed(run: Checkout) -> None:
    (run.folder / "demo/models/demo-vlm/model.safetensors").write_text("other weights")
    assert {"fetch_model", "quantize_model", "predict"} <= rules_of(run.run())


def test_another_number_of_cores_reruns_nothing(run: Checkout) -> None:
    assert "Nothing to be done" in run.snakemake("--cores", "8").stderr


def test_a_failed_script_fails_the_run_and_its_log_is_kept(run: Checkout) -> None:
    """`| tee` must not hide a failure: its exit status would be 0."""
    target = f"{CELL}/nf4-language/audit.json"
    (run.folder / target).unlink()
    done = run.snakemake("--cores", "1", target, STUB_FAIL="audit_checkpoint")
    assert done.returncode == 1
    assert "Error in rule audit_checkpoint" in done.stderr
    assert "MissingOutput" not in done.stderr
    log = run.folder / "logs/audit_checkpoint/tiny.demo-vlm.nf4-language.log"
    assert "error: audit_checkpoint was told to fail." in log.read_text()
    assert run.started().count("audit_checkpoint") == 4  # once for each precision, and not again for this failure
    assert run.run(target) == [("audit_checkpoint", target)]


def test_a_killed_job_is_run_again_by_the_same_command(run: Checkout) -> None:
    target = f"{CELL}/nf4-language/zero-shot/scores.json"
    forget_the_answers(run)
    before = len(run.started())
    process = run.start("--cores", "1", target, STUB_HOLD="predict")
    wait_until(lambda: "predict" in run.started()[before:])
    kill_stub(run)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "error: this job was killed; if nobody did that, memory ran out: end other programs" in said
    assert run.run(target) == [
        ("predict", f"{CELL}/nf4-language/zero-shot/predictions.jsonl"),
        ("score", target),
    ]


def test_after_a_killed_snakemake_the_same_command_goes_on(run: Checkout) -> None:
    forget_the_answers(run)
    before = len(run.started())
    process = run.start("--cores", "1", STUB_HOLD="predict")
    wait_until(lambda: "predict" in run.started()[before:])
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=300)
    kill_stub(run)
    process.communicate(timeout=300)
    jobs = run.run()
    assert rules_of(jobs) >= AFTER_PREDICT
    assert precisions_of(jobs) == {"nf4-language"}
    assert "Nothing to be done" in run.snakemake("--cores", "1").stderr


def test_a_script_ends_by_itself_after_a_killed_snakemake(run: Checkout) -> None:
    """Only snakemake is killed, as the out-of-memory killer does; its job must not compute beside the next run."""
    script = run.folder / "workflow/scripts/predict.py"
    stand_in, text = script.read_text(), "import pathlib, sys, time\n\nSPEC = ()\n"
    text += "sys.path.insert(0, 'workflow/scripts')\nfrom bitbudget import cli\n\n\n"
    text += "def main():\n    pathlib.Path('predict.pid').write_text(str(__import__('os').getpid()))\n"
    script.write_text(text + "    time.sleep(600)\n\n\ncli.run(main)\n")
    forget_the_answers(run)
    pid = run.folder / "predict.pid"
    process = run.start("--cores", "1", f"{CELL}/nf4-language/zero-shot/scores.json")
    wait_until(lambda: pid.exists() and pid.read_text() != "")
    job = psutil.Process(int(pid.read_text()))
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=300)
    wait_until(lambda: ended(job))
    process.communicate(timeout=300)
    script.write_text(stand_in)
    jobs = run.run()
    assert rules_of(jobs) >= AFTER_PREDICT
    assert precisions_of(jobs) == {"nf4-language"}
    assert "Nothing to be done" in run.snakemake("--cores", "1").stderr


def forget_the_answers(run: Checkout) -> None:
    """Delete what one precision answered, and the table that stands on it."""
    shutil.rmtree(run.folder / f"{CELL}/nf4-language/zero-shot")
    (run.folder / "results/tiny/summary.csv").unlink()


def kill_stub(run: Checkout) -> None:
    """Kill the stand-ins that work in this copy: a killed snakemake leaves them behind."""
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = process.info["cmdline"] or []
        if process.info["cwd"] == str(run.folder) and any(word.startswith("workflow/scripts/") for word in words):
            process.kill()


def test_a_second_run_in_the_same_folder_is_refused_with_a_sentence(run: Checkout) -> None:
    forget_the_answers(run)
    before = len(run.started())
    first = run.start("--cores", "1", STUB_HOLD="predict")
    wait_until(lambda: "predict" in run.started()[before:])
    second = run.snakemake("--cores", "1", "--rerun-incomplete", f"{CELL}/nf4-language/zero-shot/scores.json")
    assert second.returncode == 1
    assert "another run is at work in this folder; wait for it to end, or stop it." in second.stderr
    assert "Traceback" not in second.stderr
    assert "Error in rule" not in second.stderr
    (run.folder / "stub.go").touch()
    first.communicate(timeout=300)
    assert first.returncode == 0
    assert run.started()[before:].count("predict") == 1


def test_a_dry_run_beside_a_run_is_allowed(run: Checkout) -> None:
    forget_the_answers(run)
    before = len(run.started())
    first = run.start("--cores", "1", STUB_HOLD="predict")
    wait_until(lambda: "predict" in run.started()[before:])
    assert run.snakemake("-n").returncode == 0
    (run.folder / "stub.go").touch()
    first.communicate(timeout=300)
    assert first.returncode == 0


def test_nothing_runs_beside_a_measurement(fresh: Checkout) -> None:
    done = fresh.snakemake("--cores", "4", STUB_SLEEP="measure_efficiency=0.2", STUB_MEET="score")
    assert done.returncode == 0, done.stderr
    jobs = fresh.jobs()
    measured = [job for job in jobs if job["rule"] == "measure_efficiency"]
    assert len(measured) == 9
    for one in measured:
        beside = [o for o in jobs if o != one and o["start"] < one["end"] and one["start"] < o["end"]]
        assert beside == []
    # the same stand-ins do run side by side where they may, or this test would show nothing
    assert any(a != b and a["start"] < b["end"] and b["start"] < a["end"] for a in jobs for b in jobs)


def test_a_report_can_be_made(run: Checkout) -> None:
    done = run.snakemake("--report", "report.html")
    assert done.returncode == 0, done.stderr
    assert (run.folder / "report.html").stat().st_size > 10_000


QUESTIONS = {
    "track": "vqa", "dataset": {"name": "demo-questions", "subset": 4}, "precisions": ["float16", "int8-language"],
    "prompt": "{question} Be short.",
}  # fmt: skip


def test_another_number_of_examples_adds_its_own_jobs_only(fresh: Checkout) -> None:
    fresh.write_study("tiny", **QUESTIONS)
    first = fresh.run()
    assert "select_shots" not in rules_of(first)
    fresh.write_study("tiny", **QUESTIONS, conditions=["zero-shot", "2-shot"])
    jobs = fresh.run()
    examples = "results/tiny/shots/2-shot"
    assert ("select_shots", f"{examples}/shots.jsonl") in jobs
    assert ("fetch_images", f"{examples}/image_sources.json") in jobs
    assert ("resize_images", f"{examples}/images") in jobs
    of_cells = [(rule, wrote) for rule, wrote in jobs if wrote.startswith(CELL)]
    measured = {"measure_efficiency", "combine_measurements", "count_flops"}
    assert {rule for rule, _ in of_cells} == {"predict", "score"} | measured
    assert ("predict", f"{CELL}/float16/2-shot/noise_floor/predictions.jsonl") in jobs
    assert all("/2-shot/" in wrote for _, wrote in of_cells)


def test_ratings_are_read_once_they_are_there_and_are_left_alone(fresh: Checkout) -> None:
    fresh.write_study("tiny", **QUESTIONS)
    assert {"make_spot_check", "plot_breakdown"} <= rules_of(fresh.run())
    done = fresh.snakemake("--cores", "1", "results/tiny/human.json")
    assert done.returncode == 1
    assert "there are no ratings in ratings/tiny/ yet: open results/tiny/spot_check.html in a browser" in done.stderr
    first, second = fresh.folder / "ratings/tiny/tiny.anna.json", fresh.folder / "ratings/tiny/tiny.ben (1).json"
    first.parent.mkdir(parents=True)
    after = {"read_ratings", "summarize_study", "plot_figures", "plot_breakdown"}
    after |= {"recommend_precision", "plot_comparison"} | PUBLISHED
    for path in (first, second):
        path.write_text("rated")
        assert rules_of(fresh.run()) == after
    assert fresh.run() == []
    second.write_text("rated again, and moved here with the date of a download long ago")
    os.utime(second, (1, 1))
    assert rules_of(fresh.run()) == after
    second.unlink()
    assert rules_of(fresh.run()) == after
    assert first.read_text() == "rated"


def test_a_report_over_two_studies_waits_for_both_and_reads_them_alike_when_one_is_picked(fresh: Checkout) -> None:
    fresh.write_study("other", precisions=["bfloat16"])
    fresh.write_study("tiny", report={"with": ["other"]})
    done = fresh.snakemake("--cores", "1", "--config", "study=tiny")
    assert done.returncode == 1
    assert "the report of tiny also tells of other, whose results/other/study.resolved.yaml is not there" in done.stderr
    jobs = fresh.run("--config", "study=[other,tiny]")
    assert ("write_paper", "results/tiny/paper.pdf") in jobs
    assert fresh.run("--config", "study=tiny") == []
    assert fresh.run("--config", "study=[tiny,other]") == []
    fresh.write_study("other", precisions=["bfloat16"], accept={"quality": 0.5})
    fresh.run("--config", "study=other")
    shared = {"write_paper", "write_appendix", "write_slides", "bundle_study"}
    assert rules_of(fresh.run("--config", "study=tiny")) == shared


LANGUAGE = {
    "track": "lambada",
    "dataset": {"name": "demo-passages", "subset": 4},
    "models": ["demo-lm"],
    "precisions": ["bfloat16", "bnb-int8", "gptq-4", "rtn-4"],
    "prompt": None,
}
OF_A_CELL = {"quantize_model", "audit_checkpoint", "predict_last_words", "score"}


def test_what_a_language_study_makes_again(fresh: Checkout) -> None:
    def run(**keys: object) -> tuple[set[str], set[str]]:
        """The rules that ran and the precisions they ran for, of the study with these keys."""
        content = {key: value for key, value in (LANGUAGE | keys).items() if value is not None}
        fresh.write_study("words", **content)
        path = fresh.folder / "config/studies/words.yaml"
        path.write_text(path.read_text().replace("prompt: What is it?\n", ""))
        jobs = fresh.run("--config", "study=words")
        cells = {m[1] for _, wrote in jobs if (m := re.match(r"results/words/demo-lm/([^/]+)/", wrote))}
        return rules_of(jobs), cells

    everything = {"bfloat16", "bnb-int8", "gptq-4", "rtn-4"}
    rules, cells = run()
    assert rules >= OF_A_CELL | MEASURED | {"select_calibration"} and cells == everything
    assert not rules & {"predict", "fetch_images", "resize_images"}
    show = {"summarize_study", "plot_figures"} | RESOLVED | SHOWN
    assert run(last_word={"top_k": [1, 5]}) == ({"score", "score_blind", "gather_examples"} | show, everything)
    rules, cells = run(last_word={"top_k": [1, 5]}, quantization={"calibration": {"items": 3}})
    show |= INSPECTED
    assert (rules, cells) == (OF_A_CELL | MEASURED | show | {"select_calibration"}, {"gptq-4"})
    rules, cells = run(last_word={"top_k": [1, 5]}, quantization={"calibration": {"items": 3}, "group_size": 32})
    assert (rules, cells) == (OF_A_CELL | MEASURED | show, {"gptq-4", "rtn-4"})
