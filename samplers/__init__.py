"""Samplers and likelihood. `__all__` is the registry that configs name from."""

from samplers.ancestral import ancestral, ddim
from samplers.grids import karras_grid, log_snr_grid, uniform_grid
from samplers.langevin import annealed_langevin, langevin
from samplers.likelihood import encode, log_prob
from samplers.ode import heun, probability_flow
from samplers.sde import euler_maruyama, reverse_diffusion
from samplers.step import Solution, Step, chain, sample, solve

__all__ = [
    "Solution",
    "Step",
    "ancestral",
    "annealed_langevin",
    "chain",
    "ddim",
    "encode",
    "euler_maruyama",
    "heun",
    "karras_grid",
    "langevin",
    "log_prob",
    "log_snr_grid",
    "probability_flow",
    "reverse_diffusion",
    "sample",
    "solve",
    "uniform_grid",
]
