"""Verdicts: a sentence for every kind of comparison, made only from its numbers, and what is accepted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import synthetic_comparison as made
from asked import asked

from bitbudget import records
from bitbudget.config.run import summary_lines
from bitbudget.errors import UserError
from bitbudget.judging import verdicts
from bitbudget.telling import verdict_record, verdict_text, wording

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"
NAMES = [f"p{i}" for i in range(7)]
CAPTIONS = wording.words_of({"track": "captioning", "primary": "CIDEr"})
ANSWERS = wording.words_of({"track": "vqa", "primary": "vqa_accuracy"})
PERPLEXITY = wording.words_of({"track": "lambada", "primary": "perplexity"})
BOXES = wording.words_of({"track": "detection", "primary": "AP"})


def plain(text):
    return text.replace(wording.MINUS, "-")


def judged(found, words=CAPTIONS, primary="CIDEr", floor=None, **more):
    """Kind and sentence of a comparison beside a noise floor."""
    one = made.one("p0", found, primary=primary, **more)
    own = made.floor("float16", floor, primary=primary)
    return verdicts.kind_of(one, primary, words, own), plain(verdicts.sentence(one, primary, words, own))


def with_ci(value, low, high, **more):
    return made.metric(value, (high - low) / 2, **more) | {"ci": [low, high]}


@pytest.mark.parametrize(
    ("found", "kind", "sentence"),
    [
        (
            with_ci(-3.1, -4.4, -1.9, p=0.001),
            "loss",
            "loses 3.1 CIDEr [1.9, 4.4] (p = .001 after Holm over 7 comparisons)",
        ),
        (
            with_ci(3.1, 1.9, 4.4, p=0.0002),
            "gain",
            "gains 3.1 CIDEr [1.9, 4.4] (p < .001 after Holm over 7 comparisons)",
        ),
        (
            with_ci(-0.4, -2.1, 1.3, detectable=2.43),
            "no-loss-detected",
            "no loss detected: -0.4 CIDEr [-2.1, +1.3], could have seen 2.4",
        ),
        (with_ci(0.2, -1.5, 1.9), "gain-within-noise", "gain within noise: +0.2 CIDEr [-1.5, +1.9]"),
        (
            with_ci(0.0, -2.0, 2.0, detectable=2.9),
            "no-loss-detected",
            "no loss detected: +0.0 CIDEr [-2.0, +2.0], could have seen 2.9",
        ),
        (
            with_ci(-2.0, -3.9, -0.1, p=0.08, detectable=2.71),
            "no-loss-detected",
            "no loss detected: -2.0 CIDEr [-3.9, -0.1], could have seen 2.7; the interval excludes 0, but p = .08 "
            "after Holm over 7 comparisons",
        ),
        (
            with_ci(2.0, 0.1, 3.9, p=0.08),
            "gain-within-noise",
            "gain within noise: +2.0 CIDEr [+0.1, +3.9]; the interval excludes 0, but p = .08 after Holm over 7 "
            "comparisons",
        ),
    ],
    ids=["loss", "gain", "no loss", "noise", "zero", "not after Holm", "gain not after Holm"],
)  # fmt: skip
def test_every_kind_has_its_sentence(found, kind, sentence):
    assert judged(found) == (kind, sentence)


def test_a_single_precision_is_corrected_for_nothing():
    assert judged(with_ci(-3.1, -4.4, -1.9, p=0.012, family=1))[1] == "loses 3.1 CIDEr [1.9, 4.4] (p = .01)"


def floor_with(value, p_value):
    return made.metric(value, 1.5) | {"p_value": p_value}


def test_what_the_baseline_shows_against_itself_as_clearly_is_no_loss():
    found = with_ci(-3.1, -4.4, -1.9, p=0.001)
    assert judged(found, floor=floor_with(3.4, 0.02)) == (
        "loss-within-noise",
        "loss within noise: -3.1 CIDEr [-4.4, -1.9] (p = .001 after Holm over 7 comparisons), but the baseline "
        "repeated on this machine with another batch size and order of items differs by as much from itself "
        "(+3.4, p = .02)",
    )
    kind, sentence = judged(with_ci(3.1, 1.9, 4.4, p=0.001), floor=floor_with(-3.1, 0.02))
    assert (kind, sentence[:18]) == ("gain-within-noise", "gain within noise:")
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
        "the same answers on all 160 items; with 95 % confidence fewer than 1.9 % would differ",
    )
    assert judged(**same, words=ANSWERS, primary="vqa_accuracy", units=40)[1] == (
        "the same answers on all 160 items about 40 images; with 95 % confidence fewer than 7.2 % of images would have "
        "one that differs"
    )
    assert judged(**same, words=BOXES, primary="AP", n=200)[1].startswith("the same boxes in all 200 images; ")
    assert judged(made.metric(0.0, 0.0), answers=(1, 0, 0))[0] == "no-loss-detected"


def test_shares_are_told_in_percentage_points():
    found = with_ci(-0.0312, -0.0441, -0.0188, p=0.001, baseline=0.8)
    assert judged(found, ANSWERS, "vqa_accuracy")[1].startswith("loses 3.1 points of VQA accuracy [1.9, 4.4] (")
    assert judged(with_ci(-0.031, -0.044, -0.019, p=0.001, baseline=0.4), BOXES, "AP")[1].startswith(
        "loses 0.031 AP [0.019, 0.044] ("
    )


def test_where_lower_is_better_more_is_a_loss():
    about = {"higher_is_better": False, "baseline": 20.0}
    worse, better = with_ci(3.1, 1.9, 4.4, p=0.001, **about), with_ci(-3.1, -4.4, -1.9, p=0.001, **about)
    assert judged(worse, PERPLEXITY, "perplexity") == (
        "loss", "raises perplexity by 3.1 [1.9, 4.4] (lower is better) (p = .001 after Holm over 7 comparisons)",
    )  # fmt: skip
    assert judged(better, PERPLEXITY, "perplexity")[0] == "gain"
    kind, sentence = judged(with_ci(0.4, -1.3, 2.1, detectable=2.4, **about), PERPLEXITY, "perplexity")
    assert (kind, sentence) == (
        "no-loss-detected",
        "no loss detected: +0.4 perplexity [-1.3, +2.1] (lower is better), could have seen 2.4",
    )
    assert judged(with_ci(-0.4, -2.1, 1.3, **about), PERPLEXITY, "perplexity")[0] == "gain-within-noise"


def test_what_is_not_there_is_not_compared_and_says_why():
    gone = records.absent("9 passages are too few.", "score", higher_is_better=True)
    assert judged(gone) == ("not-compared", "not compared: 9 passages are too few")
    bare = made.metric(-0.5, 1.0)
    del bare["ci"]
    assert judged(bare) == ("not-compared", "not compared: -0.5 CIDEr, of which there is no interval")
    assert not verdicts.acceptance(made.one("p", gone), "CIDEr", CAPTIONS, 0.9).accepted


def test_what_could_have_been_seen_may_be_unknown():
    found = with_ci(-0.4, -2.1, 1.3)
    del found["smallest_detectable"]
    found["smallest_detectable_absent"] = "no answer differs enough to tell."
    assert judged(found)[1].endswith(", what could have been seen is unknown (no answer differs enough to tell)")


def test_answers_and_the_noise_floor_are_counted():
    one = made.one("p", made.metric(-1.0, 2.0), answers=(12, 3, 7))
    assert verdicts.answers(one, CAPTIONS) == "12 of 160 answers changed; 3 better, 7 worse"
    assert verdicts.answers(one, BOXES) == "boxes or scores changed in 12 of 160 images; 3 images better, 7 worse"
    again = "the baseline repeated on this machine with another batch size and order of items: "
    floor = made.floor("float16", made.metric(0.0, 0.0, baseline=5.6))
    assert verdicts.noise_floor("CIDEr", CAPTIONS, floor) == (
        f"{again}0 of 160 answers changed; another machine may change some"
    )
    floor = made.floor("float16", with_ci(0.02, -0.03, 0.05, baseline=5.6), answers=(2, 1, 1))
    assert plain(verdicts.noise_floor("CIDEr", CAPTIONS, floor)) == (
        f"{again}+0.020 CIDEr [-0.030, +0.050], 2 of 160 answers changed"
    )
    assert BOXES.repeated.endswith("on this machine with another number of threads and order of images")
    threads = wording.words_of({"track": "captioning", "primary": "CIDEr", "noise_floor": "threads"}).repeated
    assert threads.endswith("another batch size, number of threads and order of items")
    assert "was not repeated" in verdicts.noise_floor("CIDEr", CAPTIONS, None)


@pytest.mark.parametrize(
    ("found", "words", "share", "accepted", "why"),
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
def test_acceptance_holds_the_worse_bound_against_the_share(found, words, share, accepted, why):
    good = verdicts.acceptance(made.one("p", found), "CIDEr", words, share)
    assert (good.accepted, good.why) == (accepted, why)


def test_two_levels_that_differ_never_look_alike():
    found = with_ci(-1.0, -2.4999, 0.5, baseline=50.0)
    why = verdicts.acceptance(made.one("p", found), "CIDEr", CAPTIONS, 0.95).why
    assert "47.5001, is at least 47.5000" in why
    assert not verdicts.acceptance(made.one("p", made.metric(0, 0, baseline=0.0)), "CIDEr", CAPTIONS, 0.9).accepted


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


def study():
    comparisons = [
        made.one("int8", with_ci(-0.4, -2.1, 1.3)),
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
    return made.spec(["float16", "int8", "nf4", "rtn-3"]), made.record(comparisons), rows


def test_the_record_has_every_precision_in_the_studys_order():
    spec, comparison, rows = study()
    comparison["comparisons"].reverse()
    body = verdict_record.body(spec, comparison, rows[::-1])
    entries = body["verdicts"]
    assert [(e["precision"], e["kind"], e["accepted"], e["pareto"]) for e in entries] == [
        ("int8", "no-loss-detected", True, True),
        ("nf4", "loss", False, True),
        ("rtn-3", "loss", False, None),
    ]
    assert entries[2]["pareto_absent"].startswith("only simulated by rounding")
    assert body["recommendations"][0]["precision"] == "int8"
    assert body["recommendations"][0]["pareto_front"] == ["float16", "int8", "nf4"]


def test_files_that_do_not_belong_together_are_refused():
    spec, comparison, rows = study()
    with pytest.raises(UserError, match=r"summary\.csv has nothing of m / nf4"):
        verdict_record.body(spec, comparison, rows[:2])
    with pytest.raises(UserError, match="baseline is other where the study's is float16"):
        verdict_record.body(spec, comparison | {"baseline": "other"}, rows)
    with pytest.raises(UserError, match=r"comparison\.json has nothing of m / int8"):
        verdict_record.body(spec, comparison | {"comparisons": comparison["comparisons"][1:]}, rows)


def test_a_study_without_another_precision_recommends_its_baseline():
    body = verdict_record.body(made.spec(["float16"]), made.record([]), [made.row("float16", baseline=True)])
    assert body["verdicts"] == []
    assert body["recommendations"][0]["precision"] == "float16"
    assert body["recommendations"][0]["sentence"] == "float16, the baseline: it is the only precision"
    assert verdict_text.in_short(body) == ["    recommended: float16, the baseline: it is the only precision"]


def test_names_that_look_like_numbers_stay_names(tmp_path):
    rows = [made.row("float16", baseline=True), made.row("007", 49.0)]
    path = tmp_path / "summary.csv"
    columns = list(rows[0])
    lines = [",".join("" if row[c] is None else str(row[c]) for c in columns) for row in rows]
    path.write_text("\n".join([",".join(columns), *lines]).replace("m,", "4.10,") + "\n")
    read = verdict_record.read_summary(path)
    assert [(row["model"], row["precision"]) for row in read] == [("4.10", "float16"), ("4.10", "007")]
    assert read[1]["simulated"] is None and read[1]["CIDEr"] == 49.0


@pytest.fixture
def written(tmp_path):
    """The script's files, made from a comparison that fits its schema."""
    import pandas

    spec, comparison, rows = study()
    own = ("record", "study", "seed", "subset_hash", "provenance")
    body = {name: value for name, value in comparison.items() if name not in own}
    identity = {name: comparison[name] for name in ("study", "seed", "subset_hash")}
    records.write(tmp_path / "comparison.json", "comparison", identity, body)
    pandas.DataFrame(rows).to_csv(tmp_path / "summary.csv", index=False)
    command = [
        sys.executable, SCRIPTS / "recommend_precision.py", "--spec", asked("recommend_precision", spec),
        "--comparison", tmp_path / "comparison.json", "--summary", tmp_path / "summary.csv",
        "--out", tmp_path / "verdicts.json", "--out-text", tmp_path / "verdicts.txt",
    ]  # fmt: skip
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tmp_path


