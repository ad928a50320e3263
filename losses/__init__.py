"""Objectives for scores."""

from losses.adaptive import loss_aware
from losses.adversarial import adaptive_weight, adaptive_weight_of, hinge_discriminator, hinge_generator
from losses.batch import batch_mean
from losses.bound import Bound, continuous_bound, elbo, hybrid, vlb
from losses.bridge import bridge
from losses.classification import cross_entropy
from losses.continuous_vlb import continuous_vlb
from losses.diffflow import diffflow
from losses.dsm import Loss, dsm
from losses.latent import Joint, latent, latent_vlb
from losses.latent_schedule import latent_schedule
from losses.latent_two_times import Apart, latent_two_times
from losses.matching import esm, ism, ssm, ssm_vr
from losses.neural_flow import neural_flow
from losses.perceptual import perceptual
from losses.rate_distortion import rate_distortion
from losses.reflow import reflow
from losses.schroedinger import half_bridge
from losses.terms import diffusion_term, prior_term, reconstruction_term
from losses.times import TimeSampler, discrete, importance, log_normal, logit_normal, uniform
from losses.weights import edm, likelihood, min_snr, p2, sigma2, soft_truncation, velocity

__all__ = [
    "Apart",
    "Bound",
    "Joint",
    "Loss",
    "TimeSampler",
    "adaptive_weight",
    "adaptive_weight_of",
    "batch_mean",
    "bridge",
    "continuous_bound",
    "continuous_vlb",
    "cross_entropy",
    "diffflow",
    "diffusion_term",
    "discrete",
    "dsm",
    "edm",
    "elbo",
    "esm",
    "half_bridge",
    "hinge_discriminator",
    "hinge_generator",
    "hybrid",
    "importance",
    "ism",
    "latent",
    "latent_schedule",
    "latent_two_times",
    "latent_vlb",
    "likelihood",
    "log_normal",
    "logit_normal",
    "loss_aware",
    "min_snr",
    "neural_flow",
    "p2",
    "perceptual",
    "prior_term",
    "rate_distortion",
    "reconstruction_term",
    "reflow",
    "sigma2",
    "soft_truncation",
    "ssm",
    "ssm_vr",
    "uniform",
    "velocity",
    "vlb",
]

# Registries: configs name from these tuples.
OBJECTIVES = (
    *(bridge, continuous_vlb, cross_entropy, diffflow, dsm, esm),
    *(hybrid, ism, rate_distortion, reflow, ssm, ssm_vr, vlb),
)
WEIGHTS = (edm, likelihood, min_snr, p2, sigma2, soft_truncation, velocity)
TIMES = (discrete, importance, log_normal, logit_normal, loss_aware, uniform)
"""Draws of t."""
BOUNDS = (continuous_bound, elbo, diffusion_term, prior_term, reconstruction_term)
"""Parts of the variational bound."""
