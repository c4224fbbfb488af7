"""The recommended precision and the Pareto front, by hand."""

import math

import pytest
import synthetic_comparison as made

from bitbudget.judging import pareto, recommendation
from bitbudget.telling import wording

WORDS = wording.words_of({"track": "captioning", "primary": "CIDEr"})
BASE = made.row("base", baseline=True)


def chosen(rows, accepted=None, prefer="memory", words=WORDS):
    rows = [BASE, *rows]
    accepted = [row["precision"] for row in rows[1:]] if accepted is None else accepted
    worst = {row["precision"]: f"at its 95 % bound {row['precision']} loses 1.0" for row in rows}
    best = recommendation.recommend(rows, accepted, prefer, "CIDEr", words, worst)
    return recommendation.Choice(best.precision, best.sentence.replace("\N{MULTIPLICATION SIGN}", "x"))


def test_the_least_of_the_preferred_cost_among_the_accepted():
    rows = [
        made.row("a", 49.0, peak_memory_MB=120.0, latency_median_s=0.1, latency_median_ci_low_s=0.09,
                 latency_median_ci_high_s=0.12, energy_per_item_J=2.0, size_on_disk_MB=60.0, weights_in_memory_MB=45.0),
        made.row("b", 48.0, peak_memory_MB=150.0, size_on_disk_MB=40.0),
        made.row("c", 10.0, peak_memory_MB=50.0, size_on_disk_MB=20.0),
    ]  # fmt: skip
    best = chosen(rows, ["a", "b"])
    assert best.precision == "a"
    assert best.sentence == (
        "a: of 2 accepted precisions and the baseline it has the lowest peak memory; against base: peak memory 120 MB "
        "instead of 200 MB (0.60x), size on disk 60.0 MB instead of 100 MB (0.60x), weights in memory 45.0 MB "
        "instead of 90.0 MB (0.50x), latency "
        "100 ms instead of 200 ms (0.50x), energy per item 2.00 J instead of 4.00 J (0.50x); at its 95 % "
        "bound a loses 1.0"
    )
    assert chosen(rows, ["a", "b"], "size").precision == "b"
    assert chosen(rows, ["a", "b"], "latency").precision == "a"
    assert chosen(rows, prefer="size").precision == "c"


def test_the_baseline_is_a_candidate_and_wins_where_nothing_is_less():
    assert (
        chosen([made.row("a")], []).sentence == "base, the baseline: no other precision is both accepted and measured"
    )
    best = chosen([made.row("a", peak_memory_MB=300.0)])
    assert (
        best.sentence == "base, the baseline: it has the lowest peak memory of all candidates (base 200 MB, a 300 MB)"
    )


def test_a_few_bytes_are_no_reason_to_take_what_is_worse():
    rows = [made.row("a", 45.0, size_on_disk_MB=50.0), made.row("b", 49.0, size_on_disk_MB=50.4)]
    best = chosen(rows, prefer="size")
    assert best.precision == "b"
    said = "it is within 1 % of the smallest size on disk, and of those that are it has the best CIDEr"
    assert said in best.sentence
    assert chosen([rows[0], rows[1] | {"size_on_disk_MB": 51.0}], prefer="size").precision == "a"
    near = chosen([made.row("a", size_on_disk_MB=99.5)], prefer="size")
    assert near.precision == "base" and "no candidate has less size on disk by more than 1 %" in near.sentence


def test_ties_and_overlapping_intervals_are_told():
    assert chosen([made.row("a", 60.0)]).sentence.endswith("; a has the very same peak memory")
    same = [made.row("a", 48.0, peak_memory_MB=100.0), made.row("b", 49.0, peak_memory_MB=100.0)]
    assert chosen(same).precision == "b"  # of better quality
    assert "; a has the very same peak memory" in chosen(same).sentence
    near = [made.row("a", latency_median_s=0.195, latency_median_ci_low_s=0.18, latency_median_ci_high_s=0.2)]
    best = chosen(near, prefer="latency")
    assert best.precision == "a"
    assert "195 ms instead of 200 ms (0.97x, intervals overlap)" in best.sentence
    assert best.sentence.endswith("; its latency interval overlaps that of base, so their order may be chance")


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"simulated": "rtn-3"}, "only simulated by rounding"),
        ({"audit_passed": False}, "audit failed"),
        ({"audit_passed": None}, "not audited"),
        ({"threads": 1}, "measured on another machine, device or number of threads"),
    ],
    ids=["simulated", "failed audit", "no audit", "other threads"],
)
def test_what_cannot_be_compared_is_never_recommended(cells, reason):
    best = chosen([made.row("a", peak_memory_MB=1.0, **cells)])
    assert best.precision == "base"
    assert "; not considered: a (" in best.sentence and reason in best.sentence


def test_a_place_that_is_not_known_speaks_against_nothing():
    assert chosen([made.row("a", peak_memory_MB=1.0, threads=None, hardware=None)]).precision == "a"


def test_memory_is_the_weights_where_libraries_hide_the_model():
    resident = {"peak_memory_kind": "resident set"}
    base = BASE | resident
    rows = [base, made.row("a", peak_memory_MB=250.0, weights_in_memory_MB=30.0, **resident)]
    best = recommendation.recommend(rows, ["a"], "memory", "CIDEr", WORDS, {"a": "it loses 1"})
    assert best.precision == "a" and "the smallest weights in memory" in best.sentence
    # a detector's weights in memory are not known, so the process is what there is
    assert recommendation.memory([row | {"weights_in_memory_MB": None} for row in rows]) is recommendation.PEAK
    assert recommendation.memory([BASE]) is recommendation.PEAK
    assert recommendation.memory([BASE | {"peak_memory_MB": None}]) is recommendation.WEIGHTS


