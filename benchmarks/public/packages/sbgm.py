# /// script
# requires-python = ">=3.12,<3.13"
# dependencies = ["sbgm==0.0.38", "matplotlib==3.9.1", "scipy"]
# ///
"""sbgm: an SDE and a model that is its score, sampled by Euler-Maruyama or by the probability flow, and its likelihood.

sbgm asks for a matplotlib that was withdrawn, so that is asked for by name.
"""

from functools import partial

import equinox as eqx
import jax
from jax import numpy as jnp
from sbgm import ode, sample
from sbgm.sde import VESDE, VPSDE, SubVPSDE

from benchmarks.public.laws import Law
from benchmarks.public.yardstick import Draws, Likelihood, Sampler, report

SHAPE = (16,)
BETA = lambda t: 0.1 * t + 9.95 * t**2
SIGMA = lambda t: 0.01 * 5000.0**t
VP, SUB, VE = partial(VPSDE, BETA), partial(SubVPSDE, BETA), partial(VESDE, SIGMA)


class Exact(eqx.Module):
    law: Law = eqx.field(static=True)
    sde: eqx.Module

    def __call__(self, t, x, q=None, a=None, **_):
        return self.law.score(x, *level(self.sde, t), jnp)


def level(sde, t):
    """Returns the mean of 1 and the std of what the SDE itself makes at t, from which it is trained."""
    mean, std = sde.marginal_prob(jnp.ones(()), jnp.asarray(t, jnp.float32))
    return mean, std


def ends(sde):
    return (tuple(float(each) for each in level(sde, t)) for t in (sde.t0, sde.t1))


def sampler(name, sde, stochastic, order=None, note="", steps=(250, 1000), t0=1e-3):
    def draw(law, n, steps, seed):
        model = sde(dt=(1 - t0) / steps, t0=t0, t1=1.0)
        net, keys = Exact(law, model), jax.random.split(jax.random.key(seed), n // 16)
        kind = partial(sample.get_eu_sample_fn, T_sample=steps) if stochastic else sample.get_ode_sample_fn
        end, top = ends(model)
        start = jax.vmap(lambda key: model.prior_sample(key, SHAPE))(keys)
        return Draws(jax.vmap(kind(net, model, SHAPE))(keys), (1.0, 0.0) if stochastic else end, start, top)

    return Sampler(name, draw, steps, order, note)


def likelihood(name, sde, exact=True, note=""):
    model = sde(dt=0.01, t0=1e-3, t1=1.0)

    def log_prob(law, x, seed):
        net, probes = Exact(law, model), None if exact else 10
        of = ode.get_log_likelihood_fn(net, model, data_shape=x.shape[1:], exact_log_prob=exact, n_eps=probes)
        keys = jax.random.split(jax.random.key(seed), len(x))
        return jax.vmap(lambda x, key: of(x, None, None, key))(jnp.asarray(x, jnp.float32), keys)

    return Likelihood(name, log_prob, next(ends(model)), note)


STD = (
    "bug: `SubVPSDE.marginal_prob` (sde/_subvp.py) has the std 1 - exp(-2 int beta); by its docstring, by Song et al. (2021), "
    "eq. 29, and by its own drift and diffusion it is 1 - exp(-int beta)"
)

report(
    "sbgm",
    [
        sampler("Euler-Maruyama, VP", VP, True),
        sampler("Euler-Maruyama, VE", VE, True),
        sampler("Euler-Maruyama, sub-VP", SUB, True, note=STD),
        sampler("probability flow by Tsit5, VP", VP, False, 5, steps=(100, 400)),
        sampler("probability flow by Tsit5, VE", VE, False, 5, steps=(100, 400)),
        sampler("probability flow by Tsit5, sub-VP", SUB, False, 5, STD, steps=(100, 400)),
    ],
    [
        likelihood("exact, VP", VP),
        likelihood("10 probes, VP", VP, False),
        likelihood("exact, VE", VE),
        likelihood("exact, sub-VP", SUB, note=STD),
    ],
)
