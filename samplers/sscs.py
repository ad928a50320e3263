"""SSCS: the exact motion of an augmented SDE towards its prior, and kicks by what the score is beyond the prior's."""

from __future__ import annotations

import jax
from jaxtyping import Array, Key

from samplers.step import Step, stateless
from sde_lib import fast_random
from sde_lib.augmented import apply
from sde_lib.base import SDE, Event, Scalar, Score


def sscs(sde: SDE, score: Score) -> Step:
    """x_m = K x_t + C z,  x_m <- x_m + (t - s) g(m)^2 (score(x_m, m) - grad log p_1(x_m)),  x_s = K x_m + C z,  m = (t + s)/2.

    (K, C) is `reverse_transition`, the reverse SDE under the score of the prior, exactly. What remains of it moves the noised
    variable alone, and that by a constant if the others rest. Dockhorn et al. (2022), sec. 3.3 and alg. 1; of weak order 1.
    Raises TypeError for an SDE without `reverse_transition`.
    """
    transition = getattr(sde, "reverse_transition", None)
    if transition is None:
        missing = f"sscs needs reverse_transition(t, s), as CLD has it, and {type(sde).__name__} has none"
        raise TypeError(f"{missing}; euler_maruyama serves any SDE")

    def rest(key: Key[Array, ""], x: Event, t: Scalar, s: Scalar) -> Event:
        K, C = transition(t, s)
        return apply(K, x) + apply(C, fast_random.normal(key, x.shape))

    def update(key, x, t, s):
        first, second = jax.random.split(key)
        m = (t + s) / 2
        x = rest(first, x, t, m)
        x = x + (t - s) * sde.diffusion(m) ** 2 * (score(x, m) - jax.grad(sde.prior_log_prob)(x))
        return rest(second, x, m, s)

    return stateless(update, nfe=1)
