"""Rounds, warm-up and drift, on a clock of the test's own."""

import itertools

import measuring_fakes as fakes
import numpy as np
import pytest

from bitbudget.measuring import efficiency, settling

NO_METER = "there is no meter; buy one."
ANSWER = fakes.PREPARE[0] + fakes.FIRST[0] + fakes.DECODE[0]


@pytest.fixture
def world(monkeypatch):
    return fakes.World().patch(monkeypatch)


def test_items_come_in_turn_and_from_the_first_again(world):
    subject = fakes.subject(world, items=3)
    for _ in range(4):
        subject._numbers(2)
    assert [subject._numbers(1)[0] for _ in range(4)] == [2, 0, 1, 2]


@pytest.mark.parametrize("items", [1, 2, 3, 16, 32])
def test_each_repeat_begins_at_other_items_as_long_as_there_are_some(world, items):
    first = [fakes.subject(world, items=items, repeat=k)._numbers(1)[0] for k in range(1, 6)]
    assert first[0] == 0
    assert len(set(first)) == min(items, 5)


def test_a_latency_round_reaches_both_its_number_and_its_seconds(world):
    assert len(fakes.subject(world, min_iterations=8, min_seconds=0.001).latency_round()) == 8
    assert len(fakes.subject(world, min_iterations=1, min_seconds=0.55).latency_round()) == 6


def test_a_throughput_round_has_two_batches_at_least_and_its_seconds(world):
    done, seconds = fakes.subject(world, min_seconds=0.001).throughput_round(4)
    assert (done, seconds) == (8, pytest.approx(8 * ANSWER))
    done, seconds = fakes.subject(world, min_seconds=0.95).throughput_round(1)
    assert (done, seconds) == (10, pytest.approx(1.0))


def test_everything_is_measured_as_often_as_asked(world):
    meter = fakes.Meter(world)
    found = efficiency.measure(fakes.subject(world), 9.0, meter, "")
    assert (found["latency_cold"]["value"], found["latency_cold"]["raw"]) == (9.0, [9.0])
    assert found["latency"]["n"] == len(found["latency"]["raw"]) >= 6
    assert found["latency"]["value"] == pytest.approx(np.median(found["latency"]["raw"]))
    assert found["latency"]["p95"] == pytest.approx(np.percentile(found["latency"]["raw"], 95))
    assert found["latency"]["mean"] == pytest.approx(np.mean(found["latency"]["raw"]))
    assert found["latency"]["ci"][0] <= found["latency"]["value"] <= found["latency"]["ci"][1]
    assert found["latency"]["drift"] == pytest.approx([0.0, 0.0]), "one a round"
    assert found["decode_per_token"]["value"] == pytest.approx(0.1)
    assert found["latency_vision"]["value"] == 0.2
    assert {name for name in found if name.startswith("throughput")} == {"throughput_1", "throughput_4"}
    assert found["throughput_4"]["n"] == 2
    assert found["throughput_4"]["value"] == pytest.approx(1 / ANSWER)
    assert {name for name in found if name.startswith("token_rate")} == {"token_rate_1", "token_rate_4"}
    assert len(meter.windows) == 2 + 2 * (2 + 2), "idle before and after, two rounds of two batch sizes and two parts"


def test_tokens_a_second_of_reading_of_writing_and_of_whole_batches(world):
    found = efficiency.measure(fakes.subject(world, rounds=3), 9.0, None, NO_METER)
    for name, rate in (("prefill_rate", 60 / 0.3), ("decode_rate", 4 / 0.4)):
        metric = found[name]
        assert metric["value"] == pytest.approx(rate)
        assert metric["n"] == len(metric["raw"]) >= 6
        assert metric["ci"] == pytest.approx([rate, rate])
        assert (metric["unit"], metric["higher_is_better"]) == ("tokens/s", True)
    for size in (1, 4):
        metric, items = found[f"token_rate_{size}"], found[f"throughput_{size}"]
        assert metric["raw"] == pytest.approx([5 * rate for rate in items["raw"]])
        assert metric["value"] == pytest.approx(5 * items["value"])
        assert metric["ci"] == pytest.approx([5 * end for end in items["ci"]])
        assert (metric["unit"], metric["higher_is_better"], metric["n"]) == ("tokens/s", True, 3)


