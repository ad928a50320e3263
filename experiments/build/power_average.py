r"""The average of parameters by a power function of time. Karras et al. (2024), arXiv 2312.02696, section 3 and appendix C.

    theta_hat(t) = \int_0^t p(tau) theta(tau) dtau,    p(tau) = (gamma + 1) tau^gamma / t^(gamma + 1)

for tau up to t. Its width is the standard deviation of p over t,

    sigma_rel = ((gamma + 1) / ((gamma + 2)^2 (gamma + 3)))^(1/2).

Times are counts of steps. Averages at several t and gamma span others, to which they are fitted after training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Profile(NamedTuple):
    """The weights p(tau) that parameters at the steps up to `t` have, for the exponent `gamma`."""

    t: float
    gamma: float


def exponent(sigma_rel: float) -> float:
    """Returns the gamma of a width in (0, 12^(-1/2)]: the largest root of

        gamma^3 + 7 gamma^2 + (16 - sigma_rel^-2) gamma + 12 - sigma_rel^-2 = 0

    (algorithm 2), which is the equation of the width with its denominator multiplied out.
    """
    roots = np.roots([1.0, 7.0, 16.0 - sigma_rel**-2, 12.0 - sigma_rel**-2])
    return float(roots.real[abs(roots.imag) < 1e-6].max())


def newest_weight(gamma: float, step: jax.Array) -> jax.Array:
    """Returns 1 - beta(t) = 1 - (1 - 1/t)^(gamma + 1), the weight of the parameters after `step`, t = step + 1 (section 3).

    The product of these beta telescopes, so that the average is the integral above for parameters that jump at each step.
    """
    return -jnp.expm1((gamma + 1) * jnp.log1p(-1 / (step + 1)))


def inner_product(one: Profile, other: Profile) -> float:
    r"""Returns \int p q dtau = (a + 1)(b + 1)/(a + b + 1) (s/t)^b / t, of exponents a up to s and b up to t >= s."""
    (s, a), (t, b) = sorted([one, other])
    return (a + 1) * (b + 1) / (a + b + 1) * (s / t) ** b / t


def fit(target: Profile, profiles: Sequence[Profile]) -> tuple[np.ndarray, float]:
    """Returns the weights w [n] of averages whose profiles come nearest to the target's, and the distance over its norm.

    It is algorithm 3's least squares, min |sum_i w_i p_i - p|^2, under the condition that the weights sum to 1, by which
    constants stay as they are.
    """
    norms = np.sqrt([inner_product(p, p) for p in profiles])
    products = np.array([[inner_product(p, q) for q in profiles] for p in profiles]) / np.outer(norms, norms)
    towards = np.array([inner_product(p, target) for p in profiles]) / norms
    # The stationary point of the Lagrangian, for profiles of norm 1: x_i = w_i |p_i|.
    system = np.block([[products, 1 / norms[:, None]], [1 / norms, np.zeros((1, 1))]])
    x = np.linalg.solve(system, np.append(towards, 1.0))[:-1]
    own = inner_product(target, target)
    distance = max(own - 2 * x @ towards + x @ products @ x, 0.0)
    return x / norms, float(np.sqrt(distance / own))
