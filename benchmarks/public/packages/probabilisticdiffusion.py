# /// script
# requires-python = ">=3.11"
# dependencies = ["probabilisticdiffusion==2.1.0", "torch==2.13.0", "scipy"]
# ///
"""ProbabilisticDiffusion: a Diffusion of data and a model, sampled, and its data diffused to a step."""

import numpy as np
import torch
from ProbabilisticDiffusion import Diffusion

from benchmarks.public.yardstick import Draws, Sampler, report


def diffusion(law, data):
    model = lambda x, t: law.noise(x, of.alpha_bar[t].sqrt(), (1 - of.alpha_bar[t]).sqrt(), torch)
    of = Diffusion(data, 1000, 1e-4, 0.02, "linear", model, None, None)
    return of


def sample(law, n, steps, seed):
    torch.manual_seed(seed)
    return Draws(diffusion(law, torch.zeros(1, 16)).sample(n // 16, keep="last"))


def forward(law, n, t, seed):
    torch.manual_seed(seed)
    data = law.sample(np.random.default_rng(seed), (n // 16, 16))
    of = diffusion(law, torch.as_tensor(data, dtype=torch.float32))
    return Draws(of.forward(t, plot=False), (float(of.alpha_bar[t].sqrt()), float((1 - of.alpha_bar[t]).sqrt())))


COV = "bug: `Diffusion.forward` hands `torch.normal` the variance 1 - alpha_bar, which takes a std"

report(
    "probabilisticdiffusion",
    [
        Sampler("DDPM", sample, (1000,)),
        Sampler("its data diffused to step 300", forward, (300,), note=COV),
    ],
)
