"""The recommended precision, the Pareto front, and how costs stand to each other, by hand."""

import math

import pytest
import synthetic_comparison as made

from bitbudget import registry
from bitbudget.judging import costs, pareto, recommendation
from bitbudget.telling import costs as told
from bitbudget.telling import recommended, wording

WORDS = wording.words_of({"track": "captioning", "primary": "CIDEr"})
TRACK = registry.module_of("track", "captioning")
BASE = made.row("base", baseline=True)
RESIDENT = {"peak_memory_kind": "resident set"}


def recommend(rows, accepted=None, prefer="memory"):
    """What is said of the recommendation, of which the first row is the baseline."""
    accepted = [row["precision"] for row in rows[1:]] if accepted is None else accepted
    worst = {row["precision"]: f"at worst {row['precision']} loses 1.0" for row in rows}
    choice = recommendation.recommend(rows, accepted, prefer)
    found = recommended.of(choice, prefer, rows, told.columns(TRACK, rows), worst)
    return {key: plain(value) if isinstance(value, str) else value for key, value in found.items()}


def chosen(rows, accepted=None, prefer="memory"):
    return recommend([BASE, *rows], accepted, prefer)


def plain(text):
    return text.replace("\N{MULTIPLICATION SIGN}", "x")


def test_the_least_of_the_preferred_cost_among_the_accepted():
    rows = [
        made.row("a", 49.0, peak_memory_MB=120.0, latency_median_s=0.1, energy_per_item_J=2.0, size_on_disk_MB=60.0,
                 weights_in_memory_MB=45.0),
        made.row("b", 48.0, peak_memory_MB=150.0, size_on_disk_MB=40.0),
        made.row("c", 10.0, peak_memory_MB=50.0, size_on_disk_MB=20.0),
    ]  # fmt: skip
    best = chosen(rows, ["a", "b"])
    assert best["precision"] == "a"
    assert best["sentence"] == (
        "a: of 2 accepted precisions and the baseline it has the lowest peak memory, 120 MB (114 MiB) instead of "
        "200 MB (191 MiB); against base: 0.60x the peak memory, 0.60x the size on disk, 2.0x faster and 0.50x the "
        "energy per item; at worst a loses 1.0; runner-up: b (0.67x the size on disk, but 1.25x the peak memory, 2.0x "
        "slower and 2.00x the energy per item, against a)"
    )
    short = "a, 0.60x the peak memory, 0.60x the size on disk, 2.0x faster and 0.50x the energy per item"
    assert best["short"] == short
    assert chosen(rows, ["a", "b"], "size")["precision"] == "b"
    assert chosen(rows, ["a", "b"], "latency")["precision"] == "a"
    assert chosen(rows, prefer="size")["precision"] == "c"


def test_a_trade_names_what_is_paid_and_is_silent_on_what_is_alike():
    best = chosen([made.row("a", peak_memory_MB=100.0, latency_median_s=0.3, size_on_disk_MB=96.0)])
    assert best["short"] == "a, 0.50x the peak memory, but 1.5x slower"
    assert (len(best["won"]), len(best["paid"])) == (1, 1)


def test_the_baseline_is_a_candidate_and_wins_where_nothing_is_less():
    alone = "base, the baseline: no other precision is both accepted and comparable"
    assert chosen([made.row("a")], [])["sentence"] == alone
    best = chosen([made.row("a", peak_memory_MB=300.0)])
    assert best["sentence"] == (
        "base, the baseline: in peak memory, no accepted precision is more than 1 % below its 200 MB (191 MiB); "
        "runner-up: a (1.50x the peak memory, against base)"
    )
    assert best["short"] == "base, the baseline"


# ---- ties


def small(name, megabytes=50.0, **cells):
    return made.row(name, size_on_disk_MB=megabytes, **cells)


def test_a_tie_goes_to_the_clearly_faster():
    rows = [small("a"), small("b", 50.4, latency_median_s=0.1), small("c", 51.0, latency_median_s=0.01)]
    best = chosen(rows, prefer="size")
    assert best["precision"] == "b"
    assert best["reason"] == (
        "of 3 accepted precisions and the baseline it has the smallest size on disk to within 1 %, 50.4 MB instead of "
        "100 MB, as a has, and is faster"
    )
    assert best["runner_up"] == "a" and "2.0x slower" in best["runner_up_sentence"]
    near = small("b", 50.4, latency_median_s=0.196)  # its interval overlaps that of the other
    assert chosen([rows[0], near], prefer="size")["precision"] == "a"
    wide = {"latency_median_ci_low_s": 0.05, "latency_median_ci_high_s": 0.3}
    assert chosen([rows[0], rows[1] | wide], prefer="size")["precision"] == "a"