def test_a_cost_that_nobody_measured_recommends_nothing_and_says_why():
    gone = {
        "energy_per_item_J": None,
        "notes": "energy_per_item, carbon_per_item: no counter may be read; run as root.",
    }
    rows = [BASE | gone, made.row("a", **gone)]
    best = recommendation.recommend(rows, ["a"], "energy", "CIDEr", WORDS, {})
    assert best.precision is None
    assert best.sentence == (
        "nothing is recommended: energy per item was measured for no accepted precision (no counter may be read; run "
        "as root)"
    )


def test_a_baseline_that_is_not_what_it_is_called_is_not_recommended():
    failed = BASE | {"audit_passed": False}
    rows = [failed, made.row("a", peak_memory_MB=300.0)]
    best = recommendation.recommend(rows, ["a"], "memory", "CIDEr", WORDS, {"a": "it loses 1"})
    assert best.precision == "a"
    assert "not considered: base (audit failed: the checkpoint is not what the precision asks for)" in best.sentence
    best = recommendation.recommend(rows, [], "memory", "CIDEr", WORDS, {})
    assert best.precision is None
    assert best.sentence.startswith("nothing is recommended: no accepted precision can be compared; not considered")


def test_what_only_one_of_the_two_has_measured_is_named_with_it():
    best = chosen([made.row("a", peak_memory_MB=50.0, weights_in_memory_MB=None)])
    assert "weights in memory not measured for a;" in best.sentence


def test_energy_whose_intervals_overlap_may_be_ordered_by_chance():
    def ends(low, high):
        return {"energy_per_item_ci_low_J": low, "energy_per_item_ci_high_J": high}

    rows = [BASE | ends(3.5, 4.5), made.row("a", energy_per_item_J=3.8, **ends(3.4, 4.2))]
    best = recommendation.recommend(rows, ["a"], "energy", "CIDEr", WORDS, {"a": "it loses 1"})
    assert "intervals overlap)" in best.sentence
    assert best.sentence.endswith("; its energy per item interval overlaps that of base, so their order may be chance")


def test_a_cost_that_some_lack_is_compared_among_the_others():
    rows = [made.row("a", energy_per_item_J=None), made.row("b", energy_per_item_J=3.0)]
    best = chosen(rows, prefer="energy")
    assert best.precision == "b"
    assert best.sentence.endswith("; not considered: a (energy per item not measured)")


def test_a_tie_is_broken_by_the_better_quality_where_lower_is_better():
    words = wording.words_of({"track": "lambada", "primary": "perplexity"})
    rows = [made.row("a", 48.0, peak_memory_MB=100.0), made.row("b", 49.0, peak_memory_MB=100.0)]
    assert chosen(rows, words=words).precision == "a"


def test_the_front_of_many_dimensions():
    points = [(1, 5, 5), (2, 4, 5), (2, 5, 5), (5, 1, 1), (1, 5, 5), (math.nan, 0, 0)]
    assert pareto.front(points) == [True, True, False, True, True, False]
    assert pareto.front([]) == []
    with pytest.raises(ValueError, match="zip"):
        pareto.front([(1, 2), (1, 2, 3)])


def test_the_front_is_over_quality_and_every_cost():
    rows = [
        BASE,
        made.row("worse", 49.0),  # as dear as the baseline, and not as good
        made.row("small", 40.0, size_on_disk_MB=50.0),
        made.row("fast", 30.0, latency_median_s=0.1),
        made.row("slow", 39.0, size_on_disk_MB=50.0, latency_median_s=0.3),  # `small` beats it
        made.row("rounded", 55.0, simulated="rtn-3"),
        made.row("nothing", None),
    ]
    front = recommendation.front(rows, "CIDEr", WORDS)
    assert front.on == {"base": True, "worse": False, "small": True, "fast": True, "slow": False}
    assert set(front.absent) == {"rounded", "nothing"}
    assert front.sentence() == (
        "Pareto front over CIDEr, latency, peak memory, size on disk and energy per item: base, small, fast"
    )


def test_a_dimension_that_one_lacks_is_left_out_of_the_front_and_named():
    rows = [BASE, made.row("a", 49.0, energy_per_item_J=None), made.row("b", 40.0, energy_per_item_J=1.0)]
    front = recommendation.front(rows, "CIDEr", WORDS)
    assert front.on == {"base": True, "a": False, "b": False}
    assert front.sentence().endswith(": base; without energy per item (not measured for a)")
    lower = wording.words_of({"track": "lambada", "primary": "perplexity"})
    assert recommendation.front(rows, "CIDEr", lower).on == {"base": False, "a": False, "b": True}


def test_without_any_cost_there_is_no_front():
    gone = dict.fromkeys(cost.column for cost in recommendation.COSTS)
    front = recommendation.front([BASE | gone, made.row("a", **gone)], "CIDEr", WORDS)
    assert front.on == {} and set(front.absent) == {"base", "a"}
    assert front.sentence().startswith("there is no Pareto front")
