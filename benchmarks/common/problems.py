"""Gaussian mixtures, whose score and flow are exact, in the plane and like images of 32 x 32 x 3.

Coordinates are y = x/alpha and s = sigma/alpha, in which the probability flow of every linear SDE is dy/ds = eps(y, s).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.integrate import solve_ivp


class Mixture(NamedTuple):
    """sum_k weights[k] N(means[k], diag(variances[k])): means and variances [K, D]; the flow is followed from `n` starts."""

    name: str
    means: np.ndarray
    variances: np.ndarray
    weights: np.ndarray
    n: int

    def eps(self, y: Any, s: Any, xp: Any = np) -> Any:
        """s sum_k p(k | y) (y - m_k)/(v_k + s^2) of y [B, D], in the array module `xp`."""
        precision = 1 / (self.variances + s**2)
        pulled = self.means * precision
        # |y - m|^2 by matrix products: B K D numbers would be the slowest part of an image's solver.
        squares = y**2 @ precision.T - 2 * y @ pulled.T + xp.sum(self.means * pulled, axis=1)
        log_p = np.log(self.weights) - squares / 2 + xp.sum(xp.log(precision), axis=1) / 2
        p = xp.exp(log_p - log_p.max(axis=1, keepdims=True))
        p = p / p.sum(axis=1, keepdims=True)
        return s * (y * (p @ precision) - p @ pulled)

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """n draws [n, D]."""
        k = rng.choice(len(self.weights), n, p=self.weights)
        return self.means[k] + np.sqrt(self.variances[k]) * rng.standard_normal((n, self.means.shape[1]))

    def flow(self, y: np.ndarray, s: float, *ends: float) -> list[np.ndarray]:
        """y [B, D] carried by the flow from s to each of `ends`, in log s, by an eighth-order method at 1e-10."""
        slope = lambda u, y: (np.exp(u) * self.eps(y.reshape(-1, self.means.shape[1]), np.exp(u))).ravel()
        there = lambda end: solve_ivp(slope, np.log([s, end]), y.ravel(), method="DOP853", rtol=1e-10, atol=1e-10).y[:, -1]
        return [there(end).reshape(y.shape) for end in ends]


def plane(name: str, means: Any, std: Any, weights: Any = None, n: int = 256) -> Mixture:
    """A mixture of round components in the plane, of equal weights by default."""
    means = np.asarray(means, float)
    weights = np.ones(len(means)) if weights is None else np.asarray(weights, float)
    variances = np.broadcast_to(np.asarray(std, float).reshape(-1, 1) ** 2, means.shape)
    return Mixture(name, means, variances, weights / weights.sum(), n)


def image(seed: int, k: int, power: float, floor: float, std: float, n: int = 16) -> Mixture:
    """k components in a Fourier basis: amplitudes falling as 1/frequency^power, as in photographs, over a noise `floor`.

    `std`: of a pixel. The variance of each component is scaled by its own factor from 0.3 to 1.
    """
    rng = np.random.default_rng(seed)
    frequency = np.fft.fftfreq(32) * 32
    radius = np.maximum(np.hypot(frequency[:, None], frequency), 1)
    spectrum = np.tile(radius.ravel() ** (-2 * power), 3)
    spectrum = spectrum / spectrum.mean() * std**2 + floor**2
    means = rng.standard_normal((k, spectrum.size)) * np.sqrt(spectrum)
    variances = spectrum * rng.uniform(0.3, 1.0, (k, 1))
    return Mixture(f"image-{k}", means, variances, rng.dirichlet(np.full(k, 5.0)), n)


def mixtures() -> list[Mixture]:
    """Returns the benchmark's ten, on which the constants of `arctan_grid` and `deis` were chosen."""
    turn = np.arange(8) * np.pi / 4
    line = np.linspace(-1, 1, 5)
    rng = np.random.default_rng(7)
    return [
        plane("ring", np.stack([np.cos(turn), np.sin(turn)], 1), 0.05),
        plane("three", [[-1, 0], [1, 0.5], [0.3, -1.2]], [0.25, 0.1, 0.4], [0.3, 0.5, 0.2]),
        plane("grid", np.stack(np.meshgrid(line, line), -1).reshape(-1, 2), 0.08),
        plane("nested", np.zeros((2, 2)), [0.02, 1.0]),
        plane("random", rng.standard_normal((6, 2)), rng.uniform(0.05, 0.4, 6), rng.dirichlet(np.full(6, 3.0))),
        image(11, 6, 0.8, 0.05, 0.4),
        image(0, 10, 1.0, 0.02, 0.3),
        image(12, 12, 1.2, 0.02, 0.5),
        image(13, 20, 2.0, 0.1, 0.25),
        image(1, 50, 1.5, 0.05, 0.3),
    ]


def held_out() -> list[Mixture]:
    """Returns five others, on which nothing was chosen."""
    turn = np.linspace(0.5, 3.0, 12) * np.pi
    rng = np.random.default_rng(23)
    return [
        plane("spiral", np.stack([np.cos(turn), np.sin(turn)], 1) * turn[:, None] / 8, 0.06),
        plane("pair", [[-1, -1], [1, 1]], [0.1, 0.5], [0.7, 0.3]),
        plane("scattered", rng.standard_normal((9, 2)), rng.uniform(0.05, 0.4, 9), rng.dirichlet(np.full(9, 3.0))),
        image(21, 8, 1.1, 0.03, 0.35),
        image(22, 15, 0.9, 0.04, 0.4),
    ]