def test_better_quality_breaks_no_tie():
    rows = [small("a") | {"CIDEr": 45.0}, small("b") | {"CIDEr": 60.0}]
    assert chosen(rows, prefer="size")["precision"] == "a"


def test_a_tie_in_speed_goes_to_the_less_energy_where_it_was_metered():
    rows = [small("a"), small("b", energy_per_item_J=2.0)]
    best = chosen(rows, prefer="size")
    assert best["precision"] == "b" and best["reason"].endswith(", as a has, and needs less energy")
    estimated = [row | {"energy_how": "estimated"} for row in (BASE, *rows)]
    assert recommend(estimated, prefer="size")["precision"] == "a"
    missing = [rows[0] | {"energy_per_item_J": None}, rows[1]]
    assert chosen(missing, prefer="size")["precision"] == "a"


def test_a_tie_in_all_goes_to_the_baseline_and_else_to_the_least_cost():
    near = chosen([small("a", 99.5)], prefer="size")
    assert near["precision"] == "base"
    assert near["reason"] == "in size on disk, no accepted precision is more than 1 % below its 100 MB"
    assert chosen([small("a", 99.5, latency_median_s=0.1)], prefer="size")["precision"] == "a"
    assert chosen([small("a", 50.4), small("b", 50.0)], prefer="size")["precision"] == "b"


def test_overlapping_intervals_of_the_preferred_cost_are_a_tie():
    near = [made.row("a", latency_median_s=0.195)]
    best = chosen(near, prefer="latency")
    assert best["precision"] == "base"
    assert (
        best["reason"] == "in latency, no accepted precision is more than 1 % below its 200 ms with an interval apart"
    )
    two = [made.row("a", latency_median_s=0.1), made.row("b", latency_median_s=0.098, energy_per_item_J=2.0),
           made.row("c", latency_median_s=0.102, energy_per_item_J=1.0)]  # fmt: skip
    best = chosen(two, prefer="latency")
    assert best["precision"] == "c"
    assert best["reason"] == (
        "of 3 accepted precisions and the baseline it has the lowest latency as far as intervals tell, 102 ms instead "
        "of 200 ms, as a and b have, and needs less energy"
    )


def test_energy_whose_intervals_overlap_is_a_tie():
    def ends(low, high):
        return {"energy_per_item_ci_low_J": low, "energy_per_item_ci_high_J": high}

    rows = [BASE | ends(3.5, 4.5), made.row("a", energy_per_item_J=3.8, **ends(3.4, 4.2))]
    assert recommend(rows, prefer="energy")["precision"] == "base"
    rows[1] |= ends(3.3, 3.45) | {"energy_per_item_J": 3.4}
    assert recommend(rows, prefer="energy")["precision"] == "a"


# ---- what cannot be compared


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
    assert best["precision"] == "base"
    assert "; not considered: a (" in best["sentence"] and reason in best["sentence"]


def test_a_place_that_is_not_known_speaks_against_nothing():
    assert chosen([made.row("a", peak_memory_MB=1.0, threads=None, hardware=None)])["precision"] == "a"


def test_memory_is_the_weights_where_libraries_hide_the_model():
    rows = [BASE | RESIDENT, made.row("a", peak_memory_MB=250.0, weights_in_memory_MB=30.0, **RESIDENT)]
    best = recommend(rows)
    assert best["precision"] == "a" and "the least memory for its weights, 30.0 MB instead of 90.0 MB" in best["reason"]
    assert best["cost"] == "weights_in_memory" and "peak memory" not in best["sentence"]
    assert costs.memory([BASE]) is costs.PEAK
    assert costs.memory([BASE | {"peak_memory_MB": None}]) is costs.WEIGHTS


def test_size_stands_for_memory_where_nothing_tells_it_apart():
    """A detector's weights in memory are not known, and its peak memory is that of the process."""
    rows = [row | RESIDENT | {"weights_in_memory_MB": None} for row in (BASE, small("a"), made.row("b"))]
    assert costs.memory(rows) is costs.PEAK
    best = recommend(rows)
    assert best["precision"] == "a" and best["cost"] == "size_on_disk"
    assert "; memory cannot be told apart here, so size on disk stands for it; against base" in best["sentence"]


