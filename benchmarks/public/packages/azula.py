# /// script
# requires-python = ">=3.11"
# dependencies = ["azula==0.11.1", "torch==2.13.0", "scipy"]
# ///
"""azula: a denoiser in its noise schedule, sampled as its README does."""

from functools import partial

import torch
from azula.denoise import Denoiser, DiracPosterior
from azula.noise import RectifiedSchedule, VESchedule, VPSchedule
from azula.sample import (
    DDIMSampler,
    DDPMSampler,
    EulerSampler,
    HeunSampler,
    ItoSampler,
    PCSampler,
    REABSampler,
    vABSampler,
    xEABSampler,
    zABSampler,
    zEABSampler,
)

from benchmarks.public.yardstick import Draws, Sampler, report

VE, VP = VESchedule(), VPSchedule()


class Exact(Denoiser):
    def __init__(self, law, schedule):
        super().__init__()
        self.law, self.schedule = law, schedule

    def forward(self, x_t, t, **_):
        return DiracPosterior(self.law.denoised(x_t, *self.schedule(t), torch))


def sampler(name, kind, schedule=VP, steps=(64, 256), order=None, note="", **options):
    def draw(law, n, steps, seed):
        torch.manual_seed(seed)
        sample = kind(Exact(law, schedule), steps=steps, silent=True, **options)
        x_1 = sample.init((n // 16, 16))
        level = lambda t: tuple(map(float, schedule(torch.tensor(t))))
        return Draws(sample(x_1), level(0.0), x_1, level(1.0))

    return Sampler(name, draw, steps, order, note)


report(
    "azula",
    [
        sampler("DDPM", DDPMSampler, steps=(250, 1000)),
        sampler("DDIM", DDIMSampler, order=1),
        sampler("DDIM at eta 1", DDIMSampler, eta=1.0),
        sampler("Euler", EulerSampler, order=1),
        sampler("Heun", HeunSampler, order=2),
        sampler("Itô", ItoSampler, steps=(250, 1000)),
        sampler("predictor-corrector", PCSampler, steps=(250, 1000)),
        sampler("zAB", zABSampler, order=2),
        sampler("vAB", vABSampler, order=2),
        sampler("zEAB, VE", zEABSampler, VE, order=2),
        sampler("xEAB, VE", xEABSampler, VE, order=2),
        sampler("xEAB of order 3, VE", partial(xEABSampler, order=3), VE, order=3),
        sampler(
            "REAB, VE",
            REABSampler,
            VE,
            order=2,
            note="bug: `REABSampler` (sample.py, line 944) multiplies its integral by sqrt(alpha_s^2 + sigma_t^2); by the "
            "equation in its docstring, sqrt(1 + e^(2s)), the noise there is sigma_s",
        ),
        sampler("DDIM, VE", DDIMSampler, VE, order=1),
        sampler("Heun, rectified", HeunSampler, RectifiedSchedule(), order=2),
    ],
)
