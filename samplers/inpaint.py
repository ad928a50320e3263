"""Inpainting and its like: functions Step -> Step, so that every sampler fills in what is missing around what is known."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from samplers.projections import Projection
from samplers.step import Step
from sde_lib import fast_random
from sde_lib.base import SDE, Count, Event, linear


def inpaint(step: Step, sde: SDE, known: Event, observed: Bool[Array, "..."] | Projection) -> Step:
    """`step` from t to s, then x_s <- x_s + P(alpha_s known + sigma_s z - x_s): P x_s is a draw of p(P x_s | x_0 = known).

    `observed` is P, an orthogonal projection: with `grey` this is colorization, with `coarse(factor)` super-resolution. Or it
    is a mask, true where x is known, for P x = mask x: it broadcasts over the event, and what `known` holds outside of it is
    not read. `step` moves all the way to s: a predictor or a whole chain, not the corrector in one. P x_s agrees with P known
    to sigma_s, and exactly where that is 0. What is unknown meets what is known in the next score only, which is late:
    `resample` mends that. Song et al. (2021), app. I.2.

    Raises TypeError for an SDE without alpha and sigma.
    """
    sde = linear(sde, "inpaint", "samplers.classifier on log p(known | x_t) serves any SDE")

    def update(key, x, memory, t, s):
        step_key, known_key = jax.random.split(key)
        x, memory = step.update(step_key, x, memory, t, s)
        known_s = sde.perturb(known, fast_random.normal(known_key, x.shape, x.dtype), s)
        return x + observed(known_s - x) if callable(observed) else jnp.where(observed, known_s, x), memory

    return step._replace(update=update)


def resample(step: Step, sde: SDE, repeats: Count) -> Step:
    """`step` from t to s, `repeats` times in all: before each but the first, back to x_t = alpha_ts x_s + sigma_ts z.

    On an exact step this changes no law. On `inpaint` it is RePaint's resampling, by which the unknown learns of the known:
    Lugmayr et al. (2022), alg. 1. What a multistep solver remembers is of another path, so each repetition forgets it.

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

        keys, (remembered, nfe, gave_up) = jax.random.split(key, repeats), memory
        x, *memory = jax.lax.scan(again, once(x, remembered, nfe, gave_up, keys[0]), keys[1:])[0]
        return x, tuple(memory)

    init = lambda x: (step.init(x), jnp.zeros((), int), jnp.zeros((), bool))
    return Step(init, update, nfe=lambda memory, n: memory[1], gave_up=lambda memory: memory[2])