def test_a_cost_that_nobody_measured_recommends_nothing_and_says_why():
    gone = {"energy_per_item_J": None}
    best = recommend([BASE | gone, made.row("a", **gone)], prefer="energy")
    assert best["precision"] is None and best["short"] == "nothing is recommended"
    assert best["sentence"] == (
        "nothing is recommended: energy per item cannot be compared for any accepted precision; not considered: base, "
        "a (energy per item not measured)"
    )


def test_a_baseline_that_is_not_what_it_is_called_is_not_recommended():
    failed = BASE | {"audit_passed": False}
    best = recommend([failed, made.row("a", peak_memory_MB=300.0)])
    assert best["precision"] == "a"
    assert best["reason"] == "the only accepted precision of which peak memory can be compared"
    assert "not considered: base (audit failed: the checkpoint is not what the precision asks for)" in best["sentence"]
    best = recommend([failed, made.row("a")], [])
    assert best["precision"] is None
    assert best["sentence"].startswith("nothing is recommended: no accepted precision can be compared; not considered")


def test_a_cost_that_some_lack_is_compared_among_the_others():
    rows = [made.row("a", energy_per_item_J=None), made.row("b", energy_per_item_J=3.0)]
    best = chosen(rows, prefer="energy")
    assert best["precision"] == "b"
    assert best["sentence"].endswith("; not considered: a (energy per item not measured)")


# ---- how two stand to each other in a cost


@pytest.mark.parametrize(
    ("cells", "kind", "better"),
    [
        ({"latency_median_s": 0.1}, "less", True),
        ({"latency_median_s": 0.3}, "more", False),
        ({"latency_median_s": 0.209}, "same", None),  # 4.5 %
        ({"latency_median_s": 0.214}, "unclear", None),  # 7 %, and the intervals overlap
        ({"latency_median_s": None}, "not compared", None),
        ({"disturbed": "the machine was loaded"}, "not compared", None),
    ],
)
def test_latency_is_less_more_about_the_same_or_unclear(cells, kind, better):
    stands = costs.relation(costs.LATENCY, made.row("a", **cells), BASE)
    assert (stands.kind, stands.better(costs.LATENCY)) == (kind, better)


def test_of_a_rate_more_is_better():
    rate = costs.rate(TRACK, 8)
    stands = costs.relation(rate, made.row("a", throughput_batch_8_items_per_s=40.0), BASE)
    assert (stands.kind, stands.better(rate)) == ("more", True)
    assert told.word(rate, stands) == "faster" and rate.unit == "images/s"


def test_rates_whose_intervals_overlap_are_not_clearly_different():
    rate = costs.rate(TRACK, 8)
    ends = {"throughput_batch_8_ci_low_items_per_s": 18.0, "throughput_batch_8_ci_high_items_per_s": 24.0}
    row = made.row("a", throughput_batch_8_items_per_s=22.0, **ends)
    assert costs.relation(rate, row, BASE | ends).kind == "unclear"
    assert costs.relation(rate, row, BASE).without_interval


@pytest.mark.parametrize("row", [made.row("a", disturbed="the machine was loaded"), made.row("a", **RESIDENT)])
def test_size_is_compared_whatever_hides_time_and_memory(row):
    assert costs.incomparable(costs.SIZE, row, BASE) is None
    assert costs.incomparable(costs.WEIGHTS, row, BASE) is None


def test_a_resident_set_is_compared_with_nothing():
    stands = costs.relation(costs.PEAK, made.row("a", peak_memory_MB=100.0, **RESIDENT), BASE)
    assert stands.kind == "not compared" and "whose libraries hide the model" in stands.reason


def test_a_latency_without_an_interval_says_so():
    gone = {"latency_median_ci_low_s": None, "latency_median_ci_high_s": None}
    row = made.row("a", latency_median_s=0.1, **gone)
    column = next(one for one in told.columns(TRACK, [BASE, row]) if one.cost is costs.LATENCY)
    said = told.told(column, row, BASE, made.measurements(row))
    assert said["no_interval"] == "a single run of 5 calls gives no interval" and said["interval"] == ""
    assert plain(said["sentence"]) == "latency 0.50x: faster (without an interval)"


