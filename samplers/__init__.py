"""Samplers and likelihood. `__all__` is the registry that configs name from."""

from samplers.ancestral import ancestral, ddim, ddim_inversion
from samplers.grids import arctan_grid, karras_grid, log_snr_grid, quadratic_grid, uniform_grid
from samplers.guidance import classifier, classifier_free, guidance_interval
from samplers.inpaint import inpaint, resample
from samplers.langevin import annealed_langevin, langevin
from samplers.latent import decode, interpolate, slerp
from samplers.likelihood import encode, log_prob
from samplers.multistep import deis, dpmpp_2m, dpmpp_3m, unipc
from samplers.ode import heun, probability_flow
from samplers.sde import adaptive_sde, euler_maruyama, reverse_diffusion
from samplers.singlestep import dpmpp_2s, edm_heun
from samplers.step import Solution, Step, chain, moves, sample, solve

__all__ = [
    "Solution",
    "Step",
    "adaptive_sde",
    "ancestral",
    "annealed_langevin",
    "arctan_grid",
    "chain",
    "classifier",
    "classifier_free",
    "ddim",
    "ddim_inversion",
    "decode",
    "deis",
    "dpmpp_2m",
    "dpmpp_2s",
    "dpmpp_3m",
    "edm_heun",
    "encode",
    "euler_maruyama",
    "guidance_interval",
    "heun",
    "inpaint",
    "interpolate",
    "karras_grid",
    "langevin",
    "log_prob",
    "log_snr_grid",
    "moves",
    "probability_flow",
    "quadratic_grid",
    "resample",
    "reverse_diffusion",
    "sample",
    "slerp",
    "solve",
    "unipc",
    "uniform_grid",
]