def test_the_script_writes_a_record_and_a_text_to_read(written):
    record = json.loads((written / "verdicts.json").read_text())
    text = plain((written / "verdicts.txt").read_text())
    lines = text.splitlines()
    assert (
        lines[0]
        == "demo study synthetic: CIDEr of every precision against float16, on the same items (higher is better)"
    )
    assert "  int8   no loss detected: -0.4 CIDEr [-2.1, +1.3], could have seen 2.4" in lines
    assert "         12 of 160 answers changed; 3 better, 7 worse" in lines
    assert max(map(len, lines)) <= verdict_text.WIDTH
    for entry in record["verdicts"]:
        assert "".join(plain(entry["accepted_why"]).split()) in "".join(text.split())
    assert "recommended: int8" in text


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
    for junk in ("recommend_precision", "[]", "{}", '{"recommendations": 3}'):
        (folder / "verdicts.json").write_text(junk)
        assert summary_lines({"s": study}) == bare
    (folder / "verdicts.json").write_text((written / "verdicts.json").read_text())
    assert list(map(plain, summary_lines({"s": study})[4:-1])) == [
        "  CIDEr against float16, with 95 % intervals:",
        "    int8   no loss detected: -0.4 CIDEr [-2.1, +1.3], could have seen 2.4",
        "    nf4    loses 8.0 CIDEr [7.0, 9.0] (p = .001 after Holm over 7 comparisons)",
        "    rtn-3  loses 6.0 CIDEr [5.0, 7.0] (p = .001 after Holm over 7 comparisons)",
        "    recommended: int8: of 1 accepted precision and the baseline it has the lowest peak memory",
        "  in full: results/s/verdicts.txt",
    ]


