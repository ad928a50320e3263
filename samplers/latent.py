"""Latents of the flow: decode one, interpolate two, decode under another score; and edits that start from a noised x_t."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from samplers.ode import integrate
from samplers.step import Solution, Step, solve
from sde_lib import fast_random
from sde_lib.base import SDE, Count, Event, Positive, Scalar, Score, gaussian


def decode(
    sde: SDE,
    score: Score,
    latent: Event,
    *,
    t_min: float | None = None,
    rtol: Positive = 1e-4,
    atol: Positive = 1e-4,
    max_steps: Count = 2000,
) -> Event:
    """The x at t_min of the probability flow that is `latent` at t = 1: the inverse of `encode`. nan if the solver failed.

    Song et al. (2021), sec. 4.3.
    """
    start = sde.t_min if t_min is None else t_min
    return integrate(sde.reverse_drift(score, eta=0.0), latent, 1.0, start, rtol, atol, max_steps)[0]


class Translation(NamedTuple):
    """`x` in its new law, the `latent` x_1 on the way there, and the number of score evaluations.

    `gave_up`: true if a solver ran out of steps, and the rest is nan for that reason.
    """

    x: Event
    latent: Event
    nfe: Int[Array, ""]
    gave_up: Bool[Array, ""]


def translate(
    sde: SDE,
    source: Score,
    target: Score,
    x: Event,
    *,
    t_min: float | None = None,
    rtol: Positive = 1e-4,
    atol: Positive = 1e-4,
    max_steps: Count = 2000,
) -> Translation:
    """Carries x to t = 1 along the flow of `source`, and back along that of `target`: `decode` of `encode`, without a density.

    A dual diffusion bridge (Su et al. 2023, alg. 1): between Gaussians it is affine, and with one score for both the identity.
    nan if a solver failed.
    """
    start = sde.t_min if t_min is None else t_min
    there, back = (sde.reverse_drift(score, eta=0.0) for score in (source, target))
    latent, spent = integrate(there, x, start, 1.0, rtol, atol, max_steps)
    x, more = integrate(back, latent, 1.0, start, rtol, atol, max_steps)
    return Translation(x, latent, *spent.and_then(more))


def slerp(a: Event, b: Event, w: Scalar, centre: Scalar = 0.0) -> Event:
    """The point at w on the arc about `centre` from a (w = 0) to b (w = 1), with lengths linear in w:

        c + ((1 - w)|a - c| + w |b - c|) (sin((1 - w) theta) a' + sin(w theta) b') / sin(theta)

    with a', b' the directions of a - c and b - c, and theta = 2 arctan(|a' - b'| / |a' + b'|) the angle between them
    (Shoemake 1985). Two latents of equal length have every point between them of that length, unlike those of a straight line;
    `centre` is the SDE's `prior_mean`. If a' = b' there is no angle, and if a' = -b' no unique arc: then the point is on the
    straight line, (1 - w) a + w b.
    """
    a, b = a - centre, b - centre
    length = lambda v: jnp.sqrt(jnp.vdot(v, v))
    unit = lambda v: v / jnp.maximum(length(v), jnp.finfo(v.dtype).tiny)
    theta = 2 * jnp.arctan2(length(unit(a) - unit(b)), length(unit(a) + unit(b)))  # arccos loses small angles to rounding
    straight = jnp.sin(theta) < 1e-3
    turned = (jnp.sin((1 - w) * theta) * unit(a) + jnp.sin(w * theta) * unit(b)) / jnp.where(straight, 1.0, jnp.sin(theta))
    return centre + jnp.where(straight, (1 - w) * a + w * b, ((1 - w) * length(a) + w * length(b)) * turned)


def sdedit(
    key: Key[Array, ""],
    step: Step,
    sde: SDE,
    x: Event,
    grid: Float[Array, " times"],
    final: Callable[[Event, Scalar], Event] | None = None,
) -> Solution:
    """Solves along `grid` from x_t = alpha_t x + sigma_t z, t = grid[0]: the features of x that survive the noise of t remain.

    Meng et al. (2022), alg. 1; t is the strength of the edit. `final` as in `solve`.
    Raises TypeError for an SDE without alpha and sigma.
    """
    gaussian_sde = gaussian(sde, "sdedit", "encode, slerp and decode serve any SDE")
    noise_key, step_key = jax.random.split(key)
    x_t = gaussian_sde.perturb(x, fast_random.normal(noise_key, x.shape, x.dtype), grid[0])
    return solve(step_key, step, x_t, grid, final)


def interpolate(
    key: Key[Array, ""],
    step: Step,
    sde: SDE,
    x_a: Event,
    x_b: Event,
    w: Scalar,
    grid: Float[Array, " times"],
    final: Callable[[Event, Scalar], Event] | None = None,
) -> Event:
    """`sdedit` of (1 - w) x_a + w x_b: x_t = (1 - w) x_a,t + w x_b,t at t = grid[0], and the two share their noise z.

    In Ho et al. (2020), sec. 4.3, x_a,t and x_b,t are two draws of q. With a shared z, x_t is at the noise level of t for every
    w, and `key` fixes z and the noise of the steps for all frames of a pair. `final` as in `sample`.
    Raises TypeError for an SDE without alpha and sigma.
    """
    sde = gaussian(sde, "interpolate", "encode, slerp and decode serve any SDE")
    return sdedit(key, step, sde, (1 - w) * x_a + w * x_b, grid, final).x
