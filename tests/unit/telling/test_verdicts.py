"""Verdicts: a sentence for every kind of comparison, made only from its numbers, and what is accepted."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import synthetic_comparison as made
from asked import asked

from bitbudget import records, registry
from bitbudget.config import spec as spec_module
from bitbudget.config.run import summary_lines
from bitbudget.errors import UserError
from bitbudget.judging import kinds, verdicts
from bitbudget.telling import record, text, verdict, wording

ROOT = Path(__file__).parents[3]
CAPTIONS = wording.words_of({"track": "captioning", "primary": "CIDEr"})
ANSWERS = wording.words_of({"track": "vqa", "primary": "vqa_accuracy"})
PERPLEXITY = wording.words_of({"track": "lambada", "primary": "perplexity"})
BOXES = wording.words_of({"track": "detection", "primary": "AP"})


def plain(text):
    return text.replace(wording.MINUS, "-").replace("\N{MULTIPLICATION SIGN}", "x")


def judged(found, words=CAPTIONS, primary="CIDEr", floor=None, share=0.95, **more):
    """Kind and sentence of a comparison beside a noise floor."""
    one = made.one("p0", found, primary=primary, **more)
    own = made.floor("float16", floor, primary=primary)
    given = verdicts.acceptance(one, primary, words.sign, share)
    said = verdict.sentence(one, primary, words, own, given, share)
    return verdicts.kind_of(one, primary, words.sign, own), plain(said)


def with_ci(value, low, high, **more):
    return made.metric(value, (high - low) / 2, **more) | {"ci": [low, high]}


@pytest.mark.parametrize(
    ("found", "kind", "sentence"),
    [
        (
            with_ci(-3.1, -4.4, -1.9, p=0.001),
            "loss",
            "a clear loss of 3.1 CIDEr [1.9, 4.4] (p = .001 after Holm over 7 comparisons), beyond your 5 %",
        ),
        (
            with_ci(3.1, 1.9, 4.4, p=0.0002),
            "gain",
            "a clear gain of 3.1 CIDEr [1.9, 4.4] (p < .001 after Holm over 7 comparisons)",
        ),
        (
            with_ci(-0.4, -2.1, 1.3, detectable=2.43),
            "no-clear-difference",
            "no clear difference: -0.4 CIDEr [-2.1, +1.3]; smallest detectable loss 2.4",
        ),
        (
            with_ci(0.2, -1.5, 1.9, detectable=2.43),
            "no-clear-difference",
            "no clear difference: +0.2 CIDEr [-1.5, +1.9]; smallest detectable loss 2.4",
        ),
        (
            with_ci(0.0, -2.0, 2.0, detectable=2.9),
            "no-clear-difference",
            "no clear difference: +0.0 CIDEr [-2.0, +2.0]; smallest detectable loss 2.9",
        ),
        (
            with_ci(-2.0, -3.9, -0.1, p=0.08, detectable=2.71),
            "no-clear-difference",
            "no clear difference: -2.0 CIDEr [-3.9, -0.1]; smallest detectable loss 2.7; the interval excludes 0, but "
            "p = .08 after Holm over 7 comparisons",
        ),
        (
            with_ci(2.0, 0.1, 3.9, p=0.08, detectable=2.71),
            "no-clear-difference",
            "no clear difference: +2.0 CIDEr [+0.1, +3.9]; smallest detectable loss 2.7; the interval excludes 0, but "
            "p = .08 after Holm over 7 comparisons",
        ),
        (
            with_ci(2.0, -0.1, 4.1, p=0.04, detectable=2.71),
            "no-clear-difference",
            "no clear difference: +2.0 CIDEr [-0.1, +4.1]; smallest detectable loss 2.7; the interval contains 0, "
            "though p = .04 after Holm over 7 comparisons",
        ),
    ],
    ids=["loss", "gain", "lower", "higher", "zero", "not after Holm", "gain not after Holm", "0 inside"],
)  # fmt: skip
def test_every_kind_has_its_sentence(found, kind, sentence):
    assert judged(found) == (kind, sentence)


@pytest.mark.parametrize(
    ("found", "share", "limit"),
    [
        (with_ci(-2.2, -2.4, -1.9, p=0.001), 0.95, ", within your 5 %"),
        (with_ci(-2.2, -4.4, -1.9, p=0.001), 0.95, ", perhaps beyond your 5 %"),
        (with_ci(-2.2, -2.4, -1.9, p=0.001), 0.99, ", beyond your 1 %"),
        (with_ci(-2.2, -2.4, -1.9, p=0.001), 0.995, ", beyond your 0.5 %"),
    ],
)
def test_a_clear_loss_is_held_against_what_the_study_allows(found, share, limit):
    said = judged(found, share=share)[1]
    assert said.startswith("a clear loss of 2.2") and said.endswith(f"){limit}")


def test_a_single_precision_is_corrected_for_nothing():
    assert "[1.9, 4.4] (p = .01)," in judged(with_ci(-3.1, -4.4, -1.9, p=0.012, family=1))[1]


def floor_with(value, p_value):
    return made.metric(value, 1.5) | {"p_value": p_value}


def test_what_the_baseline_shows_against_itself_as_clearly_is_no_loss():
    found = with_ci(-3.1, -4.4, -1.9, p=0.001)
    assert judged(found, floor=floor_with(3.4, 0.02)) == (
        "within-noise",
        "within noise: -3.1 CIDEr [-4.4, -1.9] (p = .001 after Holm over 7 comparisons), but the baseline "
        "repeated on this machine with another batch size and order of items differs by as much from itself "
        "(+3.4, p = .02)",
    )
    kind, sentence = judged(with_ci(3.1, 1.9, 4.4, p=0.001), floor=floor_with(-3.1, 0.02))
    assert (kind, sentence[:19]) == ("within-noise", "within noise: +3.1 ")
    assert "differs by as much from itself (-3.1, p = .02)" in sentence


@pytest.mark.parametrize(("value", "p_value"), [(3.4, 0.06), (-3.0, 0.001), (0.0, 1.0)])
def test_a_noise_floor_of_chance_or_of_less_is_only_shown(value, p_value):
    found = with_ci(-3.1, -4.4, -1.9, p=0.001)
    assert judged(found, floor=floor_with(value, p_value))[0] == "loss"


def test_identical_answers_say_how_many_may_differ_elsewhere():
    same = {"found": made.metric(0.0, 0.0), "answers": (0, 0, 0)}
    # 1 - .05^(1/160) = 1.85 %: the rule of three, exactly
    assert judged(**same) == (
        "identical",
        "the same answers on all 160 images; with 95 % confidence fewer than 1.9 % would differ",
    )
    assert judged(**same, words=ANSWERS, primary="vqa_accuracy", units=40)[1] == (
        "the same answers on all 160 questions about 40 images; with 95 % confidence fewer than 7.2 % of images would "
        "have one that differs"
    )
    assert judged(**same, words=BOXES, primary="AP", n=200)[1].startswith("the same boxes in all 200 images; ")
    assert judged(made.metric(0.0, 0.0), answers=(1, 0, 0))[0] == "no-clear-difference"


def test_shares_are_told_in_percentage_points():
    found = with_ci(-0.0312, -0.0441, -0.0188, p=0.001, baseline=0.8)
    said = judged(found, ANSWERS, "vqa_accuracy")[1]
    assert said.startswith("a clear loss of 3.1 points of VQA accuracy [1.9, 4.4] (")
    assert judged(with_ci(-0.031, -0.044, -0.019, p=0.001, baseline=0.4), BOXES, "AP")[1].startswith(
        "a clear loss of 0.031 AP [0.019, 0.044] ("
    )


def test_where_lower_is_better_more_is_a_loss():
    about = {"higher_is_better": False, "baseline": 20.0}
    worse, better = with_ci(3.1, 1.9, 4.4, p=0.001, **about), with_ci(-3.1, -4.4, -1.9, p=0.001, **about)
    assert judged(worse, PERPLEXITY, "perplexity") == (
        "loss",
        "a clear loss: perplexity higher by 3.1 [1.9, 4.4] (p = .001 after Holm over 7 comparisons), beyond your 5 %",
    )
    kind, said = judged(better, PERPLEXITY, "perplexity")
    assert kind == "gain" and said.startswith("a clear gain: perplexity lower by 3.1 [1.9, 4.4] (p")
    kind, sentence = judged(with_ci(0.4, -1.3, 2.1, detectable=2.4, **about), PERPLEXITY, "perplexity")
    assert (kind, sentence) == (
        "no-clear-difference",
        "no clear difference: +0.4 perplexity [-1.3, +2.1] (lower is better); smallest detectable loss 2.4",
    )


def test_what_is_not_there_is_not_compared_and_says_why():
    gone = records.absent("9 passages are too few.", "score", higher_is_better=True)
    assert judged(gone) == ("not-compared", "not compared: 9 passages are too few")
    bare = made.metric(-0.5, 1.0)
    del bare["ci"]
    assert judged(bare) == ("not-compared", "not compared: -0.5 CIDEr, of which there is no interval")
    one = made.one("p", gone)
    given = verdicts.acceptance(one, "CIDEr", 1, 0.9)
    assert not given.accepted
    said = "not compared, so nothing vouches for its quality"
    assert verdict.accepted(one, "CIDEr", CAPTIONS, given, 0.9) == f"not accepted: {said}"
    assert verdict.accepted_in_short(one, CAPTIONS, given, 0.9, kinds.NOT_COMPARED) == said
    assert verdict.at_worst(one, "CIDEr", CAPTIONS) == "how much it loses is not known"


def test_the_smallest_detectable_loss_may_be_unknown():
    found = with_ci(-0.4, -2.1, 1.3)
    del found["smallest_detectable"]
    found["smallest_detectable_absent"] = "no answer differs enough to tell."
    assert judged(found)[1].endswith("; the smallest detectable loss is unknown (no answer differs enough to tell)")


@pytest.mark.parametrize(
    ("found", "answers", "short"),
    [
        (with_ci(-3.1, -4.4, -1.9, p=0.001), (12, 3, 7), "clear loss: -3.1 [-4.4, -1.9]"),
        (with_ci(0.2, -1.5, 1.9), (12, 3, 7), "no clear difference: +0.2 [-1.5, +1.9]"),
        (made.metric(0.0, 0.0), (0, 0, 0), "identical"),
        (records.absent("too few.", "score", higher_is_better=True), (3, 0, 0), "not compared"),
    ],
)
def test_every_kind_has_its_few_words(found, answers, short):
    one = made.one("p", found, answers=answers)
    assert plain(verdict.short(one, "CIDEr", CAPTIONS, verdicts.kind_of(one, "CIDEr", 1, None))) == short


def test_few_words_of_a_share_name_its_points():
    one = made.one("p", with_ci(-0.022, -0.044, -0.019, p=0.001, baseline=0.8), primary="vqa_accuracy")
    assert plain(verdict.short(one, "vqa_accuracy", ANSWERS, "loss")) == "clear loss: -2.2 points [-4.4, -1.9]"


def test_every_kind_has_a_word_a_mark_and_a_meaning_of_its_own():
    for name in ("word", "mark", "meaning"):
        assert len({getattr(kind, name) for kind in kinds.KINDS.values()}) == len(kinds.KINDS) == 6
    assert {kind.tone for kind in kinds.KINDS.values()} == {"good", "bad", "unsure"}
    assert kinds.KINDS[kinds.LOSS].tone == "bad" != kinds.KINDS[kinds.WITHIN_NOISE].tone


def test_answers_and_the_noise_floor_are_counted():
    one = made.one("p", made.metric(-1.0, 2.0), answers=(12, 3, 7))
    assert verdict.answers(one, CAPTIONS) == "12 of 160 answers changed; 3 images score higher, 7 lower"
    assert verdict.answers(made.one("p", made.metric(-1.0, 2.0), answers=(1, 1, 0)), CAPTIONS) == (
        "1 of 160 answers changed; 1 image scores higher, 0 lower"
    )
    assert verdict.answers(one, BOXES) == "boxes or scores changed in 12 of 160 images; 3 images score higher, 7 lower"
    only = one | {"answers": {"changed": 12}}
    assert verdict.answers(only, CAPTIONS) == "12 of 160 answers changed"
    again = "the baseline repeated on this machine with another batch size and order of items: "
    floor = made.floor("float16", made.metric(0.0, 0.0, baseline=5.6))
    assert verdict.noise_floor("CIDEr", CAPTIONS, floor) == (
        f"{again}0 of 160 answers changed; another machine may change some"
    )
    floor = made.floor("float16", with_ci(0.02, -0.03, 0.05, baseline=5.6), answers=(2, 1, 1))
    assert plain(verdict.noise_floor("CIDEr", CAPTIONS, floor)) == (
        f"{again}+0.020 CIDEr [-0.030, +0.050], 2 of 160 answers changed"
    )
    assert BOXES.repeated.endswith("on this machine with another number of threads and order of images")
    threads = wording.words_of({"track": "captioning", "primary": "CIDEr", "noise_floor": "threads"}).repeated
    assert threads.endswith("another batch size, number of threads and order of items")
    assert "was not repeated" in verdict.noise_floor("CIDEr", CAPTIONS, None)


def accepted(found, words, share, n=160):
    """Whether a comparison is accepted, and why."""
    one = made.one("p", found, n=n)
    given = verdicts.acceptance(one, "CIDEr", words.sign, share)
    return given.accepted, plain(verdict.accepted(one, "CIDEr", words, given, share))


@pytest.mark.parametrize(
    ("found", "words", "share", "good", "why"),
    [
        (
            with_ci(-0.1, -0.2, 0.0, baseline=5.65), CAPTIONS, 0.95, True,
            "accepted: the lower 95 % bound of its CIDEr, 5.45, is at least 5.37, 95 % of the baseline's 5.65",
        ),
        (
            with_ci(-0.1, -0.2, 0.0, baseline=5.65), CAPTIONS, 0.99, False,
            "not accepted: the lower 95 % bound of its CIDEr, 5.45, is below 5.59, 99 % of the baseline's 5.65",
        ),
        (
            with_ci(0.01, -0.02, 0.04, baseline=0.8), ANSWERS, 0.99, False,
            "not accepted: the lower 95 % bound of its VQA accuracy, 78.0 %, is below 79.2 %, 99 % of the baseline's "
            "80.0 %",
        ),
        (
            with_ci(0.4, -1.3, 2.1, baseline=20.0, higher_is_better=False), PERPLEXITY, 0.9, True,
            "accepted: the upper 95 % bound of its perplexity, 22.1, is at most 22.2, the baseline's 20.0 "
            "divided by 0.9",
        ),
        (
            with_ci(0.4, -1.3, 2.6, baseline=20.0, higher_is_better=False), PERPLEXITY, 0.9, False,
            "not accepted: the upper 95 % bound of its perplexity, 22.6, is above 22.2, the baseline's "
            "20.0 divided by 0.9",
        ),
    ],
    ids=["higher", "too strict", "share", "lower", "lower too high"],
)  # fmt: skip
def test_acceptance_holds_the_worse_bound_against_the_share(found, words, share, good, why):
    assert accepted(found, words, share) == (good, why)


@pytest.mark.parametrize(
    ("found", "n", "kind", "said"),
    [
        (
            with_ci(-1.0, -2.0, -0.5, p=0.001), 160, "loss",
            "a clear loss, but within 5 % at the worst end of its interval",
        ),
        (with_ci(-0.1, -2.0, 1.5), 160, "no-clear-difference", "no loss beyond 5 % at the worst end of its interval"),
        (with_ci(-4.0, -5.0, -3.0, p=0.001), 160, "loss", "a clear loss of more than 5 %"),
        (with_ci(-4.0, -9.0, 1.0), 160, "no-clear-difference", "measured to lose more than 5 %"),
        (with_ci(-2.0, -3.0, -1.0, p=0.001), 160, "loss", "a clear loss, and one of more than 5 % is not ruled out"),
        (
            with_ci(-0.1, -3.0, 2.0), 160, "no-clear-difference",
            "no clear loss, but one of more than 5 % is not ruled out",
        ),
        (
            with_ci(0.0, -13.0, 13.0, stake=50.0), 12, "no-clear-difference",
            "12 items are too few to rule out a loss of 5 %",
        ),
        (made.metric(0.0, 1.0, baseline=0.0), 160, "no-clear-difference", "the baseline's own CIDEr is not above 0"),
    ],
)  # fmt: skip
def test_acceptance_in_a_few_words(found, n, kind, said):
    one = made.one("p", found, n=n)
    given = verdicts.acceptance(one, "CIDEr", 1, 0.95)
    assert verdict.accepted_in_short(one, CAPTIONS, given, 0.95, kind) == said


def test_two_levels_that_differ_never_look_alike():
    found = with_ci(-1.0, -2.4999, 0.5, baseline=50.0)
    assert "47.5001, is at least 47.5000" in accepted(found, CAPTIONS, 0.95)[1]
    assert accepted(made.metric(0, 0, baseline=0.0), CAPTIONS, 0.9) == (
        False, "not accepted: the baseline's own CIDEr is 0.000",
    )  # fmt: skip


def test_decimals_follow_the_standard_error():
    assert [wording.decimals_for(error) for error in (0.0123, 0.05, 0.64, 1.2, 3.6, 40, 0.0, 1e-9)] == [
        3, 2, 1, 1, 0, 0, None, 6,
    ]  # fmt: skip
    assert [wording.p_value(p) for p in (0.00004, 0.0012, 0.0096, 0.5, 1.0)] == [
        "p < .001", "p = .001", "p = .01", "p = .50", "p = 1.00",
    ]  # fmt: skip


def test_a_p_value_near_the_level_shows_on_which_side_it_is():
    assert [wording.p_value(p) for p in (0.044, 0.0456, 0.0496, 0.05, 0.0504, 0.0544, 0.056)] == [
        "p = .04", "p = .046", "p = .0496", "p = .050", "p = .0504", "p = .054", "p = .06",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ends", "interval"),
    [
        ((0.0004, 0.16), "[+0.0004, +0.16]"),
        ((-0.16, -0.00002), "[-0.16, -0.00002]"),
        ((1e-9, 0.16), "[+1e-09, +0.16]"),
        ((-0.0004, 0.16), "[-0.00, +0.16]"),
        ((0.0, 0.16), "[+0.00, +0.16]"),
    ],
)
def test_an_end_of_an_interval_that_excludes_0_does_not_read_as_0(ends, interval):
    form = wording.format_of(CAPTIONS, with_ci(0.07, *ends))
    assert plain(form.interval(ends)) == interval


# ---- the record


def study(**more):
    comparisons = [
        made.one("int8", with_ci(-0.4, -2.1, 1.3, detectable=2.43)),
        made.one("nf4", with_ci(-8.0, -9.0, -7.0, p=0.001)),
        made.one("rtn-3", with_ci(-6.0, -7.0, -5.0, p=0.001)),
        made.floor("float16"),
    ]
    rows = [
        made.row("float16", baseline=True),
        made.row("int8", 49.6, peak_memory_MB=120.0, size_on_disk_MB=60.0),
        made.row("nf4", 42.0, peak_memory_MB=80.0, latency_median_s=0.4),
        made.row("rtn-3", 44.0, simulated="rtn-3", peak_memory_MB=None, latency_median_s=None),
    ]
    return made.spec(["float16", "int8", "nf4", "rtn-3"], **more), made.record(comparisons), rows


def test_the_record_has_every_precision_in_the_studys_order():
    spec, comparison, rows = study()
    comparison["comparisons"].reverse()
    (cell,) = made.told(spec, comparison, rows[::-1])["cells"]
    baseline, *entries = cell["entries"]
    assert baseline["precision"] == "float16" and baseline["baseline"] and "kind" not in baseline
    assert [(e["precision"], e["kind"], e["accepted"], e["pareto"]) for e in entries] == [
        ("int8", "no-clear-difference", True, True),
        ("nf4", "loss", False, True),
        ("rtn-3", "loss", False, None),
    ]
    assert entries[2]["pareto_absent"].startswith("only simulated by rounding")
    assert cell["recommendation"]["precision"] == "int8"
    assert cell["pareto"]["on"] == ["float16", "int8", "nf4"]
    assert cell["outcome"]["lost"] == ["nf4", "rtn-3"]


def test_files_that_do_not_belong_together_are_refused():
    spec, comparison, rows = study()
    with pytest.raises(UserError, match=r"summary\.csv has nothing of m / nf4|scores has nothing of m / nf4"):
        made.told(spec, comparison, rows[:2])
    with pytest.raises(UserError, match="baseline is other where the study's is float16"):
        made.told(spec, comparison | {"baseline": "other"}, rows)
    with pytest.raises(UserError, match=r"comparison\.json has nothing of m / int8"):
        made.told(spec, comparison | {"comparisons": comparison["comparisons"][1:]}, rows)


def test_a_study_without_another_precision_recommends_its_baseline():
    told = made.told(made.spec(["float16"]), made.record([]), [made.row("float16", baseline=True)])
    (cell,) = told["cells"]
    reason = "the study has no other precision"
    assert [entry["precision"] for entry in cell["entries"]] == ["float16"]
    assert cell["recommendation"]["sentence"] == f"float16, the baseline: {reason}"
    assert cell["outcome"]["title"] == "float16 reaches 50.0 [48.0, 52.0] CIDEr"
    assert text.in_short(told) == ["    recommended: float16, the baseline"]


def test_names_that_look_like_numbers_stay_names(tmp_path):
    rows = [made.row("float16", baseline=True), made.row("007", 49.0)]
    path = tmp_path / "summary.csv"
    columns = list(rows[0])
    lines = [",".join("" if row[c] is None else str(row[c]) for c in columns) for row in rows]
    path.write_text("\n".join([",".join(columns), *lines]).replace("m,", "4.10,") + "\n")
    read = record.read_summary(path)
    assert [(row["model"], row["precision"]) for row in read] == [("4.10", "float16"), ("4.10", "007")]
    assert read[1]["simulated"] is None and read[1]["CIDEr"] == 49.0


@pytest.mark.parametrize(
    ("differences", "title", "sentence"),
    [
        (
            {"a": (-8.0, 1.0), "b": (-6.0, 1.0), "c": (0.1, 2.0)},
            "2 of 3 precisions show a clear loss of CIDEr, most of all a, -8.0 [-9.0, -7.0]",
            "2 of 3 precisions show a clear loss of CIDEr: a and b; the largest is that of a, -8.0 [-9.0, -7.0]",
        ),
        (
            {"a": (-0.3, 2.0), "b": (0.1, 2.0)},
            "None of 2 precisions shows a clear loss of CIDEr; lowest: a, -0.3 [-2.3, +1.7]",
            "none of 2 precisions shows a clear loss of CIDEr; the largest difference for the worse is that of a, -0.3 "
            "[-2.3, +1.7]",
        ),
        (
            {"a": (-8.0, 1.0), "b": (0.1, 2.0)},
            "1 of 2 precisions shows a clear loss of CIDEr: a, -8.0 [-9.0, -7.0]",
            "1 of 2 precisions shows a clear loss of CIDEr: a, -8.0 [-9.0, -7.0]",
        ),
        (
            {"a": (5.0, 1.0), "b": (6.0, 1.0)},
            "None of 2 precisions shows a clear loss of CIDEr; lowest: a, +5.0 [+4.0, +6.0]",
            "none of 2 precisions shows a clear loss of CIDEr; the least favourable difference is that of a, +5.0 "
            "[+4.0, +6.0]",
        ),
        (
            {"a": (-8.0, 1.0)},
            "a: clear loss: -8.0 [-9.0, -7.0] in CIDEr",
            "a: a clear loss of 8.0 CIDEr [7.0, 9.0] (p = .001 after Holm over 7 comparisons), beyond your 5 %",
        ),
    ],
)
def test_what_became_of_all_precisions_is_told_in_a_title_and_a_sentence(differences, title, sentence):
    one = [made.one(name, made.metric(value, half)) for name, (value, half) in differences.items()]
    rows = [made.row("float16", baseline=True), *(made.row(name) for name in differences)]
    (cell,) = made.told(made.spec(["float16", *differences]), made.record([*one, made.floor("float16")]), rows)["cells"]
    assert plain(cell["outcome"]["title"]) == title
    assert plain(cell["outcome"]["sentence"]) == sentence


def test_a_precision_that_is_not_compared_is_named_beside_the_only_one_that_is():
    one = [made.one("a", made.metric(-8.0, 1.0)), made.one("b", {"absent": "nothing to score."})]
    rows = [made.row("float16", baseline=True), made.row("a"), made.row("b", None)]
    (cell,) = made.told(made.spec(["float16", "a", "b"]), made.record([*one, made.floor("float16")]), rows)["cells"]
    assert cell["outcome"]["sentence"].startswith("a: a clear loss of 8.0 CIDEr")
    assert cell["outcome"]["sentence"].endswith("; not compared: b")


def of_perplexity(**differences):
    """The only cell of a study whose primary metric is better the lower it is; the baseline's is 30."""
    about = {"track": "lambada", "primary": "perplexity"}
    spec = made.spec(["float16", *differences], **about)
    metrics = {
        name: made.metric(value, half, baseline=30.0, higher_is_better=False)
        for name, (value, half) in differences.items()
    }
    comparison = [made.one(name, metric, primary="perplexity") for name, metric in metrics.items()]
    rows = [made.row("float16", baseline=True, perplexity=30.0)]
    rows += [made.row(name, perplexity=30.0 + value) for name, (value, _) in differences.items()]
    (cell,) = made.told(spec, made.record(comparison, primary="perplexity"), rows)["cells"]
    return cell


