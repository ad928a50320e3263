# /// script
# requires-python = ">=3.11"
# dependencies = ["torchebm==0.8.9", "torch==2.13.0", "scipy"]
# ///
"""torchebm: a velocity in its FlowSampler, from noise at t = 0 to data at t = 1, as its docstring does."""

import torch
from torchebm.samplers import FlowSampler

from benchmarks.public.yardstick import Draws, Sampler, report


class Velocity(torch.nn.Module):
    """alpha' E[x_1 | x_t] + sigma' E[z | x_t] of x_t = alpha x_1 + sigma z, of the package's own interpolant."""

    def __init__(self, law):
        super().__init__()
        self.law = law

    def forward(self, x, t):
        (alpha, d_alpha), (sigma, d_sigma) = self.interpolant.compute_alpha_t(t), self.interpolant.compute_sigma_t(t)
        alpha, d_alpha, sigma, d_sigma = (each.view(-1, 1) for each in (alpha, d_alpha, sigma, d_sigma))
        return d_alpha * self.law.denoised(x, alpha, sigma, torch) + d_sigma * self.law.noise(x, alpha, sigma, torch)


def sampler(name, order=None, steps=(50, 200), note="", **options):
    def draw(law, n, steps, seed):
        torch.manual_seed(seed)
        net = Velocity(law)
        sample = FlowSampler(net, device="cpu", **options)
        net.interpolant = sample.interpolant
        start = torch.randn(n // 16, 16)
        at = torch.zeros(1)
        top = tuple(float(of(at)[0]) for of in (net.interpolant.compute_alpha_t, net.interpolant.compute_sigma_t))
        return Draws(sample.sample(start, n_steps=steps), start=start, top=top)

    return Sampler(name, draw, steps, order, note)


LAST = "approximation: the SDE ends with a step of 0.04 without noise, whatever the number of steps (`last_step_size`)"

report(
    "torchebm",
    [
        sampler("Euler, linear", 1, integrator="euler"),
        sampler("Heun, linear", 2, integrator="heun"),
        sampler("RK4, linear", 4, integrator="rk4"),
        sampler("Euler, cosine", 1, integrator="euler", interpolant="cosine"),
        sampler("as it comes (Dormand-Prince), linear"),
        sampler("SDE as it comes, linear", steps=(250, 1000), mode="sde", sample_eps=1e-3, note=LAST),
        sampler("SDE of a last step of 1e-3, linear", steps=(250, 1000), mode="sde", sample_eps=1e-3, last_step_size=1e-3),
        sampler("SDE of a last step of 1e-3, VP", steps=(250, 1000), mode="sde", interpolant="vp", last_step_size=1e-3),
    ],
)
