"""Inpainting and its relatives: functions Step -> Step, so that every sampler can complete a partly observed x_0."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from samplers.projections import Projection
from samplers.step import Step
from sde_lib import fast_random
from sde_lib.base import SDE, Count, Event, isotropic, linear


def inpaint(step: Step, sde: SDE, x_0: Event, observed: Bool[Array, "..."] | Projection) -> Step:
    """`step` from t to s, then x_s <- x_s + P(alpha_s x_0 + sigma_s z - x_s): P x_s is a draw of p(P x_s | x_0).

    `observed` is P, an orthogonal projection: `grey` makes this colorization, `coarse(factor)` super-resolution. Or it is a
    mask, true for the observed entries of `x_0`, and P x = mask x: it broadcasts over the event, and the other entries of `x_0`
    are not read. `step` moves all the way to s: a predictor or a whole chain, not the corrector of a chain. P x_s agrees with
    P x_0 to sigma_s, and exactly if that is 0. The unobserved part sees the observed one only in the next score, which is late:
    `resample` mends that. Song et al. (2021), app. I.2.

    Raises TypeError for an SDE without alpha and sigma; and by a projection for one of arrays, as P alpha x_0 is then not a
    function of P x_0.
    """
    sde = linear(sde, "inpaint", "samplers.classifier on log p(y | x_t) serves any SDE")
    if callable(observed):
        isotropic(sde, "inpaint by a projection", "samplers.dps takes any measurement")

    def update(key, x, memory, t, s):
        step_key, noise_key = jax.random.split(key)
        x, memory = step.update(step_key, x, memory, t, s)
        x_s = sde.perturb(x_0, fast_random.normal(noise_key, x.shape, x.dtype), s)
        return x + observed(x_s - x) if callable(observed) else jnp.where(observed, x_s, x), memory

    return step._replace(update=update, stochastic=True)


def resample(step: Step, sde: SDE, repeats: Count) -> Step:
    """`step` from t to s, `repeats` times in all: before each but the first, back to x_t = alpha_ts x_s + sigma_ts z.

    On an exact step this changes no law. On `inpaint` it is RePaint's resampling, which lets the unobserved part adapt to the
    observed one: Lugmayr et al. (2022), alg. 1. The memory of a multistep solver belongs to another path, so each repetition
    starts from a new one.

    Raises TypeError for an SDE without alpha and sigma.
    """
    sde = linear(sde, "resample", "it needs the transition from s to t")

    def update(key, x, memory, t, s):
        alpha_ts, sigma_ts = sde.transition(t, s)

        def once(x_t, before, nfe, gave_up, key):
            x_s, after = step.update(key, x_t, before, t, s)
            nfe = nfe + step.count(after, jnp.array(1)) - step.count(before, jnp.array(0))
            return x_s, after, nfe, gave_up | step.gave_up(after)

        def again(carry, key):
            x_s, _, nfe, gave_up = carry
            back_key, step_key = jax.random.split(key)
            x_t = alpha_ts * x_s + sigma_ts * fast_random.normal(back_key, x_s.shape, x_s.dtype)
            return once(x_t, step.init(x_t), nfe, gave_up, step_key), None

        keys, (before, nfe, gave_up) = jax.random.split(key, repeats), memory
        x, *memory = jax.lax.scan(again, once(x, before, nfe, gave_up, keys[0]), keys[1:])[0]
        return x, tuple(memory)

    init = lambda x: (step.init(x), jnp.zeros((), int), jnp.zeros((), bool))
    return Step(init, update, nfe=lambda memory, n: memory[1], gave_up=lambda memory: memory[2])
