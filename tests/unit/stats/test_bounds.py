"""Exact limits of a share against scipy's beta distribution."""

import pytest
from scipy import stats

from bitbudget.stats import bounds


@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 300), (1, 2), (1, 200), (5, 200), (5, 5000), (150, 300), (299, 300)])
@pytest.mark.parametrize("level", [0.95, 0.975])
def test_the_upper_limit_is_the_quantile_of_the_beta_distribution(k, n, level):
    assert bounds.clopper_pearson_upper(k, n, level) == pytest.approx(stats.beta.ppf(level, k + 1, n - k), rel=1e-9)


def test_all_of_them_and_none_of_them():
    assert bounds.clopper_pearson_upper(7, 7) == 1.0
    assert bounds.none_of(300) == pytest.approx(bounds.clopper_pearson_upper(0, 300, 0.95))
    assert bounds.none_of(300) == pytest.approx(1 - 0.05 ** (1 / 300))
    assert bounds.none_of(1) == pytest.approx(0.95)


@pytest.mark.parametrize(("k", "n"), [(0, 0), (3, 2), (-1, 5)])
def test_what_is_no_share_is_refused(k, n):
    with pytest.raises(ValueError, match="no share"):
        bounds.clopper_pearson_upper(k, n)


def test_of_no_unit_nothing_is_known():
    with pytest.raises(ValueError, match="no share"):
        bounds.none_of(0)
