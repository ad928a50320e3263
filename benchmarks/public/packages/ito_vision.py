# /// script
# requires-python = ">=3.11"
# dependencies = ["ito-vision==0.1.0", "scipy"]
# ///
"""Ito Vision: a method on a scheduler, a discretization and a sampler, with a model that predicts x_0."""

import torch
from ito_vision.discretizations import LinearDiscretization
from ito_vision.methods import DDPM, FlowMatching
from ito_vision.samplers import (
    AncestralSampler,
    DDIMSampler,
    EulerMaruyamaSampler,
    LangevinHeunSampler,
    MeanODESampler,
    RKDDIMSampler,
    RungeKutta2Sampler,
)
from ito_vision.schedulers import LinearScheduler

from benchmarks.public.yardstick import Draws, Sampler, report


def sampler(name, kind, method=DDPM, order=None, steps=(100, 400), note="", **options):
    def draw(law, n, steps, seed):
        torch.manual_seed(seed)
        sde = method(LinearScheduler())
        level = lambda t: (sde.transition_lambda_x(t), sde.transition_std(t))
        model = lambda x, t, y=None: law.denoised(x, *level(t), torch)
        times, start = LinearDiscretization(), torch.randn(n // 16, 16)
        x, *_ = sde.sample(times, kind(N=steps, quiet=True, **options), model, start)
        ends = [tuple(float(each) for each in level(t)) for t in times(steps, "cpu")[[0, -1]]]
        return Draws(x, start=start, top=ends[0], last=ends[1])

    return Sampler(name, draw, steps, order, note)


MEAN = "convention: `MeanODESampler` follows the reverse SDE without its noise, to a mean and not to draws of the law"

report(
    "ito-vision",
    [
        sampler("ancestral, DDPM", AncestralSampler),
        sampler("DDIM, DDPM", DDIMSampler, order=1),
        sampler("Euler-Maruyama, DDPM", EulerMaruyamaSampler, steps=(250, 1000)),
        sampler("Euler (Lambda 0), DDPM", EulerMaruyamaSampler, order=1, Lambda=0),
        sampler("Heun, DDPM", RungeKutta2Sampler, order=2),
        sampler("midpoint, DDPM", RungeKutta2Sampler, order=2, variant="midpoint"),
        sampler("Heun on DDIM, DDPM", RKDDIMSampler, order=2),
        sampler("Langevin-Heun, DDPM", LangevinHeunSampler, steps=(250, 1000)),
        sampler("mean ODE, DDPM", MeanODESampler, note=MEAN),
        sampler("Heun, flow matching", RungeKutta2Sampler, FlowMatching, 2),
        sampler("Euler-Maruyama, flow matching", EulerMaruyamaSampler, FlowMatching, steps=(250, 1000)),
    ],
)
