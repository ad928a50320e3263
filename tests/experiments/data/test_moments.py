"""Mean and standard deviation of the training examples against numpy's, and what they are refused for."""

import numpy as np
import pytest

from experiments.config.schema import Data
from experiments.data import dataset
from experiments.data.dataset import load
from experiments.data.moments import NOTHING, Moments, Spread, require_spread, streamed_moments
from experiments.data.sources import Sources
from experiments.runtime.errors import DataError

RNG = np.random.default_rng(0)
SHAPES = [(3,), (5, 2), (4, 6, 3), (2, 3, 4, 1)]


def events(n, shape, means=(0.0, 300.0, -1e5), stds=(1.0, 1e-1, 20.0)):
    """n events whose channels differ in mean and spread."""
    c = shape[-1]
    return (RNG.normal(size=(n, *shape)) * np.array(stds)[:c] + np.array(means)[:c]).astype(np.float32)


def truth(x):
    """Numpy's two passes, in float64."""
    x = x.reshape(-1, x.shape[-1]).astype(np.float64)
    return x.mean(0), x.std(0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cuts", [[], [1], [3, 4, 40]])
def test_any_blocks_have_the_moments_of_all(shape, cuts):
    x = events(50, shape)
    moments = streamed_moments(np.split(x, cuts), len(x))
    for ours, exact in zip(moments, truth(x), strict=True):
        np.testing.assert_allclose(ours, exact, rtol=1e-12)


def test_a_small_deviation_from_a_large_mean_is_not_lost():
    """E[x^2] - E[x]^2 would be 0, or below."""
    x = 1e9 + RNG.normal(size=(1000, 1))
    parts = [Spread.of(block) for block in np.split(x, 10)]
    whole = NOTHING
    for part in parts:
        whole = whole.union(part)
    assert whole.moments.std[0] == pytest.approx(x.std(), rel=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_those_of_all_numbers_follow_from_those_of_channels(shape):
    x = events(20, shape)
    pooled = Spread.of(x).moments.over("scalar")
    np.testing.assert_allclose(np.ravel(pooled), [x.mean(dtype=np.float64), x.std(dtype=np.float64)], rtol=1e-10)
    assert Spread.of(x).moments.over("none") is None


@pytest.mark.parametrize("resident_mib", [4096, 0])
def test_data_are_read_in_blocks_wherever_they_are(monkeypatch, resident_mib):
    """The same numbers to the bit, and no block of more than so many bytes."""
    x, read = events(40, (5, 2)), []
    monkeypatch.setattr(dataset, "BLOCK", 7 * x[0].nbytes)
    monkeypatch.setattr(
        dataset, "streamed_moments", lambda blocks, n: streamed_moments((read.append(b) or b for b in blocks), n)
    )
    config = Data(name="mine", levels=0, standardise="channel", resident_mib=resident_mib)
    data = load(Sources([{"x": one} for one in x], [{"x": one} for one in x[:3]]), config, 0)
    assert [len(block) for block in read] == [7] * 5 + [5]
    assert data.moments == streamed_moments(np.split(x, range(7, 40, 7)), 40)
    assert data.facts.moments == data.moments
    np.testing.assert_array_equal(data.test, x[:3])  # the data themselves stay as they are


def test_known_moments_are_not_computed_again(monkeypatch):
    monkeypatch.setattr(dataset, "streamed_moments", None)
    x, known = events(9, (2,)), Moments((1.0, 2.0), (3.0, 4.0))
    sources = Sources([{"x": one} for one in x], [{"x": one} for one in x])
    for standardise, expected in (("scalar", known), ("channel", known), ("none", None)):
        assert load(sources, Data(name="mine", levels=0, standardise=standardise), 0, known).moments == expected


@pytest.mark.parametrize(
    ("standardise", "means", "stds", "says"),
    [
        (
            "channel",
            (0.0, 2.5),
            (1.0, 0.0),
            "channel 2 of 2 of mine train is 2.5 throughout: leave such channels out of the data",
        ),
        ("channel", (0.1, 0.0), (0.0, 0.0), "channel 1 of 2, and 1 more, of mine train is 0.1 throughout"),
        ("channel", (1e4, 0.0), (1e-4, 1.0), "channel 1 of 2 of mine train is 10000 throughout"),
        ("scalar", (0.1, 0.1), (0.0, 0.0), "each number of mine train is 0.1 throughout: these are no data to learn"),
        ("scalar", (0.0, 2.5), (1.0, 0.0), ""),
        ("none", (0.1, 0.1), (0.0, 0.0), ""),
    ],
)
def test_what_is_constant_is_refused(standardise, means, stds, says):
    config, moments = Data(name="mine", levels=0, standardise=standardise), Spread.of(events(60, (2,), means, stds)).moments
    if not says:
        require_spread(moments, config)
        return
    with pytest.raises(DataError) as error:
        require_spread(moments, config)
    assert says in str(error.value)
