"""Student's interval and the power of the paired t-test, against closed forms and published numbers."""

import math

import numpy as np
import pytest

from experiments.evaluation.intervals import MOST, interval, seeds_to_see

P = 0.975


def test_the_interval_of_three_numbers_by_hand():
    """1, 2 and 4 have mean 7/3 and s^2 = 7/3, and two degrees of freedom t(p) = (2 p - 1)/sqrt(2 p (1 - p)) = 4.3027."""
    half = (2 * P - 1) / math.sqrt(2 * P * (1 - P)) * math.sqrt(7 / 3) / math.sqrt(3)
    assert interval([1, 2, 4]) == pytest.approx((7 / 3, 7 / 3 - half, 7 / 3 + half), rel=1e-9)
    assert half == pytest.approx(3.7946, abs=1e-4)
    assert interval([1, 2, 4]).sign == 0
    assert [interval([x, x + 1, x + 3]).sign for x in (3, -6.2)] == [1, -1]


def test_the_interval_of_two_numbers_by_hand():
    """Student's law of one degree of freedom is Cauchy's: t(p) = tan(pi (p - 1/2)) = 12.706, and s/sqrt(2) is 1/2 here."""
    half = math.tan(math.pi * (P - 0.5)) / 2
    assert interval([-1, 0]) == pytest.approx((-0.5, -0.5 - half, -0.5 + half), rel=1e-9)


def test_fewer_than_two_numbers_have_no_interval():
    for values, mean in (([3.0], 3.0), ([], math.nan)):
        one = interval(values)
        assert one.mean == pytest.approx(mean, nan_ok=True)
        assert math.isnan(one.low)
        assert math.isnan(one.high)
        assert one.sign == 0
        assert seeds_to_see(values) is None


def test_equal_differences_are_certain():
    assert interval([2.0, 2.0]) == (2, 2, 2)
    assert interval([2.0, 2.0]).sign == 1
    assert seeds_to_see([2.0, 2.0]) == 2
    assert seeds_to_see([0.0, 0.0]) is None


def test_nineteen_of_twenty_intervals_hold_the_mean():
    rng = np.random.default_rng(0)
    intervals = [interval(values) for values in rng.normal(1.0, 2.0, (4000, 3))]
    held = np.mean([one.low < 1 < one.high for one in intervals])
    assert held == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 4000))


def pair(d):
    """Two numbers of mean d and standard deviation 1."""
    return [d - math.sqrt(0.5), d + math.sqrt(0.5)]


@pytest.mark.parametrize(("d", "n"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10), (-1.0, 10)])
def test_the_seeds_to_see_a_difference_are_those_of_the_tables(d, n):
    """Cohen's small, medium and large effects of pairs at 5 %, two-sided, with power 0.8, as G*Power has them."""
    assert seeds_to_see(pair(d)) == n


def test_small_differences_take_too_many_seeds_and_large_ones_few():
    assert seeds_to_see(pair(0.01)) is None
    assert seeds_to_see(pair(0.09)) <= MOST
    assert seeds_to_see(pair(1e3)) == 2
    assert seeds_to_see(pair(1e6)) == 2
    assert seeds_to_see(pair(5.0)) == 3


def test_so_many_seeds_do_see_it():
    """A simulation at d = 1.5 finds a power of 0.8 at least for that number, and less for one less."""
    n, rng = seeds_to_see(pair(1.5)), np.random.default_rng(0)
    power = [np.mean([interval(values).sign > 0 for values in rng.normal(1.5, 1, (4000, m))]) for m in (n - 1, n)]
    assert power[0] < 0.8 + 0.02
    assert power[1] > 0.8 - 0.02
