"""Score matching without p(x_t | x_0): implicit, sliced and explicit, for any SDE.

In expectation over x_t ~ p_t each is w/D E|score - grad log p_t|^2 plus a constant, as `dsm` is: on a LinearSDE
E dsm = E ism + w/sigma^2, the mean of it over coordinates. x_t is drawn by `forward`, in `n_steps` if the SDE has no
p(x_t | x_0). If w is an array, |s|^2 is sum_i w_i s_i^2, div s is sum_i w_i ds_i/dx_i, and a probe v has E v v^T = diag w.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from losses.dsm import Loss
from losses.forward import forward
from losses.weights import Weight, likelihood
from sde_lib.base import SDE, Count, Diagonal, Event, Scalar, Score, factors

Integrand = Callable[[Key[Array, ""], Event, Scalar, Diagonal], Scalar]
"""integrand(key, x_t, t, w): w is 1 unless the weight is an array."""


def _mean(sde: SDE, weight: Weight, n_steps: Count, integrand: Integrand) -> Loss:
    """l(x_0, t) = c/D integrand(x_t, t, w), with c w the weight."""
    draw = forward(sde, n_steps)

    def loss(key: Key[Array, ""], x_0: Event, t: Scalar) -> Scalar:
        noise_key, probe_key = jax.random.split(key)
        c, w = factors(weight(sde, t))
        return c / x_0.size * integrand(probe_key, draw(noise_key, x_0, t), t, w)

    return loss


def ism(sde: SDE, score: Score, weight: Weight = likelihood, n_steps: Count = 100) -> Loss:
    """l(x_0, t) = w/D (|s|^2 + 2 div s),  s = score(x_t, t): implicit score matching, by D forward products for the trace.

    Hyvärinen (2005), thm. 1: integration by parts of -2 E s . grad log p_t. Returns `loss(key, x_0, t)` for one example.
    """

    def integrand(key, x, t, w):
        s, jvp = jax.linearize(lambda x: score(x, t), x)
        basis = w * jnp.eye(x.size, dtype=x.dtype).reshape(x.size, *x.shape)
        return jnp.sum(w * s**2) + 2 * jnp.trace(jax.vmap(jvp)(basis).reshape(x.size, x.size))

    return _mean(sde, weight, n_steps, integrand)


def ssm(sde: SDE, score: Score, weight: Weight = likelihood, n_steps: Count = 100) -> Loss:
    """l(x_0, t) = w/D ((v . s)^2 + 2 v . (grad s) v),  v Rademacher: sliced score matching, one forward product.

    As E vv^T = I, its mean is that of `ism`. Song et al. (2019, "Sliced Score Matching"), sec. 3.
    """

    def integrand(key, x, t, w):
        s, v, along = _probe(score, key, x, t, w)
        return jnp.vdot(v, s) ** 2 + 2 * along

    return _mean(sde, weight, n_steps, integrand)


def ssm_vr(sde: SDE, score: Score, weight: Weight = likelihood, n_steps: Count = 100) -> Loss:
    """l(x_0, t) = w/D (|s|^2 + 2 v . (grad s) v),  v Rademacher: `ssm` of reduced variance, `ism` with Hutchinson's trace.

    Song et al. (2019, "Sliced Score Matching"), sec. 3.
    """

    def integrand(key, x, t, w):
        s, _, along = _probe(score, key, x, t, w)
        return jnp.sum(w * s**2) + 2 * along

    return _mean(sde, weight, n_steps, integrand)


def _probe(score: Score, key: Key[Array, ""], x: Event, t: Scalar, w: Diagonal) -> tuple[Event, Event, Scalar]:
    """Returns s, v = sqrt(w) times a Rademacher vector, and v . (grad s) v."""
    v = jnp.sqrt(w) * jax.random.rademacher(key, x.shape, x.dtype)
    s, s_v = jax.jvp(lambda x: score(x, t), (x,), (v,))
    return s, v, jnp.vdot(v, s_v)


def esm(sde: SDE, score: Score, target: Score, weight: Weight = likelihood, n_steps: Count = 100) -> Loss:
    """l(x_0, t) = w/D |score(x_t, t) - target(x_t, t)|^2: explicit score matching, to the score of a teacher.

    With target = grad log p_t its mean is E dsm(score) - E dsm(target). Vincent (2011), app.
    """

    def integrand(key, x, t, w):
        return jnp.sum(w * (score(x, t) - target(x, t)) ** 2)

    return _mean(sde, weight, n_steps, integrand)
