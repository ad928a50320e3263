"""SVHN's cropped digits, as MATLAB wrote them: X [32, 32, 3, N], and y [N, 1] from 1 to 10, of which 10 is the digit 0.

Netzer et al. (2011), http://ufldl.stanford.edu/housenumbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from experiments.data.archives.contents import Contents, Example, Split
from experiments.data.archives.files import Files
from experiments.runtime.errors import DataError, printable
from experiments.runtime.limits import fits

SHAPE = (32, 32, 3)
DIGITS = [str(digit) for digit in range(10)]


def svhn_cropped(files: Files) -> Contents:
    """Returns the splits train, test and, if its file is there, extra."""
    names = {split: f"{split}_32x32.mat" for split in ("train", "test", "extra")}
    splits = {split: _split(files, name) for split, name in names.items() if split != "extra" or name in files}
    return Contents(SHAPE, {"label": DIGITS}, splits)


def _split(files: Files, name: str) -> Split:
    from scipy.io import loadmat, whosmat

    with files.open(name) as stream:
        shapes = {key: tuple(map(int, shape)) for key, shape, _ in whosmat(stream)}
    *shape, n = shapes.get("X", (0,))
    if tuple(shape) != SHAPE or shapes.get("y") != (n, 1) or not n:
        raise DataError(f"{files.place}: {name} must hold X [32, 32, 3, N] and y [N, 1], and holds {printable(shapes)[:200]}")

    def examples() -> Iterator[Example]:
        fits(prod((*SHAPE, n)), f"{files.place}: {name}")
        with files.open(name) as stream:
            arrays = loadmat(stream, variable_names=["X", "y"])
        X, y = arrays["X"], arrays["y"].astype(int)
        if X.dtype != np.uint8 or not (1 <= y.min() <= y.max() <= 10):
            what = f"{X.dtype} and labels of {y.min()} to {y.max()}"
            raise DataError(f"{files.place}: {name} must hold bytes and labels of 1 to 10, and holds {what}")
        for i in range(n):
            yield {"image": X[..., i], "label": int(y[i, 0]) % 10}

    return Split(n, examples())
