# /// script
# requires-python = ">=3.11"
# dependencies = ["diffusionjax==0.1.8", "jax", "scipy"]
# ///
"""diffusionjax: a solver of the reverse SDE in `get_sampler`, as its README does."""

import jax
from diffusionjax.sde import VE, VP
from diffusionjax.solvers import DDIMVE, DDIMVP, DDPM, SMLD, Annealed, EDMEuler, EDMHeun, EulerMaruyama
from diffusionjax.utils import get_sampler, get_times
from jax import numpy as jnp

from benchmarks.public.yardstick import Draws, Sampler, report


def levels(sde, t):
    return sde.mean_coeff(t)[:, None], jnp.sqrt(sde.variance(t))[:, None]


def score(law, sde):
    return lambda x, t: law.score(x, *levels(sde, t), jnp)


def noise(law, sde):
    return lambda x, t: law.noise(x, *levels(sde, t), jnp)


def denoise(law, sde):
    return lambda x, sigma: law.denoised(x, jnp.ones((len(x), 1)), sigma.reshape(-1, 1), jnp)


def sampler(name, sde, solver, order=None, note="", inner=None, steps=(250, 1000), t0=None):
    def draw(law, n, steps, seed):
        outer = solver(law, sde, get_times(steps, t0=t0)[0])
        key, shape = jax.random.PRNGKey(seed), (n // 16, 16)
        sample = get_sampler(shape, outer, inner(law, sde) if inner else None)
        start = outer.prior(jax.random.split(key)[1], shape)  # as the sampler splits its key
        alpha, sigma = (float(each[0, 0]) for each in levels(sde, jnp.ones(1)))
        top = alpha, float(outer.discrete_sigmas[-1]) if hasattr(outer, "discrete_sigmas") else sigma
        x = jax.pmap(lambda key: sample(key)[0], axis_name="batch")(key[None])[0]
        last = (1.0, float(outer.discrete_sigmas[0])) if t0 == 0 else None
        return Draws(x, start=start, top=top, last=last)

    return Sampler(name, draw, steps, order, note)


def chain(kind, model, **options):
    return lambda law, sde, ts: kind(model(law, sde), ts=ts, **options)


def euler_maruyama(law, sde, ts):
    return EulerMaruyama(sde.reverse(score(law, sde)), ts)


def langevin(law, sde):
    return Annealed(sde.reverse(score(law, sde)), snr=0.01, ts=jnp.empty((2, 1)))


NOISE = "bug: `Annealed.update` (solvers.py) adds 2 dt z, where a Langevin step of dt has sqrt(2 dt) z"
CARRY = "bug: `EDMEuler.update` (solvers.py) returns (x, None), which the scan of `get_sampler` does not take"
HEUN = "bug: `EDMHeun.update` (solvers.py) adds the corrected slope to x_1, the end of its Euler step, and not to x"

report(
    "diffusionjax",
    [
        sampler("Euler-Maruyama, VP", VP(), euler_maruyama),
        sampler("Euler-Maruyama, VE", VE(), euler_maruyama),
        sampler("DDPM, VP", VP(), chain(DDPM, score)),
        sampler("DDIM at eta 0, VP", VP(), chain(DDIMVP, noise, eta=0.0), order=1),
        sampler("DDIM at eta 1, VP", VP(), chain(DDIMVP, noise, eta=1.0)),
        sampler("SMLD, VE", VE(), chain(SMLD, score)),
        sampler("DDIM at eta 0, VE", VE(), chain(DDIMVE, noise, eta=0.0), order=1),
        sampler("Euler-Maruyama with annealed Langevin, VE", VE(), euler_maruyama, inner=langevin, note=NOISE),
        sampler("EDM's Euler", VE(), chain(EDMEuler, denoise), order=1, t0=0.0, steps=(18, 72), note=CARRY),
        sampler("EDM's Heun", VE(), chain(EDMHeun, denoise), order=2, t0=0.0, steps=(18, 72), note=HEUN),
    ],
)
