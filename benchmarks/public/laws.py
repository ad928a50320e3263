"""Laws of one number whose score, density, quantiles and probability flow are exact under x_t = alpha x_0 + sigma z.

An event's numbers are independent draws of one law. The arrays that a package computes with are of its own module `xp`
(numpy, torch or jax.numpy); the truth is computed in numpy, in float64.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr

Level = tuple[float, float]
"""alpha and sigma."""


class Law(NamedTuple):
    """p N(means[0], stds[0]^2) + (1 - p) N(means[1], stds[1]^2); a Gaussian has both components the same."""

    name: str
    p: float
    means: tuple[float, float]
    stds: tuple[float, float]

    def _posterior(self, x: Any, alpha: Any, sigma: Any, xp: Any) -> list[tuple[Any, Any, Any]]:
        """The components' p(k | x_t = x), (x - alpha m_k)/v_k and s_k^2, with v_k = alpha^2 s_k^2 + sigma^2 in x's shape."""
        v = [alpha**2 * s**2 + sigma**2 + 0 * x for s in self.stds]
        d = [x - alpha * m for m in self.means]
        log_odds = np.log((1 - self.p) / self.p) + (xp.log(v[0] / v[1]) + d[0] ** 2 / v[0] - d[1] ** 2 / v[1]) / 2
        second = (1 + xp.tanh(log_odds / 2)) / 2
        return [(p, d[k] / v[k], self.stds[k] ** 2) for k, p in enumerate((1 - second, second))]

    def score(self, x: Any, alpha: Any, sigma: Any, xp: Any) -> Any:
        """d log p_t(x) / dx = -sum_k p(k | x) (x - alpha m_k)/v_k."""
        return -sum(p * pull for p, pull, _ in self._posterior(x, alpha, sigma, xp))

    def denoised(self, x: Any, alpha: Any, sigma: Any, xp: Any) -> Any:
        """E[x_0 | x_t = x] = sum_k p(k | x) (m_k + alpha s_k^2 (x - alpha m_k)/v_k)."""
        components = self._posterior(x, alpha, sigma, xp)
        return sum(p * (m + alpha * variance * pull) for (p, pull, variance), m in zip(components, self.means, strict=True))

    def noise(self, x: Any, alpha: Any, sigma: Any, xp: Any) -> Any:
        """E[z | x_t = x] = -sigma d log p_t(x) / dx."""
        return -sigma * self.score(x, alpha, sigma, xp)

    def at(self, level: Level) -> Law:
        """The law of x_t, of the same family."""
        alpha, sigma = (float(each) for each in level)
        means = tuple(alpha * m for m in self.means)
        return self._replace(means=means, stds=tuple(np.hypot(alpha * s, sigma) for s in self.stds))

    def mean(self) -> float:
        return self.p * self.means[0] + (1 - self.p) * self.means[1]

    def std(self) -> float:
        square = sum(w * (m**2 + s**2) for w, m, s in zip((self.p, 1 - self.p), self.means, self.stds, strict=True))
        return float(np.sqrt(square - self.mean() ** 2))

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        weights = (self.p, 1 - self.p)
        each = [np.log(w / s) - ((x - m) / s) ** 2 / 2 for w, m, s in zip(weights, self.means, self.stds, strict=True)]
        return np.logaddexp(*each) - np.log(2 * np.pi) / 2

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        k = (rng.random(shape) > self.p).astype(int)
        return np.array(self.means)[k] + np.array(self.stds)[k] * rng.standard_normal(shape)

    def cdf(self, x: np.ndarray) -> np.ndarray:
        first, second = (ndtr((x - m) / s) for m, s in zip(self.means, self.stds, strict=True))
        return self.p * first + (1 - self.p) * second

    def quantile(self, u: np.ndarray) -> np.ndarray:
        """The inverse of `cdf`, by bisection to the last bit."""
        reach = 40 * max(self.stds)
        low, high = np.full(u.shape, min(self.means) - reach), np.full(u.shape, max(self.means) + reach)
        for _ in range(70):
            middle = (low + high) / 2
            below = self.cdf(middle) < u
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (low + high) / 2

    def flow(self, x: np.ndarray, start: Level, end: Level) -> np.ndarray:
        """F_end^-1(F_start(x)): in one dimension the probability flow keeps the order of its points, so it keeps quantiles."""
        return self.at(end).quantile(self.at(start).cdf(np.asarray(x, np.float64)))

    def distance(self, x: np.ndarray) -> float:
        """W_2 of draws to the law: (mean_i (x_(i) - F^-1((i - 1/2)/n))^2)^(1/2)."""
        x = np.sort(np.asarray(x, np.float64).ravel())
        return float(np.sqrt(np.mean((x - _midpoints(self, x.size)) ** 2)))


@cache
def _midpoints(law: Law, n: int) -> np.ndarray:
    """F^-1((i - 1/2)/n)."""
    return law.quantile((np.arange(n) + 0.5) / n)


@cache
def floor(law: Law, n: int) -> float:
    """The mean W_2 of n exact draws to the law."""
    return float(np.mean([law.distance(law.sample(np.random.default_rng(seed), (n,))) for seed in range(4)]))


GAUSSIAN = Law("Gaussian", 0.5, (0.25, 0.25), (0.2, 0.2))
MIXTURE = Law("mixture", 0.35, (-0.35, 0.3), (0.18, 0.13))
LAWS = (GAUSSIAN, MIXTURE)
"""Both lie in [-1, 1], as images do, but for 1e-4 of their mass: a sampler that clips there is not wrong for that."""
