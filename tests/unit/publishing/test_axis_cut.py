"""Where an axis is cut: far from all others, never near the baseline, alike on both sides, and in any unit."""

import math
import random

import pytest

from bitbudget.publishing import axis_cut

NEAR = [(-0.4, -2.1, 1.3), (0.2, -1.5, 1.9), (-3.0, -4.2, -1.8), (2.9, 1.7, 4.1)]
RUINED = (-40.0, -45.0, -35.0)


def test_an_axis_that_no_row_squeezes_holds_all():
    assert axis_cut.ends(NEAR) is None
    assert axis_cut.ends([]) is None
    assert axis_cut.ends([(0.0, None, None)] * 3) is None
    assert axis_cut.ends([(-5.0, None, None), (-40.0, None, None)]) is None  # of two none is the odd one


def test_a_broken_precision_lies_beyond_and_all_others_on_it():
    low, high = axis = axis_cut.ends([*NEAR, RUINED])
    assert -6 < low < -4.2 and 4.1 < high < 6
    assert [axis_cut.beyond(value, axis) for value, *_ in (*NEAR, RUINED)] == [0, 0, 0, 0, -1]
    placed = axis_cut.placed(-40.0, axis)
    assert low < placed < low + 0.05 * (high - low)
    assert axis_cut.placed(2.9, axis) == 2.9 and axis_cut.placed(-40.0, None) == -40.0


def test_an_interval_that_goes_on_is_cut_at_the_reach_and_its_value_stays():
    axis = axis_cut.ends([*NEAR, (1.0, -90.0, 92.0)])
    assert axis_cut.beyond(1.0, axis) == 0 and -15 < axis[0] < -4.2 and 4.1 < axis[1] < 15


def test_what_an_axis_must_hold_lies_on_it():
    axis = axis_cut.ends([*NEAR, RUINED], holds=[-7.0])
    assert -8 < axis[0] < -7
    assert axis_cut.ends([*NEAR, RUINED], holds=[-20.0]) is None  # as far out as this nothing is squeezed


def test_a_precision_that_keeps_nine_tenths_is_not_broken():
    """Without intervals the middle one may be at the baseline's value itself."""
    spans = [(value, None, None) for value in (0.2795, 0.2784, 0.278, 0.271, 0.015)]
    axis = axis_cut.of_quality(spans, 0.2795)
    assert [axis_cut.beyond(value, axis) for value, *_ in spans] == [0, 0, 0, 0, -1]
    assert axis_cut.of_quality(spans[:-1], 0.2795) is None
    same = axis_cut.of_quality([(0.5, None, None)] * 3 + [(0.01, None, None)], 0.5)
    assert same[0] < 0.5 < same[1] and axis_cut.beyond(0.01, same) == -1
    assert axis_cut.of_quality(spans, None) is not None and axis_cut.of_quality([], None) is None


@pytest.mark.parametrize("factor", [-1.0, 100.0, -0.01])
def test_the_cut_is_the_same_in_another_unit_and_for_a_metric_that_falls(factor):
    chance = random.Random(5)
    cut = 0
    for _ in range(300):
        values = [50 + chance.gauss(0, 1) for _ in range(5)] + [50 - chance.choice((1, 5, 20, 45))]
        spans = [(value, value - 1, value + 1) for value in values]
        axis = axis_cut.of_quality(spans, values[0])
        other = axis_cut.of_quality([tuple(factor * end for end in span) for span in spans], factor * values[0])
        assert (axis is None) == (other is None)
        if axis:
            cut += 1
            assert sorted(factor * end for end in axis) == pytest.approx(sorted(other))
            assert sum(not axis_cut.beyond(value, axis) for value in values) >= len(values) / 2
            # at least twice the room that the others had
            assert 1.2 * (max(map(max, spans)) - min(map(min, spans))) > 1.5 * math.fabs(axis[1] - axis[0])
    assert 100 < cut < 300
