"""Real data that packages of PyPI bring along, cut into windows: a signal, a field and a volume of floats, in their own units.

Training and held-out windows are of different days or places, and share no number.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, files
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from einops import reduce
from jaxtyping import Float

from experiments.runtime.errors import DataError

Windows = tuple[list[dict[str, Any]], list[dict[str, Any]]]
"""The training and the held-out examples."""


def seattle_weather() -> Windows:
    """Returns every 32 days [32, 3] in a row of 2012 to 2014, and those of 2015, which are held out.

    Of a day they are the highest and the lowest temperature (degrees Celsius) and the wind (m/s). Rain is left out: it is 0 on
    most days, and what has an atom has no density. From vega-datasets.
    """
    file = _shipped("vega-datasets", "seattle-weather.csv")
    days = np.genfromtxt(file, np.float32, delimiter=",", skip_header=1, usecols=(2, 3, 4))
    return windows(days[:-365], (32,), 1), windows(days[-365:], (32,), 1)


def jacksboro_elevation() -> Windows:
    """Returns squares [32, 32, 1] of the hills around Jacksboro, Tennessee: metres above the sea, on a grid of 3 arc seconds.

    Two stripes from north to south, 48 columns wide, are held out. From matplotlib.
    """
    with np.load(_shipped("matplotlib", "jacksboro_fault_dem.npz"), allow_pickle=False) as arrays:
        metres = arrays["elevation"].astype(np.float32)[..., None]
    stripes = np.split(metres, (96, 144, 288, 336), axis=1)
    squares = lambda stripes, stride: [*chain.from_iterable(windows(stripe, (32, 32), stride) for stripe in stripes)]
    return squares(stripes[::2], 4), squares(stripes[1::2], 8)


def brain() -> Windows:
    """Returns cubes [16, 16, 16, 1] of an average brain, ICBM152 of T1-weighted MR, in cells of 2 mm, from the top front right.

    Cubes that are mostly outside of the head are left out; the back of the head is held out. From nilearn, read by nibabel.
    """
    file = _shipped("nilearn", "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz")
    import nibabel  # pyright: ignore[reportMissingImports] as it comes with nilearn, of an extra

    t1 = np.asarray(nibabel.load(file).dataobj)[:196, :232, :188]  # pyright: ignore[reportAttributeAccessIssue]
    cells = reduce(t1.astype(np.float32), "(x a) (y b) (z c) -> z y x 1", "mean", a=2, b=2, c=2)[::-1, ::-1, ::-1]
    filled = lambda cubes: [cube for cube in cubes if (cube["x"] > 25).mean() > 0.5]
    return filled(windows(cells[:, :84], (16,) * 3, 4)), filled(windows(cells[:, 84:], (16,) * 3, 4))


SHIPPED: dict[str, Callable[[], Windows]] = {
    "seattle_weather": seattle_weather,
    "jacksboro_elevation": jacksboro_elevation,
    "brain": brain,
}


def windows(x: Float[np.ndarray, "*shape"], sides: tuple[int, ...], stride: int) -> list[dict[str, Any]]:
    """Returns the windows [*sides, *rest] of x along its first axes, `stride` apart along each."""
    axes = tuple(range(len(sides)))
    views = np.lib.stride_tricks.sliding_window_view(x, sides, axes)[(slice(None, None, stride),) * len(sides)]
    views = np.moveaxis(views, range(x.ndim, x.ndim + len(sides)), range(len(sides), 2 * len(sides)))
    return [{"x": window} for window in views.reshape(-1, *sides, *x.shape[len(sides) :])]


def _shipped(package: str, name: str) -> Path:
    """The file of that name in an installed package, which is not imported. DataError if it is not there."""
    try:
        its_own = files(package) or []
    except PackageNotFoundError:
        its_own = []
    path = next((Path(str(file.locate())) for file in its_own if file.name == name), None)
    if path is None or not path.exists():
        raise DataError(f"{name} is a file of the package {package}, which is not installed: pip install 'onesde[shipped]'")
    return path
