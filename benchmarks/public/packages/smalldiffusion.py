# /// script
# requires-python = ">=3.11"
# dependencies = ["smalldiffusion==0.5.0", "torch==2.13.0", "scipy"]
# ///
"""smalldiffusion: a model and the sigmas of a schedule, as its README does."""

import torch
from smalldiffusion import ModelMixin, ScheduleDDPM, samples

from benchmarks.public.yardstick import Draws, Sampler, report

SCHEDULE = ScheduleDDPM()


class Exact(torch.nn.Module, ModelMixin):
    input_dims = (16,)

    def __init__(self, law):
        super().__init__()
        self.law = law

    def forward(self, x, sigma, cond=None):
        return self.law.noise(x, torch.ones_like(sigma), sigma, torch)


def sampler(name, order=None, steps=(50, 200), **options):
    def draw(law, n, steps, seed):
        torch.manual_seed(seed)
        net, sigmas = Exact(law), SCHEDULE.sample_sigmas(steps)
        start = net.rand_input(n // 16) * sigmas[0]
        *_, x = samples(net, sigmas, xt=start, **options)
        return Draws(x, (1.0, float(sigmas[-1])), start, (1.0, float(sigmas[0])))

    return Sampler(name, draw, steps, order)


report(
    "smalldiffusion",
    [
        sampler("DDIM (gam 1, mu 0)", 1, gam=1, mu=0),
        sampler("accelerated (gam 2, mu 0)", 1, (50, 400), gam=2, mu=0),
        sampler("DDPM (gam 1, mu 0.5)", steps=(250, 1000), gam=1, mu=0.5),
    ],
)
