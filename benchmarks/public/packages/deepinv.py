# /// script
# requires-python = ">=3.11"
# dependencies = ["deepinv==0.5.0", "torch==2.13.0", "scipy"]
# ///
"""deepinv: a denoiser in a reverse SDE with a solver, as its examples do, on images in [-1, 1]."""

import torch
from deepinv.sampling import (
    DDIMSolver,
    DDPMSolver,
    EulerSolver,
    FlowMatching,
    HeunSolver,
    VarianceExplodingDiffusion,
    VariancePreservingDiffusion,
)

from benchmarks.public.yardstick import Draws, Sampler, report


class Exact(torch.nn.Module):
    def __init__(self, law):
        super().__init__()
        self.law = law

    def forward(self, x, sigma, *_, **__):
        return self.law.denoised(x, torch.ones_like(sigma), sigma, torch)


def sampler(name, kind, solver, order=None, steps=(100, 400), t_1=1.0, **options):
    def draw(law, n, steps, seed):
        rng = torch.Generator()
        solve = solver(t_start=t_1, t_end=1e-3, num_steps=steps + 1, rng=rng)
        sde = kind(denoiser=Exact(law), solver=solve, minus_one_one=False, **options)
        level = lambda t: (float(sde.scale_t(t)), float(sde.scale_t(t) * sde.sigma_t(t)))
        start = sde.sample_init((-(-n // 48), 3, 4, 4), rng=rng.manual_seed(seed), t=t_1)
        return Draws(sde.sample(start, seed=seed + 1), level(1e-3), start, level(t_1))

    return Sampler(name, draw, steps, order)


VP, VE = VariancePreservingDiffusion, VarianceExplodingDiffusion

report(
    "deepinv",
    [
        sampler("Euler, flow of VP", VP, EulerSolver, 1, alpha=0.0),
        sampler("Heun, flow of VP", VP, HeunSolver, 2, alpha=0.0),
        sampler("DDIM, VP", VP, DDIMSolver, 1),
        sampler("DDPM, VP", VP, DDPMSolver),
        sampler("Euler at alpha 1, VP", VP, EulerSolver, steps=(250, 1000), alpha=1.0),
        sampler("Heun at alpha 1, VP", VP, HeunSolver, steps=(250, 1000), alpha=1.0),
        sampler("DDIM, VE", VE, DDIMSolver, 1),
        sampler("Euler as it comes (alpha 0.25), VE", VE, EulerSolver, steps=(250, 1000)),
        sampler("Euler, flow matching", FlowMatching, EulerSolver, 1, t_1=0.99),
        sampler("Heun, flow matching", FlowMatching, HeunSolver, 2, t_1=0.99),
    ],
)
