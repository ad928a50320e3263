"""Samplers and likelihood. `__all__` is the registry that configs name from."""

from samplers.ancestral import ancestral, ddim, ddim_inversion
from samplers.grids import arctan_grid, karras_grid, log_snr_grid, quadratic_grid, uniform_grid
from samplers.langevin import annealed_langevin, langevin
from samplers.likelihood import encode, log_prob
from samplers.multistep import deis, dpmpp_2m, dpmpp_3m, unipc
from samplers.ode import heun, probability_flow
from samplers.sde import adaptive_sde, euler_maruyama, reverse_diffusion
from samplers.singlestep import dpmpp_2s, edm_heun
from samplers.step import Solution, Step, chain, sample, solve

__all__ = [
    "Solution",
    "Step",
    "adaptive_sde",
    "ancestral",
    "annealed_langevin",
    "arctan_grid",
    "chain",
    "ddim",
    "ddim_inversion",
    "deis",
    "dpmpp_2m",
    "dpmpp_2s",
    "dpmpp_3m",
    "edm_heun",
    "encode",
    "euler_maruyama",
    "heun",
    "karras_grid",
    "langevin",
    "log_prob",
    "log_snr_grid",
    "probability_flow",
    "quadratic_grid",
    "reverse_diffusion",
    "sample",
    "solve",
    "unipc",
    "uniform_grid",
]
