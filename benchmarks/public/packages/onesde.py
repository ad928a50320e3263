"""This library: a step on a grid, from the SDE's prior. It runs in this repository's own environment."""

from functools import partial

import jax
import jax.numpy as jnp

from benchmarks.public.yardstick import Draws, Likelihood, Sampler, report
from samplers import (
    ancestral,
    chain,
    ddim,
    deis,
    dpmpp_2m,
    dpmpp_2s,
    dpmpp_3m,
    edm_heun,
    euler_maruyama,
    heun,
    karras_grid,
    langevin,
    log_prob,
    log_snr_grid,
    reverse_diffusion,
    sample,
    uniform_grid,
    unipc,
)
from sde_lib import VESDE, VPSDE, CosineVPSDE, SubVPSDE

VP = VPSDE()


def level(sde, t):
    return float(sde.alpha(t)), float(sde.sigma(t))


def exact(law, sde):
    return lambda x, t: law.score(x, sde.alpha(t), sde.sigma(t), jnp)


def sampler(name, step, grid=log_snr_grid, sde=VP, **measured):
    def draw(law, n, steps, seed):
        times, keys = grid(sde, steps), jax.random.split(jax.random.key(seed), n // 16)
        start = jax.vmap(lambda key: sde.prior_sample(key, (16,)))(keys)
        run = jax.jit(jax.vmap(lambda key, x: sample(key, step(sde, exact(law, sde)), x, times)[0]))
        return Draws(run(keys, start), level(sde, times[-1]), start, level(sde, 1.0))

    return Sampler(name, draw, **measured)


def likelihood(name, sde):
    def of(law, x, seed):
        return jax.vmap(partial(log_prob, sde, exact(law, sde)))(jnp.asarray(x, jnp.float32))

    return Likelihood(name, of, level(sde, sde.t_min))


def corrected(sde, score):
    return chain(langevin(sde, score), reverse_diffusion(sde, score))


report(
    "onesde",
    [
        sampler("ddim, VP", ddim, order=1),
        sampler("dpmpp_2m, VP", dpmpp_2m, order=2),
        sampler("dpmpp_3m, VP", dpmpp_3m, order=3),
        sampler("dpmpp_2s, VP", dpmpp_2s, order=2),
        sampler("unipc of order 3, VP", unipc, order=3),
        sampler("deis of order 3, VP", partial(deis, order=3), order=3),
        sampler("heun, cosine VP", heun, uniform_grid, CosineVPSDE(), order=2),
        sampler("edm_heun, VE", edm_heun, karras_grid, VESDE(), order=2),
        sampler("ddim, sub-VP", ddim, sde=SubVPSDE(), order=1),
        sampler("ancestral, VP", ancestral),
        sampler("euler_maruyama, VP", euler_maruyama, uniform_grid, steps=(250, 1000)),
        sampler("euler_maruyama, sub-VP", euler_maruyama, uniform_grid, SubVPSDE(), steps=(250, 1000)),
        sampler("reverse_diffusion with langevin, VE", corrected, log_snr_grid, VESDE(), steps=(250, 1000)),
    ],
    [likelihood("log_prob, VP", VP), likelihood("log_prob, sub-VP", SubVPSDE()), likelihood("log_prob, VE", VESDE())],
)