def test_where_lower_is_better_no_sentence_takes_a_higher_value_for_a_gain():
    lost, kept = of_perplexity(a=(5.0, 2.0), b=(0.5, 0.2)), of_perplexity(a=(0.1, 1.0), b=(-0.5, 2.0))
    assert plain(lost["outcome"]["title"]).startswith(
        "2 of 2 precisions show a clear loss by perplexity, most of all a, +5"
    )
    assert lost["detectable"].startswith("160 passages would have shown a perplexity higher by 0.29 to 2.9 with 80 %")
    worst = "at the worst end of its 95 % interval its perplexity is higher by 7.0, 23 % of the baseline's 30.0"
    assert lost["entries"][1]["at_worst"] == worst
    assert plain(kept["outcome"]["title"]).endswith("perplexity; highest: a, +0.1 [-0.9, +1.1]")
    assert "largest difference for the worse is that of a" in kept["outcome"]["sentence"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(99.94, "99.9"), (99.96, "100"), (100.0, "100"), (9.996, "10.0"), (0.0, "0"), (1e-5, "1.0e-05")],
)
def test_a_number_has_three_digits_and_no_point_at_its_end(value, shown):
    assert wording.number(value) == shown


@pytest.mark.parametrize(
    ("floor", "said"),
    [
        (None, None),
        (12.0, "12.0; the baseline clears it"),
        (49.0, "49.0; the baseline does not clear it"),
        (0.001, "less than 0.1; the baseline clears it"),
    ],
)
def test_the_floor_says_whether_the_baseline_clears_it(floor, said):
    (cell,) = made.told(*study(), floor=floor)["cells"]
    assert cell["floor"] is None if said is None else cell["floor"].endswith(f"scores: {said}")


