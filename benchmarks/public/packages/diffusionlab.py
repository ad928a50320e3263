# /// script
# requires-python = ">=3.13"
# dependencies = ["diffusionlab==4.0.1", "scipy"]
# ///
"""diffusionlab: a process, a sampler of it and a predictor, as its README does."""

import jax
from diffusionlab.processes.gaussian import EDM, FlowMatching, VPLinear
from diffusionlab.sampling.base import sample
from diffusionlab.sampling.continuous import DDMSampler, EulerSampler
from diffusionlab.sampling.schedules import edm_schedule, uniform_schedule
from diffusionlab.typing import Prediction
from jax import numpy as jnp

from benchmarks.public.yardstick import Draws, Sampler, report


def sampler(name, kind, process, schedule=uniform_schedule, order=None, **options):
    process = process(data_shape=(16,))

    def draw(law, n, steps, seed):
        key, batch = jax.random.key(seed), n // 16

        @jax.jit
        def predictor(x, s, t, cond, aux):
            return Prediction(value=law.denoised(x, process.alpha(t)[:, None], process.sigma(t)[:, None], jnp), kind="x_0")

        start = process.sample_from_terminal(jax.random.split(key, 3)[1], batch)[0]  # as `sample` splits its key
        x = sample(key, kind(process=process, **options), predictor, batch, schedule(steps, batch))
        top = float(process.alpha(jnp.ones(()))), float(process.sigma(jnp.ones(())))
        return Draws(x, start=start, top=top)

    return Sampler(name, draw, (25, 100), order)


report(
    "diffusionlab",
    [
        sampler("DDM at eta 1, linear VP", DDMSampler, VPLinear, eta=1.0),
        sampler("DDM at eta 0, EDM", DDMSampler, EDM, edm_schedule, order=1),
        sampler("Euler, flow matching", EulerSampler, FlowMatching, order=1),
        sampler("DDM at eta 0, linear VP", DDMSampler, VPLinear, order=1),
    ],
)
