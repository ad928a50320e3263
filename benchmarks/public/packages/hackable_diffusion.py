# /// script
# requires-python = ">=3.12"
# dependencies = ["hackable-diffusion==1.0.1", "scipy"]
# ///
"""hackable-diffusion: a Gaussian process on a schedule, a stepper and a sampler, as its notebooks do."""

import jax
from hackable_diffusion.lib.corruption import gaussian, schedules
from hackable_diffusion.lib.sampling import gaussian_step_sampler as steppers
from hackable_diffusion.lib.sampling import sampling, time_scheduling
from jax import numpy as jnp

from benchmarks.public.yardstick import Draws, Sampler, report

TIMES = time_scheduling.UniformTimeSchedule()
COSINE, LINEAR, FLOW = schedules.CosineSchedule(), schedules.LinearDiffusionSchedule(), schedules.RFSchedule()
EXPLODING = schedules.GeometricSchedule(sigma_min=0.01, sigma_max=50.0)


def sampler(name, stepper, schedule, order=None, note="", steps=(100, 400), **options):
    process = gaussian.GaussianProcess(schedule=schedule)

    def draw(law, n, steps, seed):
        if stepper is steppers.HeunStep:  # which counts its inner steps too
            options.update(time_schedule=TIMES, num_steps=steps)
        loop = sampling.DiffusionSampler(
            time_schedule=TIMES,
            stepper=stepper(corruption_process=process, **options),
            num_steps=steps,
            store_trajectory=False,
        )

        def network(xt, time, conditioning=None):
            return {"x0": law.denoised(xt, schedule.alpha(time), schedule.sigma(time), jnp)}

        noise_key, key = jax.random.split(jax.random.key(seed))
        start = process.sample_from_invariant(noise_key, jnp.zeros((n // 16, 16)))
        last, _ = loop(inference_fn=network, rng=key, initial_noise=start)
        stop, begin = (jnp.full((1, 1), t) for t in TIMES.span)
        level = lambda t: (float(schedule.alpha(t)[0, 0]), float(schedule.sigma(t)[0, 0]))
        return Draws(last.xt, level(stop), start, level(begin))

    return Sampler(name, draw, steps, order, note)


ALPHA = (
    "bug: `AdjustedDDIMStep.update` (lib/sampling/gaussian_step_sampler.py) multiplies x_0 by alpha at t; a step from t to s "
    "has alpha at s there"
)
PRIOR = (
    "limit: `GaussianProcess.sample_from_invariant` (lib/corruption/gaussian.py), from which its evaluation starts, draws "
    "N(0, I) on every schedule; on GeometricSchedule x_1 has the std sigma_max"
)

report(
    "hackable-diffusion",
    [
        sampler("DDIM, cosine", steppers.DDIMStep, COSINE, 1, stoch_coeff=0.0),
        sampler("DDIM, rectified flow", steppers.DDIMStep, FLOW, 1, stoch_coeff=0.0),
        sampler("DDIM at 0.5, cosine", steppers.DDIMStep, COSINE, stoch_coeff=0.5),
        sampler("DDIM at 1, linear", steppers.DDIMStep, LINEAR, stoch_coeff=1.0),
        sampler("velocity, rectified flow", steppers.VelocityStep, FLOW, 1, stoch_coeff=0.0),
        sampler("velocity at 1, linear", steppers.VelocityStep, LINEAR, steps=(250, 1000), stoch_coeff=1.0),
        sampler("SDE at churn 0, linear", steppers.SdeStep, LINEAR, 1, churn=0.0),
        sampler("SDE at churn 1, linear", steppers.SdeStep, LINEAR, steps=(250, 1000), churn=1.0),
        sampler("Heun, cosine", steppers.HeunStep, COSINE, 2),
        sampler("Heun, rectified flow", steppers.HeunStep, FLOW, 2),
        sampler("adjusted DDIM, cosine", steppers.AdjustedDDIMStep, COSINE, note=ALPHA),
        sampler("DDIM, geometric", steppers.DDIMStep, EXPLODING, 1, PRIOR, stoch_coeff=0.0),
    ],
)
