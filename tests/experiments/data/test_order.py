"""The order of examples is a permutation of each epoch, the same for whoever asks."""

import numpy as np
import pytest

from experiments.config.schema import Data
from experiments.data.dataset import load, ordered
from experiments.data.sources import open_sources


@pytest.mark.parametrize("n", [1, 5, 1437, 70_000])
def test_an_epoch_is_a_permutation_and_another_each_time(n):
    epochs = ordered(np.arange(3 * n), n, 3).reshape(3, n)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(n), (3, 1)))
    others = epochs[1], epochs[2], ordered(np.arange(n), n, 4)
    assert n == 1 or all((epochs[0] != other).any() for other in others)


@pytest.mark.parametrize("seed", [0, 2**31 - 1])
def test_any_places_are_those_of_the_whole_order(seed):
    """Across epochs, in any order, one or many at a time."""
    n, whole = 37, ordered(np.arange(5 * 37), 37, seed)
    places = np.random.default_rng(0).permutation(5 * n)[:60]
    np.testing.assert_array_equal(ordered(places, n, seed), whole[places])
    np.testing.assert_array_equal([ordered(np.array([place]), n, seed)[0] for place in places], whole[places])


def test_the_order_stays_what_it_was():
    """Under every numpy: a run goes on in the order that it began in."""
    np.testing.assert_array_equal(ordered(np.arange(6), 6, 0), [3, 5, 4, 0, 2, 1])


STREAMED = {"resident_mib": 0}


@pytest.mark.parametrize("more", [{}, STREAMED, STREAMED | {"on_bad": "skip"}], ids=["resident", "streamed", "skip"])
def test_data_in_the_order_of_another_seed_are_those_that_it_loads(more):
    """Every batch and the hash of a run by that seed alone."""
    settings = Data(name="swiss_roll", levels=0, **more)
    first, alone = (load(open_sources(settings), settings, seed) for seed in (0, 5))
    again = first.by(5)
    assert (first.digest == again.digest) == (not more)
    assert again.facts == alone.facts
    for step in (0, 200):
        np.testing.assert_array_equal(again.train.batch(step, 128).levels, alone.train.batch(step, 128).levels)
        assert (again.train.batch(step, 128).levels != first.train.batch(step, 128).levels).any()
