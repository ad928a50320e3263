# /// script
# requires-python = ">=3.12"
# dependencies = ["diffuse-jax==0.1.1", "scipy"]
# ///
"""diffuse-jax: a model, a predictor, a timer, an integrator and a denoiser, as its README does."""

import jax
from diffuse.denoisers.denoiser import Denoiser
from diffuse.diffusion.sde import EDM, SDE, Flow, LinearSchedule
from diffuse.integrator import (
    DDIMIntegrator,
    DPMpp2sIntegrator,
    EulerIntegrator,
    EulerMaruyamaIntegrator,
    HeunIntegrator,
)
from diffuse.predictor import Predictor
from diffuse.timer import VpTimer
from jax import numpy as jnp

from benchmarks.public.yardstick import Draws, Sampler, report

VP, FLOW = SDE(beta=LinearSchedule(b_min=0.1, b_max=20.0, t0=0.0, T=1.0)), Flow(tf=1.0)
G = "bug: `EDM.sde_coefficients` (diffusion/sde.py) returns g = 1, where sigma = t has g^2 = 2 t"
CLIP = (
    "limit: `EDM.noise_level` (diffusion/sde.py) clips sigma to 0.999, so that the N(0, I) from which `generate` starts is not "
    "the law of x_1, whose variance is the data's and 1 more"
)


def sampler(name, integrator, model, order=None, note="", steps=(100, 400)):
    def draw(law, n, steps, seed):
        key, timer = jax.random.key(seed), VpTimer(n_steps=steps, eps=0.001, tf=1.0)
        score = lambda x, t: law.score(x, model.signal_level(t), model.noise_level(t), jnp)
        predictor = Predictor(model=model, network=score, prediction_type="score")
        denoiser = Denoiser(integrator=integrator(model=model, timer=timer), model=model, predictor=predictor, x0_shape=(16,))
        state, _ = denoiser.generate(key, steps, n // 16)
        level = lambda t: (float(model.signal_level(jnp.asarray(t))), float(model.noise_level(jnp.asarray(t))))
        start = jax.random.normal(jax.random.split(key)[1], (n // 16, 16))  # as `generate` splits its key
        return Draws(state.integrator_state.position, level(0.001), start, level(1.0))

    return Sampler(name, draw, steps, order, note)


def readme(law, n, steps, seed):
    from diffuse import Denoiser, Flow, Predictor  # noqa: F401


report(
    "diffuse-jax",
    [
        sampler("Euler-Maruyama, VP", EulerMaruyamaIntegrator, VP, steps=(250, 1000)),
        sampler(
            "Euler-Maruyama, flow",
            EulerMaruyamaIntegrator,
            FLOW,
            steps=(250, 1000),
            note="limit: `EulerMaruyamaIntegrator` (integrator/stochastic.py) takes f = -g^2/2 for every model, which is true "
            "of the VP-SDE alone; on a flow f = -1/(1 - t) and g^2 = 2 t/(1 - t)",
        ),
        Sampler(
            "the first line of its README's quick start",
            readme,
            (1,),
            note="bug: the wheel has no `diffuse/__init__.py`, and the package of integrators is `diffuse.integrator`",
        ),
        sampler("DDIM, VP", DDIMIntegrator, VP, order=1),
        sampler("DPM++ 2S, VP", DPMpp2sIntegrator, VP, order=2),
        sampler("Heun, flow", HeunIntegrator, FLOW, order=2),
        sampler("Euler, EDM", EulerIntegrator, EDM(), order=1, note=G),
        sampler("DDIM, EDM", DDIMIntegrator, EDM(), order=1, note=CLIP),
        sampler("Euler, flow", EulerIntegrator, FLOW, order=1),
        sampler("Heun, VP", HeunIntegrator, VP, order=2),
    ],
)