def test_a_baseline_below_the_floor_has_the_advice_of_its_track(monkeypatch):
    monkeypatch.setattr(registry.module_of("track", "captioning"), "BELOW_FLOOR", "look at the entry", raising=False)
    for floor, said in ((12.0, []), (99.0, ["float16: its CIDEr is below the blind floor: look at the entry"])):
        (cell,) = made.told(*study(), floor=floor)["cells"]
        assert cell["remarks"] == said


# ---- timings that were disturbed


def disturbed(*names):
    spec, comparison, rows = study(prefer="latency")
    about = {"remarks": "repeat 1: the machine was loaded (9.0 jobs on 2 cores). | They differ."}
    about["disturbed"] = "the machine was loaded"
    return made.told(spec, comparison, [row | about if row["precision"] in names else row for row in rows])


def test_disturbed_timings_are_shown_with_the_remark_and_compared_with_nothing():
    (cell,) = disturbed("int8")["cells"]
    latency, size = (cell["entries"][1]["costs"][name] for name in ("latency", "size_on_disk"))
    assert latency["with_unit"] == "200 ms"
    assert latency["remark"] == "the timings were disturbed: the machine was loaded"
    assert latency["relation"] == "not compared" and latency["times"] == "" and latency["better"] is None
    assert latency["incomparable"] == "its timings were disturbed: the machine was loaded"
    assert size["relation"] == "less" and "remark" not in size
    for name in ("throughput_8", "energy_per_item", "carbon_per_item"):
        assert cell["entries"][1]["costs"][name]["relation"] == "not compared"
    assert cell["entries"][2]["costs"]["latency"]["relation"] == "more"  # nf4 was measured on a quiet machine
    assert "latency (int8: its timings were disturbed: the machine was loaded)" in cell["pareto"]["sentence"]
    assert cell["recommendation"]["precision"] == "float16"
    assert "not considered: int8 (its timings were disturbed" in cell["recommendation"]["sentence"]
    assert cell["remarks"] == ["int8: repeat 1: the machine was loaded (9.0 jobs on 2 cores)", "int8: They differ"]