def test_times_of_a_disturbed_candidate_break_no_tie_and_are_not_called_alike():
    disturbed = {"disturbed": "the machine was loaded"}
    rows = [
        made.row("a", size_on_disk_MB=50.0, latency_median_s=0.4, **disturbed),
        made.row("b", size_on_disk_MB=50.2, latency_median_s=0.1),
    ]
    best = chosen(rows, prefer="size")
    assert best["precision"] == "a" and "faster" not in best["sentence"]
    assert best["runner_up_sentence"] == (
        "runner-up: b (with no clear difference in any cost that can be compared, against a)"
    )
    assert chosen(rows, prefer="latency")["precision"] == "b"


# ---- the front


def test_the_front_of_many_dimensions():
    points = [(1, 5, 5), (2, 4, 5), (2, 5, 5), (5, 1, 1), (1, 5, 5), (math.nan, 0, 0)]
    assert pareto.front(points) == [True, True, False, True, True, False]
    assert pareto.front([]) == []
    with pytest.raises(ValueError, match="zip"):
        pareto.front([(1, 2), (1, 2, 3)])


def front(rows, sign=1):
    found = recommendation.front(rows, "CIDEr", sign, "CIDEr")
    return found, recommended.front(found, WORDS)


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
    found, said = front(rows)
    assert found.on == {"base": True, "worse": False, "small": True, "fast": True, "slow": False}
    assert set(found.absent) == {"rounded", "nothing"}
    assert said == "Pareto front over CIDEr, latency, peak memory, size on disk and energy per item: base, small, fast"
    assert recommended.on_front(found, "worse").startswith("not on the Pareto front")
    assert recommended.on_front(found, "rounded").startswith("left out of the Pareto front: only simulated")


def test_a_dimension_that_one_lacks_is_left_out_of_the_front_and_named():
    rows = [BASE, made.row("a", 49.0, energy_per_item_J=None), made.row("b", 40.0, energy_per_item_J=1.0)]
    found, said = front(rows)
    assert found.on == {"base": True, "a": False, "b": False}
    assert said.endswith(": base; without energy per item (not measured for a)")
    assert front(rows, -1)[0].on == {"base": False, "a": False, "b": True}


def test_an_estimated_energy_is_no_dimension_of_its_own():
    rows = [row | {"energy_how": "estimated"} for row in (BASE, made.row("a", 49.0, energy_per_item_J=1.0))]
    found, said = front(rows)
    assert found.on == {"base": True, "a": False}
    assert "without energy per item (it is estimated as time times watts, so it tells what latency tells)" in said
    assert "energy" not in told.trade(rows[1], rows[0], rows)["trade"]


def test_resident_sets_and_disturbed_timings_are_no_dimensions():
    rows = [BASE | RESIDENT, made.row("a", 49.0, peak_memory_MB=10.0, **RESIDENT)]
    assert "weights in memory" in front(rows)[1] and "peak memory" not in front(rows)[1]
    rows = [BASE, made.row("a", 49.0, latency_median_s=0.01, disturbed="the machine was loaded")]
    found, said = front(rows)
    assert found.on == {"base": True, "a": False}
    assert "without latency (a: its timings were disturbed: the machine was loaded)" in said
    loaded = [BASE | {"disturbed": "the machine was loaded"}, made.row("a", 49.0)]
    assert "without latency (base: its timings were disturbed: the machine was loaded)" in front(loaded)[1]


def test_without_any_cost_there_is_no_front():
    gone = dict.fromkeys(cost.column for cost in costs.COSTS)
    found, said = front([BASE | gone, made.row("a", **gone)])
    assert found.on == {} and set(found.absent) == {"base", "a"}
    assert said.startswith("there is no Pareto front")


def test_each_cost_has_a_front_of_its_own():
    rows = [BASE, made.row("a", 49.0, size_on_disk_MB=50.0), made.row("b", 48.0, size_on_disk_MB=60.0),
            made.row("c", 60.0, disturbed="the machine was loaded")]  # fmt: skip
    found = recommendation.fronts(rows, "CIDEr", 1, (costs.SIZE, costs.LATENCY, costs.rate(TRACK, 8)))
    assert found == {"size_on_disk": ["a", "c"], "latency": ["base"], "throughput_8": ["base"]}