def test_a_model_without_vision_modules_has_no_time_of_vision(world):
    subject = fakes.subject(world)
    assert "latency_vision" in efficiency.measure(subject, 9.0, None, NO_METER)
    subject.timer.vision = []
    found = efficiency.measure(subject, 9.0, None, NO_METER)
    assert "latency_vision" not in found
    assert {"latency", "latency_prefill", "latency_decode"} <= found.keys()


# --- warm-up and drift ---


def slowing(world, seconds):
    """A subject whose calls take these seconds in turn, and the last of them for ever."""
    subject = fakes.subject(world)
    times = itertools.chain(seconds, itertools.repeat(seconds[-1]))
    subject.prepare = lambda numbers: (subject.asked.append(numbers), world.spend(next(times)))[0]
    subject.generate = lambda given: None
    return subject


def test_a_warm_up_goes_on_until_the_timings_have_settled(world, caplog):
    subject = slowing(world, [9.0, 8.0, 4.0, 3.0, 2.0, 1.6, 1.3, 1.1, 1.0])
    found = subject.warm_up()
    assert found.settled and not caplog.text
    assert found.raw[:2] == pytest.approx([9.0, 8.0])
    # of 4, 3, 2, 1.6, 1.3, 1.1, 1, 1, 1 the last three are within 10 % of 1.6, 1.3, 1.1 two calls later
    assert found.calls == 2 + 10 == len(found.raw)
    assert found.seconds == pytest.approx(sum(found.raw) + 2 * 1.0), "the batch sizes' calls too"
    assert subject.asked[0] != subject.asked[1]
    assert {tuple(numbers) for numbers in subject.asked[2:12]} == {(2,)}, "one item: others take other times"
    assert [len(numbers) for numbers in subject.asked[12:]] == [1, 4]
    assert found.record()["settled"] is True


def test_a_warm_up_that_never_settles_ends_and_is_warned_of(world, caplog):
    found = slowing(world, [1.3**k for k in range(100)]).warm_up()
    assert not found.settled
    # calls of 1.7, 2.2, 2.9 … s (two of 1 and 1.3 s before them); those that begin within 60 s sum up to more than that
    assert settling.MOST_SECONDS <= sum(found.raw[2:]) < settling.MOST_SECONDS + found.raw[-1]
    assert "the timings have not settled" in caplog.text
    caplog.clear()
    found = slowing(world, [0.001 * 1.1**k for k in range(100)]).warm_up()
    assert (found.calls, found.settled) == (2 + settling.MOST_CALLS, False)
    assert sum(found.raw) < settling.MOST_SECONDS
    assert "the timings have not settled" in caplog.text


def test_a_slow_model_is_asked_often_enough_to_tell_whether_it_has_settled(world, caplog):
    found = slowing(world, [40.0] * 2 + [25.0] * 20).warm_up()
    assert (found.calls, found.settled) == (2 + 2 * settling.GROUP, True)
    assert not caplog.text


def test_the_calls_before_settling_do_not_count_against_it(world):
    subject = slowing(world, [1.0] * 70 + [2.0, 2.0, 2.0, 3.0])
    subject.plan["warmup"] = 70
    found = subject.warm_up()
    # of 2, 2, 2, 3, 3, 3 the medians differ; they agree two calls later, as above
    assert (found.calls, found.settled) == (70 + 8, True)


def test_settled_compares_the_medians_of_the_last_three_with_the_three_before():
    assert settling.settled([1, 1, 1, 1.09, 1.0, 1.09])
    assert not settling.settled([1, 1, 1, 1.11, 1.2, 1.11])
    assert not settling.settled([1, 1, 1, 1, 1])
    assert settling.settled([50, 1, 1, 9, 1, 1, 1]), "one slow call does not matter"


def test_drift_is_the_second_half_against_the_first():
    assert settling.drift([1, 1, 1, 2, 2, 2]) == 1.0
    assert settling.drift([4, 4, 3, 3, 3]) == -0.25
    with pytest.raises(ValueError, match="two calls"):
        settling.drift([1.0])


def test_a_round_that_slows_down_is_recorded(world):
    subject = slowing(world, [0.1] * 10 + [0.2])
    subject.plan |= {"rounds": 1, "min_iterations": 20, "min_seconds": 0.1}
    found = efficiency.measure(subject, 1.0, None, NO_METER)
    assert found["latency"]["drift"] == pytest.approx([1.0])
