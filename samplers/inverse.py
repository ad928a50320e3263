"""Posterior sampling of x_0 from a measurement y = A x_0 + std n, n ~ N(0, I), without training for it.

p(y | x_t) = E[p(y | x_0) | x_t] needs the law of x_0 given x_t. A score gives only its mean, by Tweedie's formula:
x_0_hat(x_t, t) = (x_t + sigma^2 score)/alpha. `pi_gdm` puts a Gaussian around it, `dps` descends |y - A x_0_hat|.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from samplers.step import Step
from sde_lib.base import SDE, Event, NonNegative, Positive, Scalar, Score, isotropic, linear

Measured = Float[Array, "*measured"]
Measurement = Callable[[Event], Measured]


def pi_gdm(
    sde: SDE,
    score: Score,
    A: Measurement,
    y: Measured,
    std: NonNegative,
    shape: tuple[int, ...],
    sigma_data: Positive = 1.0,
) -> Score:
    """The score of p_t(x | y) if x_0 given x_t is N(x_0_hat, r_t^2 I):

        score(x, t) + grad_x log N(y; A x_0_hat(x, t), r_t^2 A A^T + std^2 I),    r_t^2 = sigma^2 v/(alpha^2 v + sigma^2)

    with v = `sigma_data`^2: exact for isotropic Gaussian data of variance v. Song, Vahdat, Mardani & Kautz (2023), whose choice
    on VP is v = 1. A is linear, on events of `shape`. `std` may be 0: the part of y outside the range of A is then left out, as
    by its pseudo-inverse.

    An evaluation takes one of the score, with its backward pass. If A A^T is a multiple of a projection, it takes nothing else:
    that holds for the observed pixels of an image, for its means over channels or blocks, and for any A that is itself an
    orthogonal projection. A A^T u at one random u decides it, to five digits. For any other A, of m numbers from d, the matrix
    [m, d] and its singular values are computed once, when this is called, at m evaluations of A and O(m d min(m, d)); each
    evaluation then takes another 2 m min(m, d) multiplications.

    Raises TypeError for an SDE without alpha and sigma, or with arrays of them, as r_t would be one; ValueError for an A that
    is not linear or whose shape is not that of y.
    """
    sde = linear(sde, "pi_gdm", "samplers.classifier on log p(y | x_t) serves any SDE")
    isotropic(sde, "pi_gdm", "dps serves every linear SDE")
    v = sigma_data**2
    rotate, s2 = _spectrum(A, y, shape)

    def guided(x: Event, t: Scalar) -> Event:
        alpha2, sigma2 = sde.alpha(t) ** 2, sde.sigma(t) ** 2
        variance = sigma2 * v / (alpha2 * v + sigma2) * s2 + std**2

        def estimate(x: Event) -> tuple[Event, Event]:
            s = score(x, t)
            return sde.denoise(lambda x, t: s, x, t), s

        def log_prob(x_0: Event) -> Scalar:
            """log N(y; A x_0, variance), up to its constant."""
            r = rotate(_residual(A, y, x_0))
            return -jnp.sum(jnp.where(s2 > 0, r**2, 0) / jnp.where(s2 > 0, variance, 1)) / 2

        # `classifier` computes the same with two evaluations; here the score and its gradient share one.
        x_0, pull, s = jax.vjp(estimate, x, has_aux=True)
        return s + pull(jax.grad(log_prob)(x_0))[0]

    return guided


def dps(step: Step, sde: SDE, score: Score, A: Measurement, y: Measured, zeta: NonNegative) -> Step:
    """`step` from t to s, then x_s <- x_s - zeta/|r| grad_{x_t} |r|^2, with r = y - A x_0_hat(x_t, t).

    Chung et al. (2023), alg. 1, with the paper's step size, a constant over |r|. `score` is the unconditional one; it is
    evaluated once more, with its backward pass. Each step moves by 2 zeta along grad |r|, whatever its length: zeta depends on
    the grid and on the scale of the data, and has to be tuned. The noise of y need not be known, and A need not be linear. The
    published code, which descends |r|, calls 2 zeta its scale.

    Raises TypeError for an SDE without alpha and sigma, ValueError for an A whose shape is not that of y.
    """
    sde = linear(sde, "dps", "samplers.classifier on log p(y | x_t) serves any SDE")

    def update(key, x, memory, t, s):
        r, pull = jax.vjp(lambda x: _residual(A, y, sde.denoise(score, x, t)), x)
        norm = jnp.sqrt(jnp.sum(r**2))
        (gradient,) = pull(2 * r / jnp.where(norm > 0, norm, 1))
        x, memory = step.update(key, x, memory, t, s)
        return x - zeta * gradient, memory

    return step._replace(
        update=update, nfe=(lambda memory, n: step.count(memory, n) + n) if callable(step.nfe) else step.nfe + 1
    )


def _residual(A: Measurement, y: Measured, x_0: Event) -> Measured:
    """y - A x_0, of equal shapes: one that broadcasts would be another measurement."""
    A_x_0 = A(x_0)
    if A_x_0.shape != y.shape:
        raise ValueError(f"y is of shape {y.shape}, and A makes {A_x_0.shape} of an event {x_0.shape}")
    return y - A_x_0


def _spectrum(A: Measurement, y: Measured, shape: tuple[int, ...]) -> tuple[Callable[[Measured], Array], Array]:
    """(r -> U^T r, s^2) of A A^T = U diag(s^2) U^T, with s^2 = 0 if it is 0 to rounding.

    For A A^T = c P with a projection P it is (r -> r, c): the part of r outside the range of P does not depend on x.
    """
    random = np.random.default_rng(0).standard_normal
    with jax.ensure_compile_time_eval():  # under jit too, unless A itself closes over a tracer
        zero, x, u = jnp.zeros(shape, y.dtype), jnp.asarray(random(shape), y.dtype), jnp.asarray(random(y.shape), y.dtype)
        _residual(A, y, zero)
        _, transpose = jax.vjp(A, zero)
        A_x, once = A(x), A(transpose(u)[0])
        if not isinstance(once, Tracer):
            if not jnp.allclose(A_x, jax.jvp(A, (zero,), (x,))[1], rtol=0, atol=1e-3 * float(jnp.abs(A_x).max())):
                raise ValueError("pi_gdm needs a linear A, and here A x differs from its derivative at 0; dps takes any A")
            twice = A(transpose(once)[0])
            c = jnp.vdot(once, twice) / jnp.maximum(jnp.vdot(once, once), jnp.finfo(y.dtype).tiny)
            if jnp.linalg.norm(twice - c * once) <= 1e-5 * jnp.linalg.norm(twice):
                return lambda r: r, c
        U, s, _ = jnp.linalg.svd(jax.jacrev(A)(zero).reshape(y.size, zero.size), full_matrices=False)
        s2 = jnp.where(s > max(y.size, zero.size) * jnp.finfo(s.dtype).eps * s[0], s**2, 0)
    return lambda r: U.T @ r.ravel(), s2