def test_where_the_baselines_timings_were_disturbed_nothing_is_recommended_by_latency():
    (cell,) = disturbed("float16")["cells"]
    assert {one["costs"]["latency"]["relation"] for one in cell["entries"][1:3]} == {"not compared"}
    assert cell["entries"][1]["costs"]["latency"]["incomparable"] == (
        "the baseline's timings were disturbed: the machine was loaded"
    )
    assert cell["recommendation"]["precision"] is None
    assert cell["recommendation"]["sentence"].startswith(
        "nothing is recommended: latency cannot be compared for any accepted precision"
    )


@pytest.mark.parametrize(
    ("names", "what"),
    [(["int8", "nf4"], "theirs are not compared"), (["float16"], "no times or energies are compared")],
)
def test_the_end_of_a_run_says_what_to_do_about_disturbed_timings(names, what):
    told = disturbed(*names)
    advice = text.advice(told)
    said = " ".join(line.strip() for line in advice)
    which = wording.listed(names)
    assert said.startswith(f"warning: the timings of {which} were disturbed (the machine was loaded), so ")
    assert what in said and max(map(len, advice)) <= text.WIDTH
    command = "make run STUDY=synthetic SNAKEMAKE_ARGS='--forcerun measure_efficiency'"
    assert said.endswith(f"measure again on a quiet machine: {command}")
    assert command in advice[-1]  # in one line, to be copied
    assert command in text.in_full(told | {"study": "s"})
    assert text.advice(made.told(*study())) == []


