# /// script
# requires-python = ">=3.12"
# dependencies = ["gensbi==0.5.1", "scipy"]
# ///
"""GenSBI: each of its three methods on its path, sampled and scored as its pipelines do."""

from functools import partial

import jax
from diffrax import Heun
from flax import nnx
from gensbi.core.score_matching import ScoreMatchingMethod
from gensbi.diffusion.path.scheduler.edm import EDMScheduler, VEEdmScheduler, VPEdmScheduler
from gensbi.diffusion.solver.edm_samplers import edm_ablation_sampler, edm_sampler
from gensbi.diffusion.solver.sm_ode_solver import SMODESolver
from gensbi.diffusion.solver.sm_sde_solver import SMSDESolver
from gensbi.flow_matching.solver.fm_ode_solver import FMODESolver
from gensbi.utils.model_wrapping import ModelWrapper
from jax import numpy as jnp

from benchmarks.public.yardstick import Draws, Likelihood, Sampler, report

EVENT = (16, 1)
EDM, VP, VE = EDMScheduler(), VPEdmScheduler(), VEEdmScheduler()
NOISE = lambda seed, n: jax.random.normal(jax.random.key(seed), (n // 16, *EVENT))


class Model(nnx.Module):
    """A function of x and t, called as the package's networks are."""

    def __init__(self, of):
        self.of = of

    def __call__(self, obs, t, **_):
        return self.of(obs, jnp.asarray(t))


def numbers(*level):
    return tuple(float(each) for each in level)


def edm(name, sde, sigma_of, order=None, ablation=False, **options):
    """`sigma_of`: the inverse of the SDE's c_noise."""

    def draw(law, n, steps, seed):
        def network(obs, t):  # whose preconditioned output is the exact denoised
            sigma = sigma_of(t)
            x = obs / sde.c_in(sigma)
            return (law.denoised(x, jnp.ones(()), sigma, jnp) - sde.c_skip(sigma) * x) / sde.c_out(sigma)

        noise, run = NOISE(seed, n), partial(edm_ablation_sampler, sde) if ablation else edm_sampler
        x = run(sde, network, noise, key=jax.random.key(seed + 1), n_steps=steps, **options)
        t = sde.timesteps(jnp.zeros(()), steps)
        alpha, sigma = numbers(sde.s(t), sde.s(t) * sde.sigma(t))
        end = sde.timesteps(jnp.asarray(steps - 1.0), steps)
        return Draws(x, start=noise * sigma, top=(alpha, sigma), last=numbers(sde.s(end), sde.s(end) * sde.sigma(end)))

    return Sampler(name, draw, (18, 72), order)


def score_matching(kind, config, solver):
    method = ScoreMatchingMethod(kind)
    path = method.build_path(config, EVENT)
    sde = path.scheduler
    level = lambda t: (sde.marginal_mean_coeff(t), sde.marginal_std(t))
    exact = lambda law: Model(lambda x, t: law.score(x, *level(t), jnp))
    return method, path, level, exact, (solver, {})


def matched(name, kind, solver, order=None, note="", steps=(250, 1000), config=None, **options):
    method, path, level, exact, solver = score_matching(kind, config or {}, solver)

    def draw(law, n, steps, seed):
        run = method.build_sampler_fn(exact(law), path, {}, nsteps=steps, solver=solver, **options)
        start = method.sample_init(jax.random.key(seed), n // 16)
        end = numbers(*level(jnp.asarray(1e-3)))
        return Draws(run(jax.random.key(seed + 1), start), end, start, numbers(*level(jnp.ones(()))))

    return Sampler(name, draw, steps, order, note)


def flow(name, method, order=None, steps=(50, 200)):
    def draw(law, n, steps, seed):
        solver, start = FMODESolver(ModelWrapper(velocity(law))), NOISE(seed, n)
        return Draws(solver.sample(start, step_size=1 / steps, method=method), start=start, top=(0.0, 1.0))

    return Sampler(name, draw, steps, order)


def velocity(law):
    return Model(lambda x, t: law.denoised(x, t, 1 - t, jnp) - law.noise(x, t, 1 - t, jnp))


def flow_likelihood(law, x, seed):
    normal = lambda z: jax.scipy.stats.norm.logpdf(z).sum(axis=(1, 2))
    x = jnp.asarray(x, jnp.float32)[..., None]
    return FMODESolver(ModelWrapper(velocity(law))).compute_log_prob(x, normal)


def likelihood(name, kind, note="", config=None):
    method, path, level, exact, _ = score_matching(kind, config or {}, SMODESolver)

    def log_prob(law, x, seed):
        method.build_path(config or {}, (x.shape[1], 1))  # the prior of events of this size
        return method.build_log_prob_fn(exact(law), path, {})(jnp.asarray(x, jnp.float32)[..., None])

    return Likelihood(name, log_prob, numbers(*level(jnp.asarray(1e-3))), note)


LONG = {"beta_min": 0.1, "beta_max": 20.0}
PRIOR = (
    "convention: the default beta_max of `VPSmScheduler` (diffusion/path/scheduler/sm_sde.py), 3, leaves alpha(1) = 0.47, and "
    "the prior is N(0, I) all the same; with beta_max 20 the same method is right"
)

report(
    "gensbi",
    [
        edm("EDM, Heun", EDM, lambda c: jnp.exp(4 * c), 2),
        edm("EDM, Euler", EDM, lambda c: jnp.exp(4 * c), 1, method="Euler"),
        edm("EDM, Heun with churn", EDM, lambda c: jnp.exp(4 * c), S_churn=20.0),
        edm("ablation, Heun, VP", VP, lambda c: VP.sigma(c / (VP.M - 1)), 2, ablation=True),
        edm("ablation, Heun, VE", VE, lambda c: 2 * jnp.exp(c), 2, ablation=True),
        flow("flow matching, Euler", "Euler", 1),
        flow("flow matching, Heun", Heun(), 2),
        matched("score matching, reverse SDE, VE", "VE", SMSDESolver),
        matched("score matching, reverse SDE, VP of beta 0.1 to 20", "VP", SMSDESolver, config=LONG),
        matched("score matching, reverse SDE, VP as it comes", "VP", SMSDESolver, note=PRIOR),
        matched("score matching, flow by Heun, VP of beta 0.1 to 20", "VP", SMODESolver, 2, config=LONG, method=Heun()),
    ],
    [
        Likelihood("flow matching", flow_likelihood),
        likelihood("score matching, VE", "VE"),
        likelihood("score matching, VP of beta 0.1 to 20", "VP", config=LONG),
        likelihood("score matching, VP as it comes", "VP", PRIOR),
    ],
)