def test_the_bound_that_accepts_is_the_end_of_the_interval_that_is_shown():
    found = with_ci(0.0006, -0.12, 0.0012, baseline=5.3, stake=5.9, differ=1)
    one = made.one("p", found)
    assert "[-0.120, +0.001]" in plain(verdicts.sentence(one, "CIDEr", CAPTIONS, None))
    assert verdicts.worst(found, CAPTIONS) == 5.3 - 0.12
    assert verdicts.at_worst(one, "CIDEr", CAPTIONS).startswith(
        "at the worst end of its 95 % interval it loses 0.120 CIDEr, 2.3 % of the baseline's"
    )
    little = with_ci(0.0, -0.07, 0.07, baseline=0.02)  # none of 50 differs, and one in fifty is right
    assert verdicts.worst(little, ANSWERS) == 0
    assert "loses 2 points of VQA accuracy, 100 % of" in verdicts.at_worst(made.one("p", little), "CIDEr", ANSWERS)
    lower = with_ci(0.1, -0.5, 1.76, baseline=20.0, higher_is_better=False)
    assert verdicts.worst(lower, PERPLEXITY) == 21.76


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
    one = made.one("p", with_ci(0.0, -limit, limit, baseline=5.3, stake=5.3, differ=0), n=n)
    good = verdicts.acceptance(one, "CIDEr", CAPTIONS, share)
    assert good.accepted is (few is None)
    assert good.why.endswith(f"({few})") if few else "(" not in good.why


