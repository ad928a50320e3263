# /// script
# requires-python = ">=3.11"
# dependencies = ["jaxfm==0.1.3", "scipy"]
# ///
"""jaxfm: a velocity in its conditional flow, from noise at t = 0 to data at t = 1."""

import jax
from jax import numpy as jnp
from jaxfm.flows.conditional_flows import CFM

from benchmarks.public.yardstick import Draws, Sampler, report


def draw(law, n, steps, seed):
    velocity = lambda x, t: law.denoised(x, t, 1 - t, jnp) - law.noise(x, t, 1 - t, jnp)
    start = jax.random.normal(jax.random.key(seed), (n // 16, 16))
    return Draws(CFM(velocity, steps, noise=0.0).sample_ode(start)[-1], start=start, top=(0.0, 1.0))


report("jaxfm", [Sampler("Euler", draw, (100, 400), 1)])
