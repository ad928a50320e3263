"""Linear SDEs of which each coordinate has a schedule of its own: alpha(t) and sigma(t) are arrays."""

from __future__ import annotations

from typing import Annotated

import flax.struct
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Le, Len, Lt
from jaxtyping import Array, Float

from sde_lib.base import Diagonal, LinearSDE, NonNegative, Scalar
from sde_lib.linear import SigmoidVP

Sides = Annotated[tuple[Annotated[int, Ge(1), Le(8192)], ...], Len(1, 3)]
Numbers = Diagonal | tuple[float, ...]
"""A number, or one for each index of the last axis; in Python also an array that broadcasts to the event."""


@flax.struct.dataclass
class BlurringSDE(LinearSDE):
    """Noise and the dissipation of heat, on cosine codes [*sides, C]: z_t = a(t) d(t) z_0 + sigma(t) eps.

    Frequency k dissipates as d_k = d_min + (1 - d_min) e^(-lambda_k tau), lambda_k = pi^2 sum_j (k_j/N_j)^2, which blurs the
    image by a Gaussian of sqrt(2 tau) = blur_max sin^2(pi t/2) pixels. The noise is the same in all: a = cos(phi),
    sigma = sin(phi), with phi linear in t, and 2 log(a/sigma) from log_snr_max to log_snr_min.

    Hoogeboom & Salimans (2023), sec. 4 and app. A. The codes are those of `models.cosine`. `sides`: N_j, of the axes of space.
    At blur_max = 0 it is a VP-SDE with a cosine schedule.
    """

    sides: Sides = flax.struct.field(pytree_node=False, default=(8, 8))
    blur_max: NonNegative = 20.0
    d_min: Annotated[Scalar, Gt(0), Lt(1)] = 1e-3
    log_snr_max: Scalar = 10.0
    log_snr_min: Scalar = -10.0

    @property
    def t_min(self) -> float:
        """0: sigma(0)^2 = sigmoid(-log_snr_max) > 0, and nothing is singular there."""
        return 0.0

    def eigenvalues(self) -> Float[np.ndarray, "*sides 1"]:
        """lambda_k = pi^2 sum_j (k_j/N_j)^2, of minus the Laplacian."""
        squares = [(np.pi * k / n) ** 2 for k, n in zip(np.indices(self.sides), self.sides, strict=True)]
        return np.sum(squares, axis=0)[..., None]

    def _angle(self, t: Scalar) -> Scalar:
        """phi = arctan(sigma/a)."""
        first, last = (jnp.arctan(jnp.exp(-end / 2)) for end in (self.log_snr_max, self.log_snr_min))
        return first + t * (last - first)

    def alpha(self, t: Scalar) -> Float[Array, "*sides 1"]:
        """cos(phi) (d_min + (1 - d_min) e^(-lambda_k tau))."""
        tau = (self.blur_max * jnp.sin(jnp.pi / 2 * t) ** 2) ** 2 / 2
        return jnp.cos(self._angle(t)) * (self.d_min + (1 - self.d_min) * jnp.exp(-self.eigenvalues() * tau))

    def sigma(self, t: Scalar) -> Scalar:
        """sin(phi)."""
        return jnp.sin(self._angle(t))


@flax.struct.dataclass
class PolynomialVPSDE(SigmoidVP):
    """VP of which each coordinate has a log-SNR of its own, alpha^2 = sigmoid(lambda) = 1 - sigma^2, along a polynomial:

        lambda(t) = log_snr_max + (log_snr_min - log_snr_max) p(t)/p(1),        p(t) = int_0^t (a u^2 + b u + c)^2 du

    Sahoo et al. (2024, MuLAN), whose a, b and c are learned and whose ends are alike. Each option is a number, or one for each
    channel; in Python an array that broadcasts to the event, such as one for each principal component of whitened data. At
    a = b = 0 it is `LogLinearVPSDE`.
    """

    log_snr_max: Numbers = 13.3
    log_snr_min: Numbers = -5.0
    a: Numbers = 0.0
    b: Numbers = 0.0
    c: Numbers = 1.0

    def log_snr(self, t: Scalar) -> Diagonal:
        """log_snr_max + (log_snr_min - log_snr_max) p(t)/p(1)."""
        first, last, a, b, c = map(jnp.asarray, (self.log_snr_max, self.log_snr_min, self.a, self.b, self.c))
        p = lambda t: t * (c**2 + t * (b * c + t * ((b**2 + 2 * a * c) / 3 + t * (a * b / 2 + t * a**2 / 5))))
        return first + (last - first) * p(t) / p(1.0)
