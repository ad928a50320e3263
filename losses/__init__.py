"""Objectives for scores. The tuples at the end are the registries that configs name from."""

from losses.adaptive import loss_aware
from losses.batch import batch_mean
from losses.bound import Bound, continuous_bound, elbo, hybrid, vlb
from losses.classification import cross_entropy
from losses.dsm import Loss, dsm
from losses.matching import esm, ism, ssm, ssm_vr
from losses.terms import diffusion_term, prior_term, reconstruction_term
from losses.times import TimeSampler, discrete, importance, log_normal, logit_normal, uniform
from losses.weights import edm, likelihood, min_snr, p2, sigma2, soft_truncation

__all__ = [
    "Bound",
    "Loss",
    "TimeSampler",
    "batch_mean",
    "continuous_bound",
    "cross_entropy",
    "diffusion_term",
    "discrete",
    "dsm",
    "edm",
    "elbo",
    "esm",
    "hybrid",
    "importance",
    "ism",
    "likelihood",
    "log_normal",
    "logit_normal",
    "loss_aware",
    "min_snr",
    "p2",
    "prior_term",
    "reconstruction_term",
    "sigma2",
    "soft_truncation",
    "ssm",
    "ssm_vr",
    "uniform",
    "vlb",
]

OBJECTIVES = (cross_entropy, dsm, esm, hybrid, ism, ssm, ssm_vr, vlb)
WEIGHTS = (edm, likelihood, min_snr, p2, sigma2, soft_truncation)
TIMES = (discrete, importance, log_normal, logit_normal, loss_aware, uniform)
"""Draws of t."""
BOUNDS = (continuous_bound, elbo, diffusion_term, prior_term, reconstruction_term)
"""Parts of the variational bound."""
