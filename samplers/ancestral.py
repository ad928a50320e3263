"""Ancestral sampling, DDIM and its inversion: steps through the posterior q(x_s | x_t, x_0) at the network's x_0."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from samplers.step import Step, noise, noisy, stateless
from sde_lib import fast_random
from sde_lib.base import SDE, Count, Event, Positive, Scalar, Score, UnitInterval, linear


def ancestral(
    sde: SDE, score: Score, v: UnitInterval | Callable[[Event, Scalar], Event] = 0.0, clip: Positive | None = None
) -> Step:
    """x_s ~ N(mean of q(x_s | x_t, x_0 = E[x_0 | x_t]), std^2),  std = std_transition^v std_posterior^(1 - v).

    DDPM's sampler on VP (Ho et al. 2020, alg. 2), SMLD's on VE (Song et al. 2021, eq. 47). `v` = 0 is DDPM's "fixedsmall", the
    deviation of q itself; `v` = 1 its "fixedlarge", that of p(x_t | x_s); v(x_t, t) a learned one (Nichol & Dhariwal 2021,
    eq. 15), which under jit shares the score's evaluation of the network. A step to sigma_s = 0 adds no noise. `clip`: the
    largest |x_0|, 1 for DDPM's samples of data in [-1, 1] (`clip_denoised`); None: no limit. An infinite x_0 stays infinite, so
    that the samples of a broken network look broken.
    """
    sde = linear(sde, "ancestral", "euler_maruyama serves any SDE")

    def update(key, x, t, s):
        x_0 = sde.denoise(score, x, t)
        if clip is not None:
            x_0 = jnp.where(jnp.isinf(x_0), x_0, jnp.clip(x_0, -clip, clip))
        mean, smallest = sde.posterior(x, x_0, t, s)
        _, largest = sde.transition(t, s)
        power = v(x, t) if callable(v) else v
        std = jnp.where(smallest == 0, 0.0, largest**power * smallest ** (1 - power))
        return mean + std * fast_random.normal(key, x.shape)

    return stateless(update, nfe=1)


def ddim(sde: SDE, score: Score, eta: UnitInterval = 0.0) -> Step:
    """x_s = alpha_s x_0 + sqrt(sigma_s^2 - eta^2 v) eps + eta sqrt(v) z, with v the variance of q(x_s | x_t, x_0).

    x_0 and eps = -sigma_t score are the network's estimates. eta = 0 is an exponential integrator of the probability flow,
    eta = 1 is `ancestral`. Song, Meng & Ermon (2021), eqs. 12 and 16, on VP.
    """
    sde = linear(sde, "ddim", "heun and probability_flow integrate the flow of any SDE")

    def update(key, x, t, s):
        score_t = score(x, t)
        x_0 = sde.denoise(lambda x, t: score_t, x, t)
        eps = -sde.sigma(t) * score_t
        std = jnp.where(s < t, eta * sde.posterior(x, x_0, t, s)[1], 0.0)
        direction = jnp.sqrt(sde.sigma(s) ** 2 - std**2)
        return sde.alpha(s) * x_0 + direction * eps + noise(key, x, std, eta)

    return stateless(update, nfe=1, stochastic=noisy(eta))


def ddim_inversion(sde: SDE, score: Score, iterations: Count = 5) -> Step:
    """The x_s, s > t, that `ddim` takes to x_t: x_s = alpha_s/alpha_t x_t + (sigma_s - alpha_s/alpha_t sigma_t) eps(x_s, s).

    The grid goes from data to noise, `grid[::-1]`; `ddim` on `grid` then returns to the first x. The equation is solved by
    `iterations` of a fixed point, of one evaluation each, which converge if no step raises the noise many times over. The first
    is the usual inversion, with eps(x_t, t) if sigma_t > 0. Song, Meng & Ermon (2021), sec. 4.3; Pan et al. (2023), alg. 1.
    """
    sde = linear(sde, "ddim_inversion", "heun and probability_flow on a reversed grid invert the flow of any SDE")

    def update(key, x, t, s):
        scaled = sde.alpha(s) / sde.alpha(t) * x
        gain = sde.sigma(s) - sde.alpha(s) / sde.alpha(t) * sde.sigma(t)
        solved = lambda x, t: scaled - gain * sde.sigma(t) * score(x, t)
        positive = jnp.all(sde.sigma(t) > 0)
        x_s = solved(jnp.where(positive, x, scaled), jnp.where(positive, t, s))
        return jax.lax.scan(lambda x_s, _: (solved(x_s, s), None), x_s, length=iterations - 1)[0]

    return stateless(update, nfe=iterations, stochastic=False)
