"""The law of x_t under a scalar SDE, by its Fokker-Planck equation on a grid: an oracle for what has no closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from scipy.linalg import solve_banded

from sde_lib import SDE


@dataclass(frozen=True)
class Law:
    """Densities p [times, n] at even times t in [0, 1] and even x in [-reach, reach]."""

    p: np.ndarray
    reach: float

    @property
    def x(self) -> np.ndarray:
        """The points of the grid."""
        return np.linspace(-self.reach, self.reach, self.p.shape[1])

    def at(self, t: float) -> np.ndarray:
        """p_t on the grid, linear between its times."""
        place = t * (len(self.p) - 1)
        i = min(int(place), len(self.p) - 2)
        return self.p[i] + (place - i) * (self.p[i + 1] - self.p[i])

    def log_prob(self, x: float, t: float) -> float:
        """log p_t(x)."""
        return float(np.interp(x, self.x, np.log(self.at(t))))

    def distance(self, samples: np.ndarray, t: float) -> float:
        """Kolmogorov's distance max |F_n - F_t| of n samples; of exact ones it exceeds 1.63/sqrt(n) once in a hundred times."""
        cdf = np.cumsum(self.at(t)) * (self.x[1] - self.x[0])
        middles = (self.x[1:] + self.x[:-1]) / 2
        of_law = np.interp(np.sort(np.ravel(samples)), middles, cdf[:-1])
        ranks = np.arange(len(of_law) + 1) / len(of_law)
        return float(max(np.abs(of_law - ranks[:-1]).max(), np.abs(of_law - ranks[1:]).max()))

    def score(self) -> Callable[[jax.Array, jax.Array], jax.Array]:
        """grad log p_t(x), of every coordinate of x by itself: differences of the grid, linear between."""
        table = jnp.asarray(np.gradient(np.log(self.p), self.x, axis=1), jnp.float32)

        def score(x, t):
            place = (x + self.reach) / (2 * self.reach) * (table.shape[1] - 1)
            row = jnp.broadcast_to(jnp.asarray(t * (table.shape[0] - 1)), x.shape)
            return map_coordinates(table, [row, place], order=1, mode="nearest")

        return score


def law(sde: SDE, p_0: Callable[[np.ndarray], np.ndarray], reach: float = 8.0, n: int = 1601, times: int = 801) -> Law:
    """The law of x_t if x_0 has the density p_0: dp/dt = -d/dx (f p - g^2/2 dp/dx), of order two in x and t.

    Fluxes between neighbours by exponential fitting, under which exp(int 2 f/g^2) is stationary (Scharfetter & Gummel 1969),
    and none through the ends; Crank and Nicolson's steps in t.
    """
    x, t = np.linspace(-reach, reach, n), np.linspace(0, 1, times)
    dx, dt, middle = x[1] - x[0], t[1] - t[0], (t[1:] + t[:-1]) / 2
    with jax.enable_x64(True):
        between = jnp.asarray((x[1:] + x[:-1]) / 2)
        f = np.asarray(jax.jit(jax.vmap(lambda t: jax.vmap(lambda x: sde.drift(x[None], t)[0])(between)))(jnp.asarray(middle)))
        g = np.asarray(jax.jit(jax.vmap(sde.diffusion))(jnp.asarray(middle)))
    rows = [p_0(x) / (p_0(x).sum() * dx)]
    for f_t, d in zip(f, np.broadcast_to(g, middle.shape) ** 2 / 2, strict=True):
        w = f_t * dx / d
        right, left = (d / dx**2 * v / np.expm1(v) for v in np.where(np.abs([-w, w]) < 1e-9, 1e-9, [-w, w]))
        out = np.append(right, 0) + np.insert(left, 0, 0)
        p = rows[-1]
        moved = -out * p
        moved[1:] += right * p[:-1]
        moved[:-1] += left * p[1:]
        bands = np.stack([np.insert(-left, 0, 0), 2 / dt + out, np.append(-right, 0)]) * dt / 2
        rows.append(np.maximum(solve_banded((1, 1), bands, p + dt / 2 * moved), 1e-290))
    return Law(np.stack(rows), reach)