def test_too_few_where_less_is_better():
    limit = 20.0 * (1 - 0.025 ** (1 / 40))  # 8.8 %
    found = with_ci(0.0, -limit, limit, baseline=20.0, stake=20.0, differ=0, higher_is_better=False)
    one = made.one("p", found, n=40)
    assert verdicts.acceptance(one, "CIDEr", PERPLEXITY, 0.9).accepted
    assert verdicts.acceptance(one, "CIDEr", PERPLEXITY, 0.95).why.endswith(
        "(40 passages are too few: of as many without any difference it would be 8.8 % more)"
    )


def test_what_it_would_cost_to_be_wrong_is_told_at_the_worse_end():
    def told(found, words=CAPTIONS):
        return verdicts.at_worst(made.one("p", found), "CIDEr", words)

    assert told(with_ci(-0.1, -0.2, 0.0, baseline=5.0)) == (
        "at the worst end of its 95 % interval it loses 0.20 CIDEr, 4 % of the baseline's 5.00"
    )
    assert told(with_ci(0.2, 0.1, 0.3, baseline=5.0)) == "at the worst end of its 95 % interval it loses nothing"
    lower = with_ci(0.4, -1.3, 2.0, baseline=20.0, higher_is_better=False)
    assert (
        told(lower, PERPLEXITY)
        == "at the worst end of its 95 % interval it is worse by 2.0 perplexity, 10 % of the baseline's 20.0"
    )