def test_disturbed_timings_of_all_are_not_listed():
    """The simulated precision was measured by nobody."""
    (advice, *_) = text.advice(disturbed("float16", "int8", "nf4"))
    assert advice.startswith("  warning: the timings of all precisions were disturbed (the machine was loaded), so")


def test_the_rule_that_measures_again_exists():
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    assert all(f"\nrule {name}:" in rules for name in ("measure_efficiency", "measure_detector"))
    cell = (ROOT / "workflow/scripts/bitbudget/telling/cell.py").read_text()
    assert set(re.findall(r'"(measure_\w+)"', cell)) == {"measure_efficiency", "measure_detector"}


# ---- the script, and the end of a run


@pytest.fixture
def written(tmp_path):
    return write(tmp_path, *study())


def write(folder, spec, comparison, rows):
    """The script's files, made from a comparison that fits its schema."""
    import pandas

    own = ("record", "study", "seed", "subset_hash", "provenance")
    body = {name: value for name, value in comparison.items() if name not in own}
    identity = {name: comparison[name] for name in ("study", "seed", "subset_hash")}
    records.write(folder / "comparison.json", "comparison", identity, body)
    pandas.DataFrame(rows).to_csv(folder / "summary.csv", index=False)
    kept = {"measurements": made.measurements, "scores": made.scores}
    paths = {kind: [folder / f"{row['precision']}-{kind}.json" for row in rows] for kind in kept}
    for kind, make in kept.items():
        for path, row in zip(paths[kind], rows, strict=True):
            path.write_text(json.dumps(make(row)))
    (folder / "blind.json").write_text(json.dumps({"metrics": {"CIDEr": {"value": 1.25}}}))
    command = [
        sys.executable, ROOT / "workflow/scripts/recommend_precision.py", "--spec", asked("recommend_precision", spec),
        "--comparison", folder / "comparison.json", "--summary", folder / "summary.csv",
        "--measurements", *paths["measurements"], "--scores", *paths["scores"], "--blind", folder / "blind.json",
        "--out", folder / "verdicts.json", "--out-text", folder / "verdicts.txt",
    ]  # fmt: skip
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_script_writes_a_record_and_a_text_to_read(written):
    told = json.loads((written / "verdicts.json").read_text())
    full = plain((written / "verdicts.txt").read_text())
    lines = full.splitlines()
    assert (
        lines[0]
        == "demo study synthetic: CIDEr of every precision against float16, on the same items (higher is better)"
    )
    assert "  int8   no clear difference: -0.4 CIDEr [-2.1, +1.3]; smallest detectable loss 2.4" in lines
    assert "         12 of 160 answers changed; 3 images score higher, 7 lower" in lines
    assert max(map(len, lines)) <= text.WIDTH
    for entry in told["cells"][0]["entries"][1:]:
        assert "".join(plain(entry["accepted_why"]).split()) in "".join(full.split())
    assert "recommended: int8" in full


