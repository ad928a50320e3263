"""The order of examples is Grain's, and a permutation of each epoch."""

import grain
import numpy as np
import pytest

from experiments.order import ordered


@pytest.mark.parametrize("n", [1, 2, 3, 1437, 50_000, 2**16, 2**16 + 1, 70_000])
@pytest.mark.parametrize("seed", [0, 2**31 - 1])
def test_it_is_grain_s(n, seed):
    """At places in the first epochs, whatever is asked for together: runs began in that order, and go on in it."""
    places = np.unique(np.random.default_rng(n).integers(0, 4 * n, 50))
    theirs = grain.MapDataset.range(n).seed(seed).shuffle().repeat()
    np.testing.assert_array_equal(ordered(places, n, seed), [theirs[int(place)] for place in places])


@pytest.mark.parametrize("n", [5, 1437, 70_000])
def test_an_epoch_is_a_permutation_and_another_each_time(n):
    epochs = ordered(np.arange(2 * n), n, 3).reshape(2, n)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(n), (2, 1)))
    assert (epochs[0] != epochs[1]).any()
