# /// script
# requires-python = ">=3.11"
# dependencies = ["flaxdiff==0.2.11", "scipy"]
# ///
"""FlaxDiff: a sampler of a model on a noise schedule, whose outputs a transform reads, as its trainer samples."""

import jax
from flaxdiff.inputs import DiffusionInputConfig
from flaxdiff.predictors import EpsilonPredictionTransform, KarrasPredictionTransform
from flaxdiff.samplers import (
    DDIMSampler,
    DDPMSampler,
    EulerAncestralSampler,
    EulerSampler,
    HeunSampler,
    MultiStepDPM,
    RK4Sampler,
    SimpleDDPMSampler,
)
from flaxdiff.schedulers import CosineNoiseScheduler, KarrasVENoiseScheduler
from flaxdiff.utils import RandomMarkovState
from jax import numpy as jnp

from benchmarks.public.yardstick import Draws, Sampler, report

VE, VP = KarrasVENoiseScheduler(1, sigma_max=80, rho=7, sigma_data=0.5), CosineNoiseScheduler(1000)
INPUTS = DiffusionInputConfig(sample_data_key="image", sample_data_shape=(4, 4, 3), conditions=[])


class Exact:
    """The network whose output the package's transform turns into the exact denoised."""

    def __init__(self, law, schedule):
        self.law, self.schedule = law, schedule

    def apply(self, params, x, c):
        if self.schedule is VP:
            return self.law.noise(x, *VP.get_rates(c), jnp)
        sigma = jnp.exp(4 * c).reshape(-1, 1, 1, 1)
        scale = jnp.sqrt(0.25 + sigma**2)  # 1/c_in
        c_skip, c_out = 0.25 / scale**2, 0.5 * sigma / scale
        return (self.law.denoised(x * scale, jnp.ones_like(sigma), sigma, jnp) - c_skip * x * scale) / c_out


def sampler(name, kind, schedule, order=None, note="", steps=(100, 400), **options):
    transform = EpsilonPredictionTransform() if schedule is VP else KarrasPredictionTransform(sigma_data=0.5)

    def draw(law, n, steps, seed):
        sample = kind(Exact(law, schedule), schedule, transform, INPUTS, **options)
        state, key = RandomMarkovState(jax.random.key(seed)).get_random_key()
        batch = -(-n // 48)
        start = sample._get_initial_samples(4, batch, key, 1000)  # as `generate_samples` draws it
        x = sample.generate_samples(
            {}, num_samples=batch, resolution=4, diffusion_steps=steps, start_step=1000, priors=start, rngstate=state
        )
        top = tuple(float(each.ravel()[0]) for each in schedule.get_rates(jnp.asarray(sample.scale_steps(1000.0))))
        last = tuple(float(each.ravel()[0]) for each in schedule.get_rates(jnp.zeros(())))
        return Draws(x, start=start, top=top, last=last)

    return Sampler(name, draw, steps, order, note)


FLAT = (
    "limit: `SimpleDDPMSampler` (samplers/ddpm.py) adds noise of the variance sigma_s^2/sigma_t^2 (1 - alpha_t^2/alpha_s^2), "
    "which is the VP posterior's: on a VE schedule, where alpha = 1, there is none"
)
METHOD = "bug: `DDIMSampler` (samplers/ddim.py) calls `.sqrt()` of a JAX array, which has no such method"
SCALAR = "bug: `get_posterior_variance` (schedulers/discrete.py) takes int() of the steps of a batch"
STATIC = "bug: `RK4Sampler` (samplers/rk4_sampler.py) compiles a function of which one argument is a function"
EPS = "limit: `MultiStepDPM` (samplers/multistep_dpm.py) integrates dx = eps d sigma, which is the flow of a VE schedule alone"
THIRD = (
    "bug: in its third-order branch `MultiStepDPM` (samplers/multistep_dpm.py) takes the difference over the last step for the "
    "slope at its end, so that it is of order 2"
)

report(
    "flaxdiff",
    [
        sampler("Euler, VE", EulerSampler, VE, 1),
        sampler("DDIM, VE", DDIMSampler, VE, 1),
        sampler("Heun, VE", HeunSampler, VE, 2),
        sampler("Euler ancestral, VE", EulerAncestralSampler, VE),
        sampler("multistep DPM, VE", MultiStepDPM, VE, 3, THIRD),
        sampler("RK4, VE", RK4Sampler, VE, 4, STATIC),
        sampler("simple DDPM, VE", SimpleDDPMSampler, VE, note=FLAT),
        sampler("Euler, cosine VP", EulerSampler, VP, 1),
        sampler("DDIM, cosine VP", DDIMSampler, VP, 1),
        sampler("Heun, cosine VP", HeunSampler, VP, 2),
        sampler("simple DDPM, cosine VP", SimpleDDPMSampler, VP),
        sampler("DDPM, cosine VP", DDPMSampler, VP, note=SCALAR, steps=(1000,)),
        sampler("DDIM at eta 1, cosine VP", DDIMSampler, VP, note=METHOD, eta=1.0),
        sampler("multistep DPM, cosine VP", MultiStepDPM, VP, 3, EPS),
    ],
)