def test_a_study_with_a_list_of_preferences_has_a_recommendation_for_each(tmp_path, monkeypatch):
    from config_folder import ConfigFolder

    monkeypatch.chdir(tmp_path)
    config = ConfigFolder(tmp_path)
    assert config.resolved()["accept"] == {"quality": 0.99, "prefer": "memory"}
    resolved = config.resolved(accept={"quality": 0.95, "prefer": ["size", "latency"]})
    spec, comparison, rows = study()
    rows[1] |= {"latency_median_s": 0.3, "latency_median_ci_low_s": 0.29, "latency_median_ci_high_s": 0.31}
    folder = write(
        tmp_path, spec | {"accept": spec_module.of("recommend_precision", resolved, {})["accept"]}, comparison, rows
    )
    told = json.loads((folder / "verdicts.json").read_text())
    (cell,) = told["cells"]
    assert [(one["prefer"], one["cost"], one["precision"]) for one in cell["profiles"]] == [
        ("size", "size_on_disk", "int8"),
        ("latency", "latency", "float16"),
    ]
    assert cell["recommendation"] == cell["profiles"][0]
    assert told["rule"].endswith("the one with the least size and the one with the least latency are recommended.")
    full = (folder / "verdicts.txt").read_text()
    assert "least size: recommended: int8" in full and "least latency: recommended: float16" in full


