"""Samplers and likelihood."""

from samplers.ancestral import ancestral, ddim, ddim_inversion
from samplers.grids import arctan_grid, karras_grid, log_snr_grid, quadratic_grid, shifted_grid, uniform_grid
from samplers.guidance import classifier, classifier_free, guidance_interval
from samplers.inpaint import inpaint, resample
from samplers.inverse import dps, pi_gdm
from samplers.langevin import annealed_langevin, langevin
from samplers.latent import decode, interpolate, sdedit, slerp, translate
from samplers.likelihood import encode, log_prob
from samplers.multistep import deis, dpmpp_2m, dpmpp_3m, unipc
from samplers.ode import heun, probability_flow
from samplers.progressive import estimates, shared
from samplers.projections import coarse, grey
from samplers.sde import adaptive_sde, euler_maruyama, reverse_diffusion
from samplers.singlestep import dpmpp_2s, edm_heun
from samplers.sscs import sscs
from samplers.step import Solution, Step, chain, draw, moves, sample, solve
from samplers.transfer import check_reach, under

__all__ = [
    "Solution",
    "Step",
    "adaptive_sde",
    "ancestral",
    "annealed_langevin",
    "arctan_grid",
    "chain",
    "check_reach",
    "classifier",
    "classifier_free",
    "coarse",
    "ddim",
    "ddim_inversion",
    "decode",
    "deis",
    "dpmpp_2m",
    "dpmpp_2s",
    "dpmpp_3m",
    "dps",
    "draw",
    "edm_heun",
    "encode",
    "estimates",
    "euler_maruyama",
    "grey",
    "guidance_interval",
    "heun",
    "inpaint",
    "interpolate",
    "karras_grid",
    "langevin",
    "log_prob",
    "log_snr_grid",
    "moves",
    "pi_gdm",
    "probability_flow",
    "quadratic_grid",
    "resample",
    "reverse_diffusion",
    "sample",
    "sdedit",
    "shared",
    "shifted_grid",
    "slerp",
    "solve",
    "sscs",
    "translate",
    "under",
    "uniform_grid",
    "unipc",
]

# Parts by kind. Configs name from STEPS and GRIDS.
STEPS = (
    *(adaptive_sde, ancestral, annealed_langevin, ddim, ddim_inversion, deis, dpmpp_2m, dpmpp_2s, dpmpp_3m),
    *(edm_heun, euler_maruyama, heun, langevin, probability_flow, reverse_diffusion, sscs, unipc),
)
GRIDS = (arctan_grid, karras_grid, log_snr_grid, quadratic_grid, shifted_grid, uniform_grid)
GUIDANCE = (classifier, classifier_free, guidance_interval, pi_gdm, under)
"""Functions of a score to a score."""
PROJECTIONS = (coarse, grey)
CONDITIONAL = (dps, inpaint, resample)
"""Functions of a step to a conditional step."""
LATENT = (decode, encode, interpolate, sdedit, slerp, translate)
LIKELIHOOD = (log_prob,)
