# /// script
# requires-python = ">=3.11"
# dependencies = ["flow-matching==1.0.10", "torch==2.13.0", "tqdm", "scipy"]
# ///
"""flow_matching: a velocity in its ODESolver, from noise at t = 0 to data at t = 1, as its notebooks do.

Its import needs tqdm, for which it does not ask.
"""

import torch
from flow_matching.solver import ODESolver

from benchmarks.public.yardstick import Draws, Likelihood, Sampler, report

NORMAL = torch.distributions.Independent(torch.distributions.Normal(torch.zeros(4), torch.ones(4)), 1)


def velocity(law):
    """E[x_1 - x_0 | x_t] of x_t = t x_1 + (1 - t) x_0, x_0 the noise."""
    return lambda x, t: law.denoised(x, t, 1 - t, torch) - law.noise(x, t, 1 - t, torch)


def sampler(method, order):
    def draw(law, n, steps, seed):
        torch.manual_seed(seed)
        start = torch.randn(n // 16, 16)
        return Draws(ODESolver(velocity(law)).sample(start, 1 / steps, method), start=start, top=(0.0, 1.0))

    return Sampler(method, draw, (50, 200), order)


def likelihood(name, step_size, method, exact):
    def log_prob(law, x, seed):
        torch.manual_seed(seed)
        x = torch.as_tensor(x, dtype=torch.float32)
        solver = ODESolver(velocity(law))
        return solver.compute_likelihood(x, NORMAL.log_prob, step_size, method, exact_divergence=exact)[1]

    return Likelihood(name, log_prob)


report(
    "flow-matching",
    [sampler("euler", 1), sampler("midpoint", 2), sampler("heun3", 3), sampler("rk4", 4)],
    [
        likelihood("dopri5, exact divergence", None, "dopri5", True),
        likelihood("dopri5, one probe", None, "dopri5", False),
        likelihood("midpoint of 100 steps, exact divergence", 0.01, "midpoint", True),
    ],
)
