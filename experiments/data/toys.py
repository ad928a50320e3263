"""Toys: points in the plane, on which a score can be seen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

Points = Float[np.ndarray, "n 2"]

CENTRES = np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], axis=1)
STD = 0.1


def two_moons(n: int, seed: int) -> Points:
    """Two half circles, centred, of about unit scale."""
    from sklearn.datasets import make_moons  # seconds to import, so only here

    return make_moons(n, noise=0.05, random_state=seed)[0] - np.array([0.5, 0.25])


def checkerboard(n: int, seed: int) -> Points:
    """Uniform on the eight dark squares of a 4 x 4 board on [-1, 1]^2."""
    rng = np.random.default_rng(seed)
    column = rng.integers(0, 4, n)
    row = 2 * rng.integers(0, 2, n) + column % 2
    return (np.stack([column, row], axis=1) + rng.random((n, 2))) / 2 - 1


def swiss_roll(n: int, seed: int) -> Points:
    """A spiral: the Swiss roll seen from its end, within the unit disk."""
    from sklearn.datasets import make_swiss_roll

    return make_swiss_roll(n, noise=0.2, random_state=seed)[0][:, [0, 2]] / 15


def gaussian_mixture(n: int, seed: int) -> Points:
    """Eight equal Gaussians of standard deviation 0.1 on the unit circle, with the density `log_prob`."""
    rng = np.random.default_rng(seed)
    return CENTRES[rng.integers(0, len(CENTRES), n)] + STD * rng.standard_normal((n, 2))


def log_prob(x: Points) -> Float[np.ndarray, " n"]:
    """log (1/8) sum_k N(x; c_k, 0.1^2 I), the density of `gaussian_mixture`."""
    from scipy.special import logsumexp

    squared = ((x[:, None] - CENTRES) ** 2).sum(-1)
    return logsumexp(-squared / (2 * STD**2), axis=1) - np.log(len(CENTRES) * 2 * np.pi * STD**2)


TOYS: dict[str, Callable[[int, int], Points]] = {
    "two_moons": two_moons,
    "checkerboard": checkerboard,
    "swiss_roll": swiss_roll,
    "gaussian_mixture": gaussian_mixture,
}