def test_a_run_ends_with_the_verdicts_or_without_them_where_they_cannot_be_read(written, monkeypatch):
    monkeypatch.chdir(written)
    folder = written / "results" / "s"
    folder.mkdir(parents=True)
    (folder / "summary.csv").write_text(
        "model,precision,condition,CIDEr,size_on_disk_MB,latency_median_s\nm,float16,zero-shot,50,12,0.1\n"
    )
    study = {"track": "captioning", "primary": "CIDEr", "demo": True, "precisions": ["float16"]}
    study |= {"models": ["m"], "conditions": ["zero-shot"]}
    bare = summary_lines({"s": study})
    for junk in ("recommend_precision", "[]", "{}", '{"cells": 3}'):
        (folder / "verdicts.json").write_text(junk)
        assert summary_lines({"s": study}) == bare
    told = json.loads((written / "verdicts.json").read_text())
    told["cells"][0]["disturbed"] = "the timings of int8 were disturbed"
    (folder / "verdicts.json").write_text(json.dumps(told))
    assert list(map(plain, summary_lines({"s": study})[4:-1])) == [
        "  CIDEr against float16, with 95 % intervals:",
        "    int8   no clear difference: -0.4 [-2.1, +1.3]",
        "    nf4    clear loss: -8.0 [-9.0, -7.0]",
        "    rtn-3  clear loss: -6.0 [-7.0, -5.0]",
        "    recommended: int8, 0.60x the peak memory and 0.60x the size on disk",
        "  in full: results/s/verdicts.txt",
        "  warning: the timings of int8 were disturbed",
    ]


