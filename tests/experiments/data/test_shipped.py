"""Windows of real data that packages ship: each is where it should be, and none is on both sides."""

from importlib import metadata

import numpy as np
import pytest

from experiments.data import shipped
from experiments.data.shipped import SHIPPED, brain, jacksboro_elevation, seattle_weather, windows
from experiments.runtime.errors import DataError


def installed(package):
    """Skips a test where an extra is not installed."""
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return pytest.mark.skip(reason=f"{package} is not installed: pip install onesde[shipped]")
    return pytest.mark.skipif(False, reason="")


def x_of(examples):
    """The windows of examples, as one array."""
    return np.stack([example["x"] for example in examples])


@pytest.mark.parametrize(
    ("shape", "sides", "stride"), [((9, 2), (4,), 1), ((7, 9, 1), (3, 4), 2), ((5, 6, 7, 2), (2, 3, 4), 3)]
)
def test_a_window_is_a_slice(shape, sides, stride):
    """In the order of their places, the last axis of them first, with the channels last."""
    x = np.arange(np.prod(shape)).reshape(shape)
    cut = iter(windows(x, sides, stride))
    for place in np.ndindex(*((n - side) // stride + 1 for n, side in zip(shape, sides, strict=False))):
        of_window = tuple(slice(stride * i, stride * i + side) for i, side in zip(place, sides, strict=True))
        np.testing.assert_array_equal(next(cut)["x"], x[of_window])
    assert not list(cut)


def test_hills_are_metres_and_two_stripes_are_held_out():
    """The map is 236 to 1,076 metres high; a column of the held-out windows is in no training window."""
    train, test = map(x_of, jacksboro_elevation())
    assert train.shape == (79 * (17 + 29 + 9), 32, 32, 1)
    assert test.shape == (2 * 40 * 3, 32, 32, 1)
    assert train.dtype == np.float32
    assert min(train.min(), test.min()) >= 236
    assert max(train.max(), test.max()) <= 1076
    columns = lambda x: {column.tobytes() for column in np.moveaxis(x, 2, 1).reshape(-1, 32)}
    assert not columns(train) & columns(test)


@installed("vega-datasets")
def test_a_month_of_weather_ends_where_the_next_day_begins():
    train, test = map(x_of, seattle_weather())
    assert train.shape == (1461 - 365 - 31, 32, 3)
    assert test.shape == (365 - 31, 32, 3)
    np.testing.assert_array_equal(train[1:, :-1], train[:-1, 1:])
    np.testing.assert_allclose(train[0, 0], [12.8, 5.0, 4.7])  # of the 1st of January 2012
    assert (train[..., 0] >= train[..., 1]).all()


@installed("nilearn")
def test_cubes_are_of_the_head():
    train, test = map(x_of, brain())
    assert train.shape[1:] == test.shape[1:] == (16, 16, 16, 1)
    assert len(train) > 2 * len(test) > 300
    assert 25 < np.median(train) < 255


@pytest.mark.parametrize("name", SHIPPED)
def test_a_package_that_is_missing_is_named(name, monkeypatch):
    def missing(package):
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(shipped, "files", missing)
    with pytest.raises(DataError, match=r"which is not installed: pip install 'onesde\[shipped\]'"):
        SHIPPED[name]()