# ---- the worse end


def test_the_bound_that_accepts_is_the_end_of_the_interval_that_is_shown():
    found = with_ci(0.0006, -0.12, 0.0012, baseline=5.3, stake=5.9, differ=1)
    assert "[-0.120, +0.001]" in judged(found)[1]
    assert verdicts.worst(found, 1) == 5.3 - 0.12
    assert verdict.at_worst(made.one("p", found), "CIDEr", CAPTIONS).startswith(
        "at the worst end of its 95 % interval it loses 0.120 CIDEr, 2.3 % of the baseline's"
    )
    little = with_ci(0.0, -0.07, 0.07, baseline=0.02)  # none of 50 differs, and one in fifty is right
    assert verdicts.worst(little, 1) == 0
    assert "loses 2 points of VQA accuracy, 100 % of" in verdict.at_worst(made.one("p", little), "CIDEr", ANSWERS)
    lower = with_ci(0.1, -0.5, 1.76, baseline=20.0, higher_is_better=False)
    assert verdicts.worst(lower, -1) == 21.76


@pytest.mark.parametrize(
    ("n", "share", "few"),
    [
        (12, 0.95, "12 items are too few: of as many without any difference it would be 26 % less"),
        (160, 0.95, None),  # 2.3 %
        (160, 0.99, "160 items are too few: of as many without any difference it would be 2.3 % less"),
    ],
)
def test_so_few_units_that_none_could_be_accepted_are_called_too_few(n, share, few):
    limit = 5.3 * (1 - 0.025 ** (1 / n))
    good, why = accepted(with_ci(0.0, -limit, limit, baseline=5.3, stake=5.3, differ=0), CAPTIONS, share, n)
    assert good is (few is None)
    assert why.endswith(f"({few})") if few else "(" not in why


def test_too_few_where_less_is_better():
    limit = 20.0 * (1 - 0.025 ** (1 / 40))  # 8.8 %
    found = with_ci(0.0, -limit, limit, baseline=20.0, stake=20.0, differ=0, higher_is_better=False)
    assert accepted(found, PERPLEXITY, 0.9, 40)[0]
    assert accepted(found, PERPLEXITY, 0.95, 40)[1].endswith(
        "(40 passages are too few: of as many without any difference it would be 8.8 % more)"
    )


def test_what_it_would_cost_to_be_wrong_is_told_at_the_worse_end():
    def told(found, words=CAPTIONS):
        return verdict.at_worst(made.one("p", found), "CIDEr", words)

    assert told(with_ci(-0.1, -0.2, 0.0, baseline=5.0)) == (
        "at the worst end of its 95 % interval it loses 0.20 CIDEr, 4 % of the baseline's 5.00"
    )
    assert told(with_ci(0.2, 0.1, 0.3, baseline=5.0)) == "at the worst end of its 95 % interval it loses nothing"
    lower = with_ci(0.4, -1.3, 2.0, baseline=20.0, higher_is_better=False)
    assert (
        told(lower, PERPLEXITY)
        == "at the worst end of its 95 % interval its perplexity is higher by 2.0, 10 % of the baseline's 20.0"
    )
